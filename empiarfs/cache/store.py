"""What a block store promises, and the one that keeps its blocks in memory.

A store is a bounded, lossy map from block keys to pieces. Lossy means: a block that was put
may be gone at any time and without notice, and the caller fetches it again. It never
returns bytes other than those that were put, it never raises because of its disk, and no
call takes longer than about two seconds, whatever the disk does.

Threading: every store is safe to use from several threads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cachetools import RRCache

from empiarfs.core.block_format import ReadableBuffer
from empiarfs.core.blocks import PIECE_SIZE, PIECES_PER_BLOCK, piece_size, pieces_of_block
from empiarfs.core.files import BlockKey, RemoteFile

__all__ = [
    "BlockPut",
    "BlockStore",
    "CacheUsage",
    "MemoryBlockStore",
    "ReadableBuffer",
    "StoredBlock",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """How full a store is.

    Attributes:
        used: Bytes taken, with all that the store needs for itself.
        limit: Bytes that it may take.
        blocks: Number of blocks, whole or not.
        unwell: Why the store is bypassed at the moment, as a sentence; None if it isn't.
        disk_free: Bytes that are free on the store's disk; 0 without one.
        min_free: Of these, how many the store leaves free.
        pinned: Of the bytes taken, those of files that are never evicted.
    """

    used: int
    limit: int
    blocks: int
    unwell: str | None
    disk_free: int = 0
    min_free: int = 0
    pinned: int = 0


class StoredBlock(Protocol):
    """A block as it was when it was opened; later changes of the store don't touch it."""

    @property
    def places(self) -> int:
        """Bitmap of the places held: bit p stands for the piece at place p."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes `[start, stop)`, counted from the start of the block.

        Raises:
            CorruptBlockError: They aren't what was put; the store forgets the block.
            CacheError: The disk takes too long; the block may be read another time.
            ValueError: A piece that isn't held is touched.
        """
        ...


@dataclass(frozen=True, slots=True)
class BlockPut:
    """A block, or a part of one, to be kept.

    Attributes:
        key: The block.
        file: The file that it is of.
        pieces: By place in the block, each exactly as long as the piece is.
    """

    key: BlockKey
    file: RemoteFile
    pieces: Mapping[int, ReadableBuffer]


class BlockStore(Protocol):
    """A bounded, lossy map from block keys to pieces; the module says what is promised."""

    def open(self, key: BlockKey, file: RemoteFile) -> StoredBlock | None:
        """Return the block for reading, or None if the store hasn't got it."""
        ...

    def peek(self, key: BlockKey) -> int:
        """Return the bitmap of the places held, 0 if there are none."""
        ...

    def put(self, key: BlockKey, file: RemoteFile, pieces: Mapping[int, ReadableBuffer]) -> None:
        """Keep pieces of a block beside those kept already; drop them if that can't be.

        Returns when they are stored or dropped; the buffers may be used anew then.

        Args:
            key: The block.
            file: The file that it is of.
            pieces: By place in the block, each exactly as long as the piece is.
        """
        ...

    def put_many(self, blocks: Sequence[BlockPut]) -> None:
        """The same for several blocks, which costs less than one after another."""
        ...

    def usage(self) -> CacheUsage:
        """Return how full the store is, as of about a second ago."""
        ...

    def close(self) -> None:
        """End what runs in the background; blocks opened earlier may still be read."""
        ...


def well_formed(key: BlockKey, file: RemoteFile, pieces: Mapping[int, ReadableBuffer]) -> bool:
    """Tell whether `pieces` can be pieces of the block; log an error if they can't.

    A store must not raise because of what it is given, and must not keep it either: a piece
    of the wrong length would move all that follow it.
    """
    allowed = len(pieces_of_block(key.index, file.size))
    first = key.index * PIECES_PER_BLOCK
    for place, data in pieces.items():
        size = memoryview(data).nbytes
        if not 0 <= place < allowed or size != piece_size(first + place, file.size):
            logger.error(
                "%d bytes for place %d of block %d of %r", size, place, key.index, file.path
            )
            return False
    return True


