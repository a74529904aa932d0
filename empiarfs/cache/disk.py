"""The block store on disk, shared by all mounts and commands of one user on one machine.

A read that hits goes `open` → tier of open blocks → `OpenBlock.read`: one `pread`, one
checksum for each piece, no SQL; if the kernel hasn't got the bytes, a thread fetches them
from the disk (`empiarfs.cache.careful`). So no caller ever waits for the disk itself.
A look-up that misses the tier goes to the reading threads, a `put` to the writing thread;
both wait for them for a limited time only, and after a failure the disk is left alone for
some seconds (`empiarfs.cache.health`). Nothing that the disk or the database does gets out
of here: it is a miss, or a dropped block, and a reason in `usage().unwell`.

A `put` takes the checksums in the caller's thread. From then on the buffers may change: what
is written wouldn't fit its checksum, and would never be handed out. The writing thread does
the rest (`empiarfs.cache.block_writer`).

Every ten seconds the store also gives back what others have taken of the disk meanwhile.

Threading: all public methods are safe from any thread. The store itself has no lock: its
parts have theirs. Only `CurrentDatabase` holds its own while others (the tier's, the
sweeper's) are taken, when it leaves a damaged generation.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from empiarfs.cache.block_file import OpenBlock
from empiarfs.cache.block_writer import BlockWriter, Job, StoredPiece
from empiarfs.cache.careful import CarefulReads
from empiarfs.cache.current import CurrentDatabase
from empiarfs.cache.database import BlockDatabase
from empiarfs.cache.generations import Generations
from empiarfs.cache.health import Health, RareWarning
from empiarfs.cache.limit_file import check_limit
from empiarfs.cache.locks import BusyError
from empiarfs.cache.open_blocks import OpenBlocks, tier_size
from empiarfs.cache.room import RoomMeter
from empiarfs.cache.store import BlockPut, CacheUsage, well_formed
from empiarfs.cache.sweep import ORPHAN_AGE_S, Sweeper
from empiarfs.cache.threads import CacheThreads, TooSlowError
from empiarfs.core.block_format import (
    MAX_NAME_SIZE,
    ReadableBuffer,
    encode_name,
    file_key_of,
    piece_checksum,
)
from empiarfs.core.files import BlockKey, RemoteFile
from empiarfs.errors import CacheError, CorruptBlockError
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

T = TypeVar("T")

_READ_TIMEOUT_S = 1.5
_WRITE_TIMEOUT_S = 2.0
_CLOSE_TIMEOUT_S = 2.0
_USAGE_S = 1.0
_READERS = 2
# What a file says that is no use any more, unlike the shortage of descriptors or memory.
_SPOILT = (errno.EACCES, errno.EPERM, errno.ENXIO, errno.EIO, errno.EUCLEAN)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_DISK_FAILS = (errno.EIO, errno.EUCLEAN)
# One: with two, writes of 1 MiB were no faster and waited for each other's database lock.
_WRITERS = 1


class DiskBlockStore:
    """Keeps blocks in a directory, and keeps every promise of `BlockStore`.

    Nothing is opened and no thread is started before the first use.

    Args:
        directory: Where the blocks go; `open_cache_directory` makes it.
        limit: Bytes that the directory may take, measured by walking over it; a limit that
            stands in the directory counts instead.
        counters: Counts what happens to blocks.
        min_free: The share of the disk to leave free, 0 to 1.
        clock: Seconds, monotonic.

    Raises:
        ConfigError: The limit is too small.
    """

    def __init__(
        self,
        directory: Path,
        limit: int,
        counters: Counters,
        *,
        min_free: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_limit(limit)
        self._counters = counters
        self._clock = clock
        self._meter = RoomMeter(directory, limit, clock, min_free)
        self._generations = Generations(directory)
        self._current = CurrentDatabase(
            self._generations, self._meter.limit, replaced=self._was_replaced, clock=clock
        )
        self._tier = OpenBlocks(tier_size(limit), clock)
        self._readers = CacheThreads("cache-read", _READERS, self._current.end_thread)
        self._writers = CacheThreads("cache-write", _WRITERS, self._current.end_thread)
        self._reading = Health(f"reading the cache in {directory}", clock)
        self._writing = Health(f"writing the cache in {directory}", clock)
        self._reads = CarefulReads(
            self._reading.succeeded, partial(self._note_failure, self._reading)
        )
        self._corrupt = RareWarning("forgot a damaged block, %s: %s", clock)
        self._sweeper = Sweeper(self._generations, self._run, counters, tend=self._tend)
        self._writer = BlockWriter(self._meter, self._tier, counters, self._load)
        self._usage_at = -_USAGE_S
        self._usage = CacheUsage(0, limit, 0, None)
        self._closed = False

    # What callers use

    def open(self, key: BlockKey, file: RemoteFile) -> OpenBlock | None:
        """See `BlockStore.open`."""
        block = self._tier.get(key.short)
        if block is None:
            block = self._look_up(key)
        elif not self._reading.allows():
            return None
        if block is not None and block.header.name != encode_name(file.name_key):
            return None  # 128 bits of two names are equal, or the caller mixed them up
        return block

    def peek(self, key: BlockKey) -> int:
        """See `BlockStore.peek`."""
        block = self._tier.get(key.short) or self._look_up(key)
        return block.places if block is not None else 0

    def put(self, key: BlockKey, file: RemoteFile, pieces: Mapping[int, ReadableBuffer]) -> None:
        """See `BlockStore.put`."""
        self.put_many([BlockPut(key, file, pieces)])

    def put_many(self, blocks: Sequence[BlockPut]) -> None:
        """See `BlockStore.put_many`."""
        jobs = [
            Job(
                block.key,
                block.file,
                {place: StoredPiece(d, piece_checksum(d)) for place, d in block.pieces.items()},
            )
            for block in blocks
            if block.pieces and self._can_be_stored(block)
        ]
        if not jobs:
            return
        work = partial(self._current.use, partial(self._writer.store_all, jobs))
        try:
            self._writers.call(work, _WRITE_TIMEOUT_S)
        except Exception as exc:
            self._counters.add("blocks_dropped", sum(not job.is_done for job in jobs))
            self._note_failure(self._writing, exc)
        else:
            self._writing.succeeded()
        self._sweeper.start()

    def _can_be_stored(self, block: BlockPut) -> bool:
        can_be_stored = (
            well_formed(block.key, block.file, block.pieces)
            and len(encode_name(block.file.name_key)) <= MAX_NAME_SIZE
            and not self._closed
            and self._writing.allows()
        )
        if not can_be_stored:
            self._counters.add("blocks_dropped")
        return can_be_stored

    def look_again(self) -> None:
        """Have blocks that aren't whole looked up anew when they are read next.

        Another process may have added to them, which is seen by itself after some seconds.
        """
        self._tier.drop_parts()

    def usage(self) -> CacheUsage:
        """See `BlockStore.usage`."""
        unwell = self._reading.unwell or self._writing.unwell
        now = self._clock()
        if now - self._usage_at >= _USAGE_S and not self._closed and self._reading.allows():
            self._usage_at = now
            try:
                self._usage = self._run(self._measure_usage)
            except Exception as exc:
                self._note_failure(self._reading, exc)
            else:
                self._reading.succeeded()
            unwell = self._reading.unwell or self._writing.unwell
        return replace(self._usage, unwell=unwell)

    def sweep(self, age_s: float = ORPHAN_AGE_S) -> int | None:
        """Remove files without a row now, if they are older than `age_s` seconds.

        Returns:
            Their number, or None if another process is at it.

        Raises:
            CacheError: The database can't be asked.
            OSError: The directory can't be read.
        """
        return self._sweeper.sweep(age_s)

    def close(self) -> None:
        """See `BlockStore.close`."""
        self._closed = True
        self._sweeper.close(_CLOSE_TIMEOUT_S)
        self._writers.close(_CLOSE_TIMEOUT_S)
        self._readers.close(_CLOSE_TIMEOUT_S)
        self._current.forget()
        self._tier.clear()
        self._reads.end(_CLOSE_TIMEOUT_S)

    # Reading

    def _look_up(self, key: BlockKey) -> OpenBlock | None:
        if self._closed or not self._reading.allows():
            return None
        try:
            block = self._run(partial(self._load, key))
        except CorruptBlockError:
            return None
        except Exception as exc:
            self._note_failure(self._reading, exc)
            return None
        self._reading.succeeded()
        self._sweeper.start()
        if block is not None:
            self._tier.keep(key.short, block)
        return block

    def _load(self, key: BlockKey, database: BlockDatabase) -> OpenBlock | None:
        """Open a block's file, in a cache thread."""
        self._reads.start()
        for _ in range(2):  # the file may be replaced between the look-up and the open
            filename = database.filename_of(key.short)
            if filename is None:
                return None
            path = database.path_of(filename)
            try:
                block = OpenBlock(path, partial(self._was_damaged, key, filename), self._reads)
                _check_names(block, key)
            except FileNotFoundError:
                continue
            except CorruptBlockError as exc:
                self._count_corrupt(path, exc)
                database.forget(key.short, filename)
                return None
            except OSError as exc:
                if exc.errno in _NO_DESCRIPTORS:
                    self._tier.clear()  # so that those of blocks that nobody reads come back
                    continue
                if exc.errno not in _SPOILT:
                    raise
                self._count_corrupt(path, exc)
                database.forget(key.short, filename)
                if exc.errno in _DISK_FAILS:
                    raise
                return None
            return block
        return None

    def _was_damaged(
        self, key: BlockKey, filename: str, block: OpenBlock, exc: CacheError | OSError
    ) -> None:
        """Forget a block that a reader found damaged; the reader doesn't wait for that."""
        self._tier.drop_block(key.short, block)
        self._count_corrupt(block.path, exc)
        forget = partial(BlockDatabase.forget, key=key.short, filename=filename)
        try:
            self._writers.submit(partial(self._current.use, forget))
        except CacheError:
            logger.debug("a damaged block stays until it is read again: the store is closed")

    def _count_corrupt(self, path: str, exc: Exception) -> None:
        self._counters.add("blocks_corrupt")
        self._corrupt.log(path, exc)

    # Now and then, in the sweeper's thread

    def _tend(self) -> None:
        """Give back what others have taken of the disk."""
        if not self._closed and self._writing.unwell is None:
            self._writers.call(
                partial(self._current.use, self._writer.give_back), _WRITE_TIMEOUT_S
            )

    # Around both

    def _run(self, work: Callable[[BlockDatabase], T], /) -> T:
        """Have `work` done with the current database, on a reading thread."""
        return self._readers.call(partial(self._current.use, work), _READ_TIMEOUT_S)

    def _note_failure(self, health: Health, exc: Exception) -> None:
        if self._closed:
            return
        reason = str(exc) or type(exc).__name__
        if isinstance(exc, BusyError | TooSlowError):
            # Now and then SQLite moves its log into the database and has that written to the
            # disk, together with all that a stream left in memory: once is no failure.
            health.busy(reason)
            return
        if not isinstance(exc, CacheError | OSError):
            logger.error("unexpected in the cache", exc_info=exc)
        health.failed(reason)

    def is_pinned(self, file: RemoteFile) -> bool | None:
        """Tell whether a file is never evicted; None if the disk doesn't tell."""
        try:
            return self._run(lambda database: database.is_pinned(file.short_key))
        except Exception as exc:
            self._note_failure(self._reading, exc)
            return None

    def _measure_usage(self, database: BlockDatabase) -> CacheUsage:
        room = self._meter.measure(database)
        used = database.used() + room.overhead
        free, min_free = self._meter.free()
        blocks, pinned = database.block_count(), database.pinned()
        return CacheUsage(used, room.limit, blocks, None, free, min_free, pinned)

    def _was_replaced(self) -> None:
        self._tier.clear()
        self._sweeper.start()
        self._sweeper.hurry()


def _check_names(block: OpenBlock, key: BlockKey) -> None:
    """Check that a file's header names the block that its row names.

    Raises:
        CorruptBlockError: It names another.
    """
    if block.header.index != key.index or file_key_of(block.header.name) != key.file_key:
        raise CorruptBlockError("the block of another file, or another block of this one")
