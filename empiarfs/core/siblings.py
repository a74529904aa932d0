"""The attribute planner of one directory: whose sizes to ask for together, and when.

A program that wants the size of one file mostly wants those of its neighbours next, in
listing order. How many are asked for depends on what was seen:

    a size is wanted that isn't known          asked for
    -----------------------------------------  -----------------------------------------
    of any file                                8, it and those that follow
    where the last batch ended                 4 times as many as then, up to 4,096
    soon after the directory was listed        64; at each further place 64 more, since
                                               some programs go by inode numbers

    a size is wanted that was asked for        asked for
    -----------------------------------------  -----------------------------------------
    past the middle of the last batch          the next batch, before the reader gets there
    past the first of a batch that came soon   4,096: this is `ls -l`, or a program that
    after the directory was listed             goes on like it
    the same, by a program that opens the      64 at most: reading takes its time, and the
    files                                      connections

So `stat` of one file costs a handful of HEADs, 64 at most, and `ls -l` some round trips for
thousands of files.

Pure: told which row was wanted, it answers with the rows to ask the archive about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# A handful costs the archive little. 64 are what one connection is given, four round
# trips' worth; 4,096 keep ten connections busy for half a second at 40 ms.
FIRST = 8
FIRST_LISTED = 64
GROWTH = 4
LARGEST = 4096
# A row that lies at most this far past the last batch still goes on with the sequence.
_SLACK = 64
_NOTHING = range(0)


@dataclass(frozen=True, slots=True)
class AttributeWindow:
    """How sizes were asked for in one directory so far.

    Attributes:
        size: How many rows the last batch had; 0 before the first.
        asked_to: Row index one past the last batch.
        due_from: Who wants a row from here on to `asked_to` calls for the next batch.
        places: At how many places batches began that went on with nothing.
        is_listed: The last batch came soon after the directory was listed.
        is_read: A file was opened since the last batch at a new place.
    """

    size: int = 0
    asked_to: int = 0
    due_from: int = 0
    places: int = 0
    is_listed: bool = False
    is_read: bool = False

    def after_miss(
        self, row: int, row_count: int, *, listed: bool
    ) -> tuple[AttributeWindow, range]:
        """Return the state after the size of `row` was wanted and unknown, and a batch.

        Args:
            row: Index of the wanted row in listing order.
            row_count: How many rows the listing has.
            listed: Whether a program has listed the directory a moment ago.

        Returns:
            The next state, and the rows to ask about; `row` is the first of them. Rows
            whose size is known already are among them: the caller leaves those out.
        """
        if self.size and 0 <= row - self.asked_to <= _SLACK:
            return self._next(row, row_count)
        places = self.places + 1 if listed else 0
        size = min(FIRST_LISTED * places, LARGEST) if listed else FIRST
        stop = min(row + size, row_count)
        due_from = row + 1 if listed else row + size // 2
        return AttributeWindow(size, stop, due_from, places, listed), range(row, stop)

    def is_due(self, row: int) -> bool:
        """Tell whether it calls for the next batch that the size of `row` is wanted."""
        return self.due_from <= row < self.asked_to

    def after_hit(self, row: int, row_count: int) -> tuple[AttributeWindow, range]:
        """Return the state after the size of `row` was wanted that had been asked for.

        Args:
            row: Index of the wanted row in listing order.
            row_count: How many rows the listing has.

        Returns:
            The next state, and the rows to ask about now; mostly none.
        """
        if not self.is_due(row) or self.asked_to >= row_count:
            return self, _NOTHING
        return self._next(self.asked_to, row_count)

    def after_open(self) -> AttributeWindow:
        """Return the state after a file was opened: whoever reads has time for its sizes."""
        if self.is_read or not self.size:
            return self
        return replace(self, is_read=True, due_from=self.asked_to - self.size // 2)

    def _next(self, start: int, row_count: int) -> tuple[AttributeWindow, range]:
        if self.is_read:
            # One connection brings as many while half of them are read.
            size = min(self.size * GROWTH, FIRST_LISTED)
        else:
            size = LARGEST if self.is_listed else min(self.size * GROWTH, LARGEST)
        stop = min(start + size, row_count)
        due_from = start + size // 2
        return replace(self, size=size, asked_to=stop, due_from=due_from), range(start, stop)