def check_bounds(places: int, start: int, stop: int) -> tuple[int, int]:
    """Return the first and the last place that `[start, stop)` touches; it isn't empty.

    Raises:
        ValueError: The range isn't one, or touches a place that isn't in the bitmap.
    """
    if not 0 <= start < stop:
        raise ValueError(f"not a range inside a block: [{start}, {stop})")
    first, last = start // PIECE_SIZE, (stop - 1) // PIECE_SIZE
    mask = (2 << last) - (1 << first)
    if places & mask != mask:
        raise ValueError(f"[{start}, {stop}) isn't held: {places:#06x}")
    return first, last


class UnchangedStore:
    """A store that is read and never added to: for what is kept elsewhere anyway.

    Args:
        store: What is read; whoever made it closes it.
    """

    def __init__(self, store: BlockStore) -> None:
        self._store = store

    def open(self, key: BlockKey, file: RemoteFile) -> StoredBlock | None:
        """See `BlockStore.open`."""
        return self._store.open(key, file)

    def peek(self, key: BlockKey) -> int:
        """See `BlockStore.peek`."""
        return self._store.peek(key)

    def put(self, key: BlockKey, file: RemoteFile, pieces: Mapping[int, ReadableBuffer]) -> None:
        """Drop the pieces."""

    def put_many(self, blocks: Sequence[BlockPut]) -> None:
        """Drop the blocks."""

    def usage(self) -> CacheUsage:
        """See `BlockStore.usage`."""
        return self._store.usage()

    def close(self) -> None:
        """Do nothing."""


class MemoryStoredBlock:
    """A block in memory; never changed once made."""

    __slots__ = ("_pieces", "places")

    def __init__(self, pieces: Mapping[int, bytes]) -> None:
        self._pieces = dict(pieces)
        self.places = sum(1 << place for place in pieces)

    @property
    def pieces(self) -> Mapping[int, bytes]:
        """The pieces by place."""
        return self._pieces

    @property
    def size(self) -> int:
        """Bytes of all pieces."""
        return sum(map(len, self._pieces.values()))

    def read(self, start: int, stop: int) -> bytes:
        """See `StoredBlock.read`."""
        if start == stop:
            return b""
        first, last = check_bounds(self.places, start, stop)
        lead = first * PIECE_SIZE
        data = b"".join(self._pieces[place] for place in range(first, last + 1))
        if stop - lead > len(data):
            raise ValueError(f"[{start}, {stop}) goes past the end of the file")
        return data[start - lead : stop - lead]


class MemoryBlockStore:
    """Keeps blocks in memory: for tests, and for mounts without a cache directory.

    Keeps every promise of `BlockStore`, like the disk store; both run the same contract
    tests, tests/cache/test_store_contract.py. Victims are random, as on disk.

    Args:
        limit: Bytes of pieces to keep at most.
    """

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._blocks: RRCache[BlockKey, MemoryStoredBlock] = RRCache(
            limit, getsizeof=lambda block: block.size
        )  # guarded by _lock

    def open(self, key: BlockKey, file: RemoteFile) -> MemoryStoredBlock | None:
        """See `BlockStore.open`."""
        with self._lock:
            return self._blocks.get(key)

    def peek(self, key: BlockKey) -> int:
        """See `BlockStore.peek`."""
        with self._lock:
            block = self._blocks.get(key)
            return block.places if block is not None else 0

    def put_many(self, blocks: Sequence[BlockPut]) -> None:
        """See `BlockStore.put_many`."""
        for block in blocks:
            self.put(block.key, block.file, block.pieces)

    def put(self, key: BlockKey, file: RemoteFile, pieces: Mapping[int, ReadableBuffer]) -> None:
        """See `BlockStore.put`."""
        if not pieces or not well_formed(key, file, pieces):
            return
        fresh = {place: bytes(data) for place, data in pieces.items()}
        with self._lock:
            old = self._blocks.pop(key, None)
            block = MemoryStoredBlock({**(old.pieces if old else {}), **fresh})
            if block.size <= self._blocks.maxsize:
                self._blocks[key] = block

    def usage(self) -> CacheUsage:
        """See `BlockStore.usage`."""
        with self._lock:
            return CacheUsage(
                int(self._blocks.currsize), int(self._blocks.maxsize), len(self._blocks), None
            )

    def close(self) -> None:
        """See `BlockStore.close`."""
