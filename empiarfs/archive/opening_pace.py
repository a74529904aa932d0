"""How fast connections to the archive are opened, by all processes of the machine together.

A connection is opened against a name that is taken for one second: `new-NN`, or `renewed-NN`
for one in place of one that the archive ended in order.

Threading: called by whoever holds the budget's lock.
"""

from __future__ import annotations

from empiarfs.archive.later import Later
from empiarfs.archive.machine_names import bind_name

NEW_CONNECTIONS_PER_S = 10
# Apache ends a connection after 100 requests: the sizes of 20,000 files take 200 connections,
# 20 s at ten a second and 5 s at these. One in place of one that ended in order leaves no
# abandoned connection behind, which is what the ten guard against.
RENEWALS_PER_S = 30


class OpeningPace:
    """The machine's pace, as far as this process has to do with it. Not thread-safe.

    Args:
        prefix: First word of the names.
        later: Gives names back a second later.
        most_renewals: Connections that ended in order and may be replaced, at most.
        urgent_only: How many of the ten a second are for what somebody waits for.
    """

    def __init__(self, prefix: str, later: Later, most_renewals: int, urgent_only: int) -> None:
        self._prefix = prefix
        self._later = later
        self._most_renewals = most_renewals
        self._urgent_only = urgent_only
        self._renewals = 0

    def note_ended(self) -> None:
        """Say that the archive ended a connection in order, so that another may replace it."""
        self._renewals = min(self._renewals + 1, self._most_renewals)

    def may_open(self, *, urgent: bool) -> bool:
        """Tell whether a connection may be opened now, which then counts."""
        if self._renewals > 0 and self._bind_first("renewed", range(RENEWALS_PER_S)):
            self._renewals -= 1
            return True
        first = 0 if urgent else self._urgent_only
        return self._bind_first("new", range(NEW_CONNECTIONS_PER_S - 1, first - 1, -1))

    def _bind_first(self, word: str, numbers: range) -> bool:
        for number in numbers:
            token = bind_name(f"{self._prefix}-{word}-{number:02}")
            if token is not None:
                self._later.after(1.0, token.close)
                return True
        return False
