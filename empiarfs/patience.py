"""How long a call may wait, and whether its caller still does.

Every call that may wait for the archive takes a `Patience`. It carries the deadline, and
a question to ask while waiting: is the caller still there? FUSE can't take a request back,
so a waiter that nobody waits for must be found by asking.

Threading: a Patience belongs to the thread of its call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from empiarfs.core.waits import Account
from empiarfs.errors import GaveUpError, InterruptedCallError

# How often a waiter asks whether its caller is still there. Half of what a person notices.
_POLL_S = 0.25


def _never() -> bool:
    return False


class Patience:
    """A deadline and an interruption check for one call.

    Args:
        seconds: How long the call may take in all; `float("inf")` for ever.
        interrupted: Tells whether the caller has been told to stop waiting; called at most
            a few times a second.
        account: Where those who wait by it note what for; None if nobody wants to know.
    """

    __slots__ = ("_deadline", "_interrupted", "account", "seconds")

    def __init__(
        self,
        seconds: float,
        interrupted: Callable[[], bool] = _never,
        account: Account | None = None,
    ) -> None:
        self.seconds = seconds
        self.account = account
        self._deadline = time.monotonic() + seconds
        self._interrupted = interrupted

    def remaining_s(self) -> float:
        """Return the seconds left, 0 if there are none."""
        return max(0.0, self._deadline - time.monotonic())

    def check(self, cause: BaseException | None = None) -> None:
        """Raise if the call should end.

        Args:
            cause: What went wrong last, to be named as the reason.

        Raises:
            GaveUpError: The time is over.
            InterruptedCallError: The caller has been told to stop waiting.
        """
        if self._interrupted():
            raise InterruptedCallError("interrupted")
        if time.monotonic() >= self._deadline:
            reason = f": {cause}" if cause is not None else ""
            raise GaveUpError(f"no answer within {self.seconds:g} s{reason}") from cause

    def limit(self, seconds: float) -> Patience:
        """Return this patience, shortened to at most `seconds` from here on."""
        shorter = Patience(min(seconds, self.remaining_s()), self._interrupted, self.account)
        shorter.seconds = min(seconds, self.seconds)
        return shorter

    def wait_for(
        self,
        condition: threading.Condition,
        predicate: Callable[[], bool],
        cause: Callable[[], BaseException | None] = lambda: None,
    ) -> None:
        """Wait until `predicate()` holds; the caller holds `condition`.

        Raises:
            GaveUpError: The time is over.
            InterruptedCallError: The caller has been told to stop waiting.
        """
        while not predicate():
            self.check(cause())
            condition.wait(min(_POLL_S, self.remaining_s() + 0.001))

    def sleep(self, seconds: float, cause: BaseException | None = None) -> None:
        """Sleep, and raise as `check` does as soon as the call should end."""
        end = time.monotonic() + seconds
        while True:
            self.check(cause)
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _POLL_S, self.remaining_s() + 0.001))
