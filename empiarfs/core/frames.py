"""Finds frames in the reads of one open file: runs that start at a constant distance.

    frames of a stack       runs of a frame's size at a constant stride
    directories of a TIFF   a few pages at frame-sized steps, before any image is read
    the same backwards      the same, with a negative stride

Three runs in equal distances, of about one length, make a *series*. Others may begin in
between: a frame may be read in several places, each of which makes a series of its own.

Pure; not thread-safe.
"""

from __future__ import annotations

from collections.abc import Sequence

from empiarfs.core.ranges import ByteRange
from empiarfs.core.runs import Run

# The kernel reads whole pages, so what begins at equal distances seems to jitter by one.
_JITTER = 16 * 1024
# Runs that begin nearer to each other than this are no frames.
_SHORTEST_STRIDE = 16 * 1024
# Kernels read a little beyond what a program wants, 128 KiB at a time.
_OVERSHOOT = 128 * 1024
# A series is over when so many runs that belong to none began since its last.
_PATIENCE = 6
# How many runs lie between two of one series at most. TIFF has a directory, some tables
# and the image for each frame.
_BETWEEN = 3


def are_alike(length: int, other: int) -> bool:
    """Tell whether two runs are of one length, give or take what the kernel adds."""
    return abs(length - other) <= max(_OVERSHOOT, max(length, other) // 4)


class Series:
    """Runs that start at a constant distance from each other, all of about one length.

    Attributes:
        length: How long a run of it is, in bytes.
        hits: How many runs belonged to it.
        misses: How many runs began elsewhere since the last one that belonged to it.
        ahead: How many runs to keep planned; 0 until one of them had to wait.
        newest: The run of it that began last.
    """

    def __init__(self, first: Run, newest: Run, length: int, jitter: int) -> None:
        self.length = length
        self.hits = 3
        self.misses = 0
        self.ahead = 0
        self.newest = newest
        self._first = first.start
        self._last = newest.start
        self._steps = 2
        self._planned = 0  # how many beyond `_last`
        self._grown_at = -1
        self._jitter = jitter

    @property
    def stride(self) -> float:
        """Bytes from the start of one run to that of the next; below 0 if backwards."""
        # Of the whole series, since each start is off by up to a page.
        return (self._last - self._first) / self._steps

    def takes_in(self, run: Run) -> bool:
        """Take in a run that has just begun where one was foreseen; else return False."""
        stride = self.stride
        steps = round((run.start - self._last) / stride)
        off = abs(run.start - self._last - steps * stride)
        if not 1 <= steps <= self._planned + 2 or off > min(_JITTER, abs(stride) / 4):
            self.misses += 1
            return False
        self.length = self.newest.length
        self.newest = run
        self.hits += 1
        self.misses = 0
        self._steps += steps
        self._last = run.start
        self._planned = max(0, self._planned - steps)
        self._jitter = max(self._jitter, int(off))
        return True

    def starved(self, most: int) -> None:
        """Have twice as many runs planned, `most` at most: the newest one had to wait."""
        if self._grown_at != self.newest.number:
            self._grown_at = self.newest.number
            self.ahead = min(max(2, 2 * self.ahead), self.hits, most)

    def due(self, file_size: int) -> list[ByteRange]:
        """Return the runs to plan now; each is returned once."""
        runs: list[ByteRange] = []
        while self._planned < self.ahead:
            self._planned += 1
            start = self._last + round(self._planned * self.stride)
            stop = start + self.length + self._jitter
            runs.append(ByteRange(max(0, start - self._jitter), max(0, stop)).clamp(file_size))
        return runs


class Frames:
    """The series of one open file."""

    def __init__(self) -> None:
        self._series: list[Series] = []

    def of(self, run: Run) -> Series | None:
        """Return the series whose newest run this is."""
        return next((s for s in self._series if s.newest is run), None)

    def begun(self, run: Run, earlier: Sequence[Run]) -> Series | None:
        """Return the series that a new run belongs to, or makes with two earlier ones.

        Args:
            run: It has just begun.
            earlier: Those that began before it, newest last.
        """
        for series in self._series:
            if series.takes_in(run):
                return series
        self._series = [s for s in self._series if s.misses <= _PATIENCE]
        found = _found(run, earlier)
        if found is not None:
            self._series.append(found)
        return found


def _found(run: Run, earlier: Sequence[Run]) -> Series | None:
    for index in reversed(range(max(0, len(earlier) - 1 - _BETWEEN), len(earlier))):
        middle = earlier[index]
        stride = run.start - middle.start
        if abs(stride) < _SHORTEST_STRIDE:
            continue
        for first in earlier[:index]:
            off = abs(middle.start - first.start - stride)
            if off <= min(_JITTER, abs(stride) / 4) and are_alike(first.length, middle.length):
                return Series(first, run, max(first.length, middle.length), off)
    return None
