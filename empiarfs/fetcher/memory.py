"""The memory tier: pieces that came lately, and which reads failed lately.

Threading: not thread-safe; the fetcher holds its lock around every call.
"""

from __future__ import annotations

import time

from cachetools import LRUCache, TTLCache

from empiarfs.errors import EmpiarFSError

PieceName = tuple[str, int]  # RemoteFile.short_key, piece index

# The kernel repeats a failed read two or three times; each must not wait anew.
_FAILURE_TTL_S = 30.0
_FAILURES_KEPT = 4096


class RecentPieces:
    """The pieces used last, bounded in bytes; least recently used ones go first.

    A reader comes back to a piece within moments (a program reads 4 KiB at a time, the
    kernel repeats requests), which is what least recently used is good at. Coming back
    after hours is the business of the cache directory.

    Args:
        capacity: Bytes to hold at most.
    """

    def __init__(self, capacity: int) -> None:
        self._pieces: LRUCache[PieceName, bytearray] = LRUCache(capacity, getsizeof=len)

    def get(self, name: PieceName) -> bytearray | None:
        """Return the piece and mark it as used, or None."""
        return self._pieces.get(name)

    def add(self, name: PieceName, piece: bytearray) -> None:
        """Keep the piece; one larger than the capacity is not kept."""
        if len(piece) <= self._pieces.maxsize:
            self._pieces[name] = piece

    @property
    def used(self) -> int:
        """Bytes held."""
        return int(self._pieces.currsize)


class RecentFailures:
    """What could not be read, for half a minute, or until something could."""

    def __init__(self) -> None:
        self._failures: TTLCache[PieceName, EmpiarFSError] = TTLCache(
            _FAILURES_KEPT, _FAILURE_TTL_S, timer=time.monotonic
        )

    def get(self, name: PieceName) -> EmpiarFSError | None:
        """Return why the piece could not be had lately, or None."""
        # Nearly always empty, and this is asked for at each read.
        return self._failures.get(name) if self._failures else None

    def add(self, name: PieceName, failure: EmpiarFSError) -> None:
        """Remember why the piece could not be had."""
        self._failures[name] = failure

    def clear(self) -> None:
        """Forget all: something could be read, so the next try may go well."""
        if self._failures:
            self._failures.clear()
