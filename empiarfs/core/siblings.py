"""The attribute planner of one directory: whose sizes to ask for together.

A program that wants the size of one file mostly wants those of its neighbours next, in
listing order. The first `stat` in a directory asks for a few, each further one that has to
wait for four times as many, so that `ls -l` costs about as many round trips as there are
thousands of files, and `stat` of one file in a directory of 20,000 costs a handful of HEADs.

Pure: told which row was asked for, it answers with the rows to ask the archive about.
"""

from __future__ import annotations

from dataclasses import dataclass

# Guesses, to be replaced by a measurement over the slow links: a handful costs the archive
# little, 4,096 are about one second of pipelined HEADs over 8 connections at 100 ms.
FIRST = 8
GROWTH = 4
LARGEST = 4096
# A row that lies at most this far past the last batch still goes on with the sequence.
_SLACK = 64


@dataclass(frozen=True, slots=True)
class AttributeWindow:
    """How sizes were asked for in one directory so far.

    Attributes:
        size: How many rows the last batch had; 0 before the first.
        asked_to: Row index one past the last batch.
    """

    size: int = 0
    asked_to: int = 0

    def after_miss(self, row: int, row_count: int) -> tuple[AttributeWindow, range]:
        """Return the state after the size of `row` was wanted and unknown, and a batch.

        Args:
            row: Index of the wanted row in listing order.
            row_count: How many rows the listing has.

        Returns:
            The next state, and the rows to ask about; `row` is the first of them. Rows
            whose size is known already are among them: the caller leaves those out.
        """
        goes_on = self.size > 0 and 0 <= row - self.asked_to <= _SLACK
        size = min(self.size * GROWTH, LARGEST) if goes_on else FIRST
        batch = range(row, min(row + size, row_count))
        return AttributeWindow(size, batch.stop), batch
