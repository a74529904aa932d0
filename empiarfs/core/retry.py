"""When to ask again after a request failed: a schedule, without a clock or a dice.

    failure                               asked again after
    ------------------------------------  ------------------------------------------------
    stalled (taken and not answered)      nothing: backing off doesn't help (EMPIAR's 3 %)
    busy (429, 503)                       Retry-After and a little more, but no sooner than a
                                          broken one; else 1, 2, 4 … 30 s
    broken (reset, refused, other 5xx)    0.2, 0.4, 0.8 … 5 s, or Retry-After if given
    bad (an answer that doesn't fit)      the same, but for a look-up three attempts in all
    offline, gone, changed, forbidden     never

Waits that aren't the archive's own wish are spread over 0.5 to 1.5 of the figure, so that
many that failed together don't come back together. Attempts count from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from empiarfs.errors import (
    BadResponseError,
    BusyError,
    OfflineError,
    StalledError,
    UnavailableError,
)


class FailureKind(Enum):
    """What went wrong, as far as the schedule cares."""

    STALLED = "stalled"
    BUSY = "busy"
    BROKEN = "broken"
    BAD = "bad"
    FINAL = "final"


def kind_of(error: BaseException) -> FailureKind:
    """Return the kind of failure that `error` is."""
    if isinstance(error, OfflineError):
        return FailureKind.FINAL
    if isinstance(error, StalledError):
        return FailureKind.STALLED
    if isinstance(error, BusyError):
        return FailureKind.BUSY
    if isinstance(error, UnavailableError):
        return FailureKind.BROKEN
    if isinstance(error, BadResponseError):
        return FailureKind.BAD
    return FailureKind.FINAL


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The figures of the schedule.

    Attributes:
        busy_s: First wait after a refusal that names no time, in seconds.
        max_busy_s: Longest wait after a refusal, whatever the archive asks for.
        broken_s: First wait after a broken connection.
        max_broken_s: Longest wait after a broken connection.
        bad_attempts: How many attempts in all an answer that doesn't fit is worth; None for
            as many as the caller's patience allows. A page that asks for a log-in, or says
            that the archive is being mended, goes away again: a read waits for that.
    """

    busy_s: float = 1.0
    max_busy_s: float = 120.0
    broken_s: float = 0.2
    max_broken_s: float = 5.0
    bad_attempts: int | None = 3

    def delay_s(
        self, attempt: int, kind: FailureKind, retry_after_s: float | None, random: float
    ) -> float | None:
        """Return how long to wait before the next attempt, or None to give up.

        Args:
            attempt: Number of the attempt that failed, from 1.
            kind: What went wrong.
            retry_after_s: The wait that the archive asked for, or None.
            random: A number in [0, 1) that spreads the waits.

        >>> RetryPolicy().delay_s(3, FailureKind.BROKEN, None, random=0.5)
        0.8
        """
        if kind is FailureKind.FINAL:
            return None
        if kind is FailureKind.STALLED:
            return 0.0
        most = self.bad_attempts
        if kind is FailureKind.BAD and most is not None and attempt >= most:
            return None
        doublings = min(attempt - 1, 16)
        if kind is FailureKind.BUSY:
            if retry_after_s is None:
                return min(self.busy_s * 2.0**doublings, 30.0) * (0.5 + random)
            wished_s = min(retry_after_s, self.max_busy_s) * (1 + 0.25 * random)
            # A time that is over, or 0, again and again, is no leave to ask without a pause.
            return max(wished_s, self._broken_s(doublings, random))
        wait_s = self._broken_s(doublings, random)
        return max(wait_s, min(retry_after_s or 0.0, self.max_busy_s))

    def _broken_s(self, doublings: int, random: float) -> float:
        return min(self.broken_s * 2.0**doublings, self.max_broken_s) * (0.5 + random)

    def delay_after_s(self, attempt: int, error: BaseException, random: float) -> float | None:
        """Return `delay_s` for the failure `error`."""
        wished_s = error.retry_after_s if isinstance(error, UnavailableError) else None
        return self.delay_s(attempt, kind_of(error), wished_s, random)
