"""The memory tier: pieces that came lately, and which reads failed lately.

Threading: not thread-safe; the fetcher holds its lock around every call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import count

from cachetools import LRUCache, TTLCache

from empiarfs.errors import EmpiarFSError

PieceName = tuple[str, int]  # RemoteFile.short_key, piece index

# The kernel repeats a failed read two or three times; each must not wait anew.
_FAILURE_TTL_S = 30.0
# It does so within milliseconds; even if others are served meanwhile, it is refused.
_REPEATED_S = 2.0
_FAILURES_KEPT = 4096


class _Evicting(LRUCache[int, tuple[list[PieceName], int]]):
    """The pieces and the size of each buffer, by number; tells which buffer it evicts."""

    def __init__(self, capacity: int, evicted: Callable[[int, list[PieceName]], None]) -> None:
        super().__init__(capacity, getsizeof=lambda load: load[1])
        self._evicted = evicted

    def popitem(self) -> tuple[int, tuple[list[PieceName], int]]:
        """Evict the buffer used least recently."""
        number, load = super().popitem()
        self._evicted(number, load[0])
        return number, load


class RecentPieces:
    """The pieces used last, bounded in bytes; least recently used ones go first.

    A reader comes back to a piece within moments (a program reads 4 KiB at a time, the
    kernel repeats requests), which is what least recently used is good at. Coming back
    after hours is the business of the cache directory.

    Pieces that came in one buffer stay and go together, since the buffer does.

    Args:
        capacity: Bytes to hold at most.
    """

    def __init__(self, capacity: int) -> None:
        self._loads: LRUCache[int, tuple[list[PieceName], int]] = _Evicting(capacity, self._forget)
        self._pieces: dict[PieceName, tuple[int, memoryview]] = {}
        self._numbers = count()

    def get(self, name: PieceName) -> memoryview | None:
        """Return the piece and mark it as used, or None."""
        found = self._pieces.get(name)
        if found is None:
            return None
        number, piece = found
        self._loads.get(number)
        return piece

    def add(self, names: Sequence[PieceName], pieces: Sequence[memoryview]) -> None:
        """Keep pieces that came in one buffer; what exceeds the capacity is not kept."""
        size = sum(map(len, pieces))
        if size > self._loads.maxsize:
            return
        number = next(self._numbers)
        self._loads[number] = (list(names), size)
        self._pieces.update(
            (name, (number, piece)) for name, piece in zip(names, pieces, strict=True)
        )

    def _forget(self, number: int, names: list[PieceName]) -> None:
        for name in names:
            # It may have come again since, in another buffer.
            found = self._pieces.get(name)
            if found is not None and found[0] == number:
                del self._pieces[name]

    @property
    def used(self) -> int:
        """Bytes held."""
        return int(self._loads.currsize)


class RecentFailures:
    """What could not be read, for half a minute, or until something could.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: TTLCache[PieceName, tuple[EmpiarFSError, float]] = TTLCache(
            _FAILURES_KEPT, _FAILURE_TTL_S, timer=clock
        )
        self._succeeded_s = float("-inf")

    def get(self, name: PieceName) -> EmpiarFSError | None:
        """Return why the piece could not be had lately, or None."""
        # Nearly always empty, and this is asked for at each read.
        if not self._failures:
            return None
        failure, failed_s = self._failures.get(name, (None, 0.0))
        now_s = self._clock()
        if failed_s < self._succeeded_s and now_s - failed_s > _REPEATED_S:
            return None
        return failure

    def add(self, name: PieceName, failure: EmpiarFSError) -> None:
        """Remember why the piece could not be had."""
        self._failures[name] = (failure, self._clock())

    def clear(self) -> None:
        """Forget all but the newest: something could be read, so the next try may go well."""
        if self._failures:
            self._succeeded_s = self._clock()
