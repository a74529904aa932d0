"""What a campaign of faults counts, and what its whole run must reach.

Tests that break things on purpose report here what they met:

    from tests.support.campaign import is_whole, share, tally

    for case in share(all_cases):          # all of them in a whole run, else every tenth
        ...
        tally.add("faults", "reset_body", server.faults_met)
        tally.add("wrong_bytes", path, len(wrong))    # 0 is worth saying: it was looked for

`scripts/campaign` names a file in EMPIARFS_CAMPAIGN_TALLY, sets EMPIARFS_CAMPAIGN=whole, and
runs all tests below tests/trust and those with the marker `campaign`. Each `add` appends one
line of JSON to that file; without the variable nothing is kept. At its end the campaign adds
the lines up, prints a table and fails when one of `GOALS` isn't met. So a count of something
that must never happen is added before the assertion that fails by it, and is added as 0
where nothing was found: what nobody looked for is no success.

    column               kind                   counts
    -------------------  ---------------------  ---------------------------------------------
    faults               what the server did    faults that a request really met
    reads                who read               reads whose bytes were compared
    wrong_bytes          where                  reads or stored blocks with a wrong byte
    names                who looked             names compared with what the archive holds
    lost_names           where                  names that vanished, files that became empty
    calls                which system call      calls whose time was measured
    calls_past_deadline  which system call      those that took longer than was promised
    leak_checks          of what                times that was counted after work
    leaks                of what                descriptors, connections, threads, waiters left
    kills                when                   daemons ended by SIGKILL
    damaged_files        how                    files of the cache damaged on purpose
    soak_seconds         ""                     how long readers ran side by side
    hangs                where                  calls that had to be ended by force

Threading: any thread and any process may add; a line is one write to a file opened with
O_APPEND, which the kernel keeps in one piece.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

TALLY_VARIABLE = "EMPIARFS_CAMPAIGN_TALLY"
WHOLE_VARIABLE = "EMPIARFS_CAMPAIGN"

Item = TypeVar("Item")


def is_whole() -> bool:
    """Tell whether everything is to be run, as `scripts/campaign` does, or a tenth of it."""
    return os.environ.get(WHOLE_VARIABLE) == "whole"


def share(cases: Sequence[Item], one_in: int = 10) -> list[Item]:
    """Return the cases to run: all in a whole run, else the first and every `one_in`-th.

    >>> share(range(25))
    [0, 10, 20]
    """
    return list(cases) if is_whole() else list(cases[::one_in])


class Tally:
    """Adds lines to the file that EMPIARFS_CAMPAIGN_TALLY names, if it names one."""

    def add(self, column: str, kind: str, count: int = 1) -> None:
        """Count `count` more of something; 0 says that it was looked for in vain.

        Args:
            column: One of the columns of this module's docstring.
            kind: What exactly, such as the kind of fault; a word or a few.
            count: How many more.

        Raises:
            ValueError: There is no such column.
        """
        if column not in COLUMNS:
            raise ValueError(f"no column {column!r}; there are {', '.join(COLUMNS)}")
        name = os.environ.get(TALLY_VARIABLE)
        if not name:
            return
        line = json.dumps({"column": column, "kind": kind, "count": count}) + "\n"
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


tally = Tally()

COLUMNS = (
    "faults",
    "reads",
    "wrong_bytes",
    "names",
    "lost_names",
    "calls",
    "calls_past_deadline",
    "leak_checks",
    "leaks",
    "kills",
    "damaged_files",
    "soak_seconds",
    "hangs",
)


@dataclass(frozen=True, slots=True)
class Goal:
    """What the sum of a column must reach, or must not exceed.

    Attributes:
        column: What is counted.
        at_least: The lowest sum that will do.
        at_most: The highest, or None; a column with one must have been looked at.
        kinds: How many different kinds must have been met.
    """

    column: str
    at_least: int = 0
    at_most: int | None = None
    kinds: int = 0


GOALS = (
    Goal("faults", at_least=10_000, kinds=25),
    Goal("reads", at_least=10_000),
    Goal("wrong_bytes", at_most=0),
    Goal("names", at_least=1_000),
    Goal("lost_names", at_most=0),
    Goal("calls", at_least=10_000),
    Goal("calls_past_deadline", at_most=0),
    Goal("leak_checks", at_least=100),
    Goal("leaks", at_most=0),
    Goal("kills", at_least=200),
    Goal("damaged_files", at_least=1_000),
    Goal("soak_seconds", at_least=600),
    Goal("hangs", at_most=0),
)


class Counts:
    """The sums of a tally's lines."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {column: Counter() for column in COLUMNS}

    @classmethod
    def read(cls, path: Path) -> Counts:
        """Return the sums of the lines of a file; nothing if there is no such file."""
        counts = cls()
        if path.exists():
            for line in path.read_text().splitlines():
                found = json.loads(line)
                counts.add(found["column"], found["kind"], found["count"])
        return counts

    def add(self, column: str, kind: str, count: int) -> None:
        """Add to a column; a count of 0 marks the kind as looked at."""
        self._counts[column][kind] += count

    def total(self, column: str) -> int:
        """Return the sum of a column."""
        return sum(self._counts[column].values())

    def kinds(self, column: str) -> dict[str, int]:
        """Return the sums of a column's kinds that were met at all, the most frequent first."""
        return {kind: count for kind, count in self._counts[column].most_common() if count}

    def was_looked_at(self, column: str) -> bool:
        """Tell whether anything was reported of a column, if only a 0."""
        return bool(self._counts[column])

    def misses(self, goals: Iterable[Goal] = GOALS) -> list[str]:
        """Return what is wrong, a line for each goal that isn't met."""
        return [line for goal in goals for line in self._misses(goal)]

    def _misses(self, goal: Goal) -> list[str]:
        total, kinds = self.total(goal.column), len(self.kinds(goal.column))
        name = goal.column.replace("_", " ")
        wrong = []
        if not self.was_looked_at(goal.column):
            return [f"{name}: nobody looked"]
        if total < goal.at_least:
            wrong.append(f"{name}: {total:,}, wanted at least {goal.at_least:,}")
        if goal.at_most is not None and total > goal.at_most:
            where = ", ".join(self.kinds(goal.column))
            wrong.append(f"{name}: {total:,}, wanted at most {goal.at_most:,} ({where})")
        if kinds < goal.kinds:
            wrong.append(f"{name}: of {kinds} kinds, wanted at least {goal.kinds}")
        return wrong

    def as_json(self) -> dict[str, object]:
        """Return totals, kinds and what is wrong, as values that JSON can hold."""
        return {
            "totals": {column: self.total(column) for column in COLUMNS},
            "kinds": {column: self.kinds(column) for column in COLUMNS},
            "misses": self.misses(),
        }
