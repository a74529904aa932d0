"""What a read waits for: kept by whoever fetches, and added up for whoever reads.

A `Course` belongs to a fetch: what it waits for now, and for how long it has waited for what
so far. An `Account` belongs to a read: how much of each it had to wait out itself, which is
the difference between the course at the beginning and at the end of its wait. A read that
finds its bytes at hand notes where they were, and nothing else.

Pure: times are given, in seconds of one monotonic clock.

Threading: an account belongs to the thread of its read; others may look at it. A course may
be told and asked by several threads at a time: it is one tuple, replaced as a whole, so that
two that tell at the same moment lose one of the two at worst.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum

# What the disk took less for isn't noted.
_WORTH_NOTING_S = 0.01
# What went wrong of a fetch is kept by kind; of so many times.
_MOST_FAULTS = 64


class Wait(Enum):
    """What can be waited for; the values stand in `status --json`."""

    CONNECTION = "connection"  # one of the budget, while all are at work for others
    CONNECTING = "connecting"  # name resolution, TCP, TLS
    FIRST_BYTE = "first_byte"  # of the archive's answer, from the sending of the request on
    BYTES = "bytes"  # at the pace of the link
    LIMIT = "limit_rate"
    PAUSE = "pause"  # before asking again what broke
    OFFLINE = "offline"  # while the archive is out of reach
    REFUSED = "refused"  # while the archive asks for fewer requests
    DISK = "cache_disk"
    LOCAL = "local_copy"
    NAMES = "names"  # and sizes, by a call that looks something up


_NUMBERS = {wait: number for number, wait in enumerate(Wait)}
_NOTHING = (0.0,) * len(_NUMBERS)


class Course:
    """What a fetch waits for.

    Args:
        now_s: When it began, waiting for a connection.

    Attributes:
        faults: Kinds of what went wrong so far, as names of exceptions; only ever longer.
        hedges: How many requests were sent a second time.
    """

    __slots__ = ("_state", "faults", "hedges")

    def __init__(self, now_s: float) -> None:
        self._state = (Wait.CONNECTION, now_s, _NOTHING)
        self.faults: list[str] = []
        self.hedges = 0

    @property
    def now(self) -> Wait:
        """What it waits for now."""
        return self._state[0]

    def turn(self, wait: Wait, now_s: float) -> None:
        """Note that it waits for something else from now on."""
        if wait is not self._state[0]:
            self._state = (wait, now_s, self.so_far(now_s))

    def failed(self, kind: str) -> None:
        """Note that something went wrong."""
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(kind)

    def so_far(self, now_s: float) -> tuple[float, ...]:
        """Return for how many seconds it waited for what, in the order of `Wait`."""
        wait, since_s, sums = self._state
        number = _NUMBERS[wait]
        now = sums[number] + max(0.0, now_s - since_s)
        return (*sums[:number], now, *sums[number + 1 :])


class Account:
    """What one read waited for, and where its bytes were.

    Attributes:
        memory: Bytes that were in memory,
        disk: in the cache directory,
        local: in a local copy,
        archive: and that were fetched while it waited.
        hedges: Requests that were sent a second time meanwhile.
        course: Of the fetch that is waited for now, or None.
    """

    __slots__ = (
        "_faults",
        "_waited",
        "archive",
        "course",
        "disk",
        "hedges",
        "local",
        "memory",
    )

    def __init__(self) -> None:
        self.memory = self.disk = self.local = self.archive = self.hedges = 0
        self.course: Course | None = None
        # Made when there is something to note, which is seldom.
        self._waited: dict[str, float] | None = None
        self._faults: Counter[str] | None = None

    def add(self, wait: Wait, seconds: float) -> None:
        """Note that something was waited for."""
        if self._waited is None:
            self._waited = {}
        self._waited[wait.value] = self._waited.get(wait.value, 0.0) + seconds

    def found(self, memory: int, disk: int = 0, disk_s: float = 0.0) -> None:
        """Note how many bytes were in memory, how many on the disk, and how long that took."""
        self.memory += memory
        self.disk += disk
        if disk_s >= _WORTH_NOTING_S:
            self.add(Wait.DISK, disk_s)

    def follow(self, course: Course, now_s: float) -> Following:
        """Begin to wait for a fetch; `Following.end` must be called."""
        self.course = course
        return Following(self, course, now_s)

    def take_over(self, waited: Mapping[str, float], faults: list[str], hedges: int) -> None:
        """Add what a fetch that was waited for has waited for itself."""
        self.course = None
        for name, seconds in waited.items():
            self.add(Wait(name), seconds)
        if faults:
            self._faults = (self._faults or Counter()) + Counter(faults)
        self.hedges += hedges

    @property
    def waited(self) -> dict[str, float]:
        """Seconds for each that was waited for, by the names of `Wait`."""
        return {} if self._waited is None else dict(self._waited)

    @property
    def faults(self) -> dict[str, int]:
        """How often what went wrong meanwhile, by names of exceptions."""
        return {} if self._faults is None else dict(self._faults)


class Following:
    """A read that waits for a fetch."""

    __slots__ = ("_account", "_before", "_course", "_faults", "_hedges")

    def __init__(self, account: Account, course: Course, now_s: float) -> None:
        self._account = account
        self._course = course
        self._before = course.so_far(now_s)
        self._faults = len(course.faults)
        self._hedges = course.hedges

    def end(self, now_s: float) -> None:
        """Note that it waits no longer, in its account."""
        after = self._course.so_far(now_s)
        waited = {
            wait.value: seconds
            for wait, number in _NUMBERS.items()
            if (seconds := after[number] - self._before[number]) > 0
        }
        hedges = self._course.hedges - self._hedges
        self._account.take_over(waited, self._course.faults[self._faults :], hedges)
