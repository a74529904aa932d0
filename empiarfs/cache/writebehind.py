"""Write-behind: pieces on their way to the store, readable meanwhile.

A stream brings the sixteen pieces of a block within moments of each other. Storing each by
itself would write the block sixteen times; so a block is stored when it is whole, or a
moment after its first piece came, or as soon as so much waits that it has to make room. Until
it is stored its pieces are found here.

What waits is bounded. Whoever adds while the bound is reached waits for room, so that a
slow disk slows the stream down a little; but not for long: then the piece is dropped, since
the cache is there to help, and a reader never waits for it.

Threading: `add`, `get` and `flush` may be called from any thread. One thread, started at
the first `add`, takes blocks and puts them into the store, without the lock. A block that
is being written stays visible to `get` until `put` has returned; pieces that come meanwhile
start a new pending block of the same key.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from empiarfs import threads
from empiarfs.cache.store import BlockPut, BlockStore, ReadableBuffer
from empiarfs.core.blocks import block_of, piece_size, pieces_of_block, place_of
from empiarfs.core.files import BlockKey, RemoteFile
from empiarfs.inflight import Held, InFlight
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

_ROOM_TIMEOUT_S = 2.0
_CLOSE_TIMEOUT_S = 5.0


@dataclass(slots=True)
class _Pending:
    """A block that waits to be stored.

    Attributes:
        file: The file that it is of.
        due_at: When it is stored even if it isn't whole; monotonic seconds.
        pieces: By place.
        size: Bytes of all pieces.
    """

    file: RemoteFile
    due_at: float
    pieces: dict[int, ReadableBuffer] = field(default_factory=dict)
    size: int = 0


# Blocks that are stored together: handing each over on its own took longer than storing it
# while other threads were busy.
_AT_ONCE = 8
# Of the bound; from here on blocks aren't waited for until they are whole.
_NEAR = 0.75


class WriteBehind:
    """Collects pieces to blocks, and stores them in the background.

    Args:
        store: Where they go.
        limit: Bytes that may wait.
        delay_s: How long a block that isn't whole waits for its other pieces.
        counters: Counts `blocks_dropped` for each piece that found no room.
        in_flight: The account in which what waits is noted.
        room_timeout_s: How long `add` waits for room.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        store: BlockStore,
        *,
        limit: int = 32 * 1024 * 1024,
        delay_s: float = 1.0,
        counters: Counters | None = None,
        in_flight: InFlight | None = None,
        room_timeout_s: float = _ROOM_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._limit = limit
        self._delay_s = delay_s
        self._counters = counters
        self._in_flight = in_flight
        self._room_timeout_s = room_timeout_s
        self._clock = clock
        self._changed = threading.Condition()
        self._pending: dict[BlockKey, _Pending] = {}  # oldest first; guarded by _changed
        self._whole: dict[BlockKey, _Pending] = {}  # guarded by _changed
        self._writing: dict[BlockKey, _Pending] = {}  # guarded by _changed
        self._size = 0  # bytes of all the above; guarded by _changed
        self._flushing = 0  # calls of flush that wait; guarded by _changed
        self._thread: threading.Thread | None = None  # guarded by _changed
        self._closed = False  # guarded by _changed

    @property
    def size(self) -> int:
        """Bytes that wait or are being written."""
        with self._changed:
            return self._size

    def add(self, file: RemoteFile, pieces: range, data: Sequence[ReadableBuffer]) -> None:
        """Have pieces stored some time; they are dropped if there is no room for too long.

        Args:
            file: The file that they are of.
            pieces: Their numbers in the file.
            data: Their bytes. They are kept as they are, not copied: they must not change
                any more.
        """
        sizes = [memoryview(each).nbytes for each in data]
        if sizes != [piece_size(piece, file.size) for piece in pieces]:
            logger.error("%s bytes for pieces %s of %r", sizes, pieces, file.path)
            return
        with self._changed:
            if not self._wait_for_room(sum(sizes)):
                if self._counters is not None:
                    self._counters.add("blocks_dropped", len(pieces))
                return
            self._start()
            kept = [self._keep(file, *each) for each in zip(pieces, data, sizes, strict=True)]
            if any(kept):
                self._changed.notify_all()

    def get(self, file: RemoteFile, piece: int) -> ReadableBuffer | None:
        """Return the piece if it isn't stored yet; its bytes must not be changed."""
        key = BlockKey(file.short_key, block_of(piece))
        place = place_of(piece)
        with self._changed:
            for block in (self._pending.get(key), self._whole.get(key), self._writing.get(key)):
                if block is not None and place in block.pieces:
                    return block.pieces[place]
        return None

    def flush(self, timeout_s: float) -> bool:
        """Have everything stored now; return whether it was within `timeout_s`."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._size, timeout_s)
            finally:
                self._flushing -= 1

    def close(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> None:
        """Store what waits, as far as that is done within `timeout_s`, and end the thread."""
        self.flush(timeout_s)
        with self._changed:
            self._closed = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_s)

    def _wait_for_room(self, size: int) -> bool:
        def has_room() -> bool:
            # A single piece is taken even if the limit is smaller than it.
            return self._closed or not self._size or self._size + size <= self._limit

        return self._changed.wait_for(has_room, self._room_timeout_s) and not self._closed

    def _keep(self, file: RemoteFile, piece: int, data: ReadableBuffer, size: int) -> bool:
        """Keep a piece; return whether that gives the thread something to think about."""
        index = block_of(piece)
        key = BlockKey(file.short_key, index)
        if key in self._whole:
            return False  # what comes again is the same
        block = self._pending.get(key)
        is_first = block is None
        if block is None:
            block = self._pending[key] = _Pending(file, self._clock() + self._delay_s)
        if place_of(piece) in block.pieces:
            return False
        block.pieces[place_of(piece)] = data
        block.size += size
        self._grow(size)
        is_whole = len(block.pieces) == len(pieces_of_block(index, file.size))
        if is_whole:
            self._whole[key] = self._pending.pop(key)
        return is_first or is_whole or self._is_near_bound

    def _grow(self, size: int) -> None:
        self._size += size
        if self._in_flight is not None:
            self._in_flight.add(Held.PENDING, size)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threads.start("write-behind", self._run)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = self._wait_for_blocks()
                taken = dict(self._writing)
            if not taken:
                return
            try:
                self._store.put_many(
                    [BlockPut(key, block.file, block.pieces) for key, block in taken.items()]
                )
            except Exception:
                # A store doesn't raise. If one did, the pieces would wait here for ever.
                logger.exception("storing %d blocks", len(taken))
            with self._changed:
                self._writing = {}
                self._grow(-sum(block.size for block in taken.values()))
                self._changed.notify_all()
            del taken

    def _wait_for_blocks(self) -> dict[BlockKey, _Pending]:
        """Wait until blocks are to be stored, and take some; none at the end."""
        while not self._closed:
            if self._whole:
                return _take(self._whole, _AT_ONCE)
            if not self._pending:
                self._changed.wait()
                continue
            oldest = next(iter(self._pending.values()))
            wait_s = oldest.due_at - self._clock()
            if self._flushing or self._is_near_bound:
                return _take(self._pending, _AT_ONCE)
            if wait_s <= 0:
                return _take(self._pending, min(_AT_ONCE, self._due_count()))
            self._changed.wait(wait_s)
        return {}

    @property
    def _is_near_bound(self) -> bool:
        # At the bound who adds waits, and those are the threads that fetch; where what comes is
        # scattered over many blocks, one second of it is more than the bound.
        return self._size >= _NEAR * self._limit

    def _due_count(self) -> int:
        now = self._clock()
        return sum(1 for _ in takewhile(lambda b: b.due_at <= now, self._pending.values()))


def _take(blocks: dict[BlockKey, _Pending], count: int) -> dict[BlockKey, _Pending]:
    keys = [key for key, _ in zip(blocks, range(count), strict=False)]
    return {key: blocks.pop(key) for key in keys}
