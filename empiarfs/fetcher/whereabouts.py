"""Where the pieces of a file are: in memory, on their way, on the disk, or nowhere here.

They are looked for in the order of their journey, so that one that moves on meanwhile is met
later:

    recent pieces → on its way from the archive → on its way to the disk → cache directory

Nothing is fetched here, and nobody is waited for but the disk.

Threading: safe from any thread; nothing of its own needs a lock.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from empiarfs.cache.store import BlockStore
from empiarfs.cache.writebehind import WriteBehind
from empiarfs.core.blocks import (
    BLOCK_SIZE,
    PIECE_SIZE,
    BlockIndex,
    block_of,
    byte_range_of,
    piece_size,
    pieces_of_block,
    place_of,
    runs,
)
from empiarfs.core.files import BlockKey, RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import CacheError
from empiarfs.fetcher.flights import Flights, Located
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)


class Whereabouts:
    """Looks for pieces; safe from any thread.

    Args:
        flights: Recent pieces, and those on their way from the archive.
        pending: Those on their way to the disk.
        store: The cache directory.
        counters: Counts what the disk had.
    """

    def __init__(
        self, flights: Flights, pending: WriteBehind, store: BlockStore, counters: Counters
    ) -> None:
        self._flights = flights
        self._pending = pending
        self._store = store
        self._counters = counters

    def in_memory(self, file: RemoteFile, pieces: Sequence[int]) -> Located:
        """Return what of `pieces` is in memory, and what is on its way here."""
        located = self._flights.locate(file, pieces)
        for piece in located.missing(pieces):
            pending = self._pending.get(file, piece)
            if pending is not None:
                located.held[piece] = pending
        return located

    def from_disk(
        self, file: RemoteFile, wanted: ByteRange, pieces: range, located: Located
    ) -> bytes | None:
        """Add to `located` what the cache directory has.

        Args:
            file: The version that is read.
            wanted: The bytes that are to be returned.
            pieces: Those that cover them.
            located: What of these was found already.

        Returns:
            The bytes `wanted` if all of them come from one stored block, which is the
            common case and needs no copy; else None.
        """
        missing = located.missing(pieces)
        for block in dict.fromkeys(map(block_of, missing)):
            stored = self._store.open(BlockKey(file.short_key, block), file)
            if stored is None:
                continue
            first = block * BLOCK_SIZE
            here = [
                p for p in missing if block_of(p) == block and stored.places >> place_of(p) & 1
            ]
            try:
                if len(here) == len(pieces):
                    whole = stored.read(wanted.start - first, wanted.stop - first)
                    self._counters.add("disk_bytes", len(whole))
                    return whole
                for run in runs(here):
                    part = byte_range_of(run, file.size)
                    data = memoryview(stored.read(part.start - first, part.stop - first))
                    self._counters.add("disk_bytes", len(data))
                    for piece in run:
                        offset = piece * PIECE_SIZE - part.start
                        located.held[piece] = data[offset : offset + PIECE_SIZE]
            except CacheError as exc:
                # It is damaged, and the store has removed and counted it; or the disk takes
                # too long. What it held is fetched again.
                logger.info("a stored block of %r can't be read: %s", file.path, exc)
        return None

    def nowhere(self, file: RemoteFile, pieces: Sequence[int], located: Located) -> list[int]:
        """Return those of `pieces` that are nowhere; note in `located` where others are."""
        absent: list[int] = []
        found = self.in_memory(file, pieces)
        located.held.update(found.held)
        located.flights.update(found.flights)
        missing = found.missing(pieces)
        for block in dict.fromkeys(map(block_of, missing)):
            places = self._store.peek(BlockKey(file.short_key, block))
            absent.extend(
                piece
                for piece in missing
                if block_of(piece) == block and not places >> place_of(piece) & 1
            )
        return absent

    def cached_bytes(self, file: RemoteFile) -> int:
        """Return how many bytes of `file` the cache directory holds."""
        total = 0
        for block in range(-(-file.size // BLOCK_SIZE)):
            places = self._store.peek(BlockKey(file.short_key, BlockIndex(block)))
            total += sum(
                piece_size(piece, file.size)
                for piece in pieces_of_block(block, file.size)
                if places >> place_of(piece) & 1
            )
        return total
