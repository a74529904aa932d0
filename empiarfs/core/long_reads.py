"""Tells a program that reads through a directory from others, and how long it will take.

`cp -r`, `rsync` or `tar` on an entry reads file after file, whole and in the order of the
directory. For an entry of some terabytes that takes days, which nobody means who didn't plan
it. So a *streak* is what one process reads of one directory

* whole: nine tenths of a file's bytes, before it is closed;
* in a row: each file next to one that was just read, or at most `_NEAR` rows from it.

A sample by chance, headers only, or a file here and there end a streak, and nothing is said of
it. Files so small that the kernel reads them whole for a look at their header say nothing.

Pure; not thread-safe. Times are in seconds since 1970.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

FILES = 8
"""So many files in a row are a streak,"""
SECONDS = 3.0
"""and so long they have to have taken."""
LONG_S = 4 * 3600.0
"""What takes longer than this from now on is worth telling."""

_WHOLE = 0.9
_SMALLEST = 256 * 1024
_NEAR = 4
# Of what lies between the first file of a streak and its last, so much has to have been read:
# who reads every other file won't read the rest.
_COVERED = 0.6
# The speed is that of the last five to ten minutes.
_SPEED_OVER_S = 300.0
_IDLE_S = 600.0
_KEPT = 64

# Between which sizes a file's lies, in bytes; None for what is no file.
Bounds = tuple[int, int] | None


@dataclass(slots=True)
class Streak:
    """Files of one directory that one process has read in a row.

    Attributes:
        process: Its number.
        directory: The directory's path.
        first: The row of the first file,
        last: and of that which lies farthest.
        began_s: When the first was opened,
        last_s: and when the last was closed.
        files: How many they are.
        size: Bytes that were read of them.
        was_told: Whether the log has it.
    """

    process: int
    directory: str
    first: int
    last: int
    began_s: float
    last_s: float
    files: int = 0
    size: int = 0
    was_told: bool = False
    _rows: deque[int] = field(default_factory=lambda: deque(maxlen=2 * _NEAR), repr=False)
    # When, and how many bytes had been read by then: some minutes ago, and later.
    _marks: list[tuple[float, int]] = field(default_factory=list, repr=False)

    def goes_on(self, row: int) -> bool:
        """Tell whether a file at this row belongs to it."""
        return abs(row - self.last) <= _NEAR and row not in self._rows

    def add(self, row: int, size: int, now_s: float) -> None:
        """Note a file that was read."""
        if not self._marks:
            self._marks = [(self.began_s, 0), (self.began_s, 0)]
        self._rows.append(row)
        self.first, self.last = min(self.first, row), max(self.last, row)
        self.files += 1
        self.size += size
        self.last_s = max(self.last_s, now_s)
        if now_s - self._marks[1][0] > _SPEED_OVER_S:
            self._marks = [self._marks[1], (now_s, self.size)]

    @property
    def is_long_enough(self) -> bool:
        """Whether it is clear that the process reads through the directory."""
        return self.files >= FILES and self.last_s - self.began_s >= SECONDS

    def is_idle(self, now_s: float) -> bool:
        """Tell whether it has stopped, as the next file should have been read long ago."""
        per_file_s = (self.last_s - self.began_s) / max(1, self.files)
        return now_s - self.last_s > _IDLE_S + 3 * per_file_s

    @property
    def bytes_per_s(self) -> float:
        """Bytes a second that it read lately."""
        since_s, before = self._marks[0] if self._marks else (self.began_s, 0)
        seconds = self.last_s - since_s
        return (self.size - before) / seconds if seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Left:
    """What of its directory a streak has still before it.

    Attributes:
        files: How many files,
        low: how many bytes at least,
        high: and at most.
        seconds: How long that takes at its speed, at least.
    """

    files: int
    low: int
    high: int
    seconds: float

    @property
    def is_long(self) -> bool:
        """Whether it is worth telling."""
        return self.seconds >= LONG_S


def left_of(streak: Streak, sizes: Sequence[Bounds]) -> Left | None:
    """Return what a streak has before it; None if it doesn't read all that it comes by.

    Args:
        streak: The streak.
        sizes: For each row of its directory.
    """
    between = sum(each[0] for each in sizes[streak.first : streak.last + 1] if each is not None)
    if not streak.is_long_enough or streak.size < _COVERED * between:
        return None
    rest = [each for each in sizes[streak.last + 1 :] if each is not None]
    low, high = (sum(each[end] for each in rest) for end in (0, 1))
    return Left(len(rest), low, high, low / max(streak.bytes_per_s, 1.0))


class LongReads:
    """The streaks of all processes."""

    def __init__(self) -> None:
        # The last to go on is the last.
        self._streaks: OrderedDict[tuple[int, str], Streak] = OrderedDict()

    def read(
        self,
        process: int,
        directory: str,
        row: int,
        size: int,
        read: int,
        opened_s: float,
        now_s: float,
    ) -> Streak | None:
        """Note a file that a process has closed.

        Args:
            process: Its number.
            directory: The path of the file's directory.
            row: Where the file stands in it.
            size: Its bytes.
            read: Of these, how many were read.
            opened_s: When it was opened.
            now_s: And closed.

        Returns:
            The streak that it belongs to, if it is long enough and has just doubled.
        """
        if size < _SMALLEST:
            return None
        key = (process, directory)
        streak = self._streaks.pop(key, None)
        if read < _WHOLE * size:
            return None
        if streak is None or not streak.goes_on(row):
            streak = Streak(process, directory, row, row, opened_s, now_s)
        self._streaks[key] = streak
        before = streak.is_long_enough
        streak.add(row, read, now_s)
        if len(self._streaks) > _KEPT:
            self._streaks.popitem(last=False)
        doubles = streak.files & (streak.files - 1) == 0
        return streak if streak.is_long_enough and (doubles or not before) else None

    def streaks(self, now_s: float) -> list[Streak]:
        """Return those that are long enough and go on, each alone in its directory.

        Where several processes read one directory, each may read a part of it only.
        """
        long = [
            each
            for each in self._streaks.values()
            if each.is_long_enough and not each.is_idle(now_s)
        ]
        directories = [each.directory for each in long]
        return [each for each in long if directories.count(each.directory) == 1]
