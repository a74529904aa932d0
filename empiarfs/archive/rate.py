"""Keeps all processes of this machine together below a number of bytes per second.

Whoever wants to receive some bytes of a body asks first and waits for his turn. Within a
process the order is

1. what somebody waits for, of answers that have begun to come,
2. what somebody waits for, of requests that are still to be sent,
3. and 4. the same of what was only foreseen,

each in the order in which they came. So no more requests are sent than it takes to use the
limit up: what they had brought would lie in the kernel's buffers, received but not counted.
The first in the order asks the number that all processes share
(`empiarfs.archive.rate_file`, `empiarfs.core.pacing`); what is foreseen stands back for some
milliseconds there, so that another process in a hurry is first.

Bytes are asked for in steps of a fiftieth of a second's worth, 64 to 256 KiB, since each
costs a look at the file (6 µs).

Threading: safe from any thread. Nobody sleeps under the lock but by waiting on it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from empiarfs.archive.rate_file import RateFile, machine_file
from empiarfs.core.pacing import SECOND_NS, cost_ns, paid_after
from empiarfs.core.waits import Wait

_LEAST_STEP = 64 * 1024
_MOST_STEP = 256 * 1024
_STEPS_PER_S = 50
_STAND_BACK_NS = 3_000_000
_TICK_S = 0.05
_LOCKED_S = 0.0005


class _Turn:
    """One that waits for bytes."""

    __slots__ = ("has_begun", "urgent")

    def __init__(self, urgent: Callable[[], bool], has_begun: bool) -> None:
        self.urgent = urgent
        self.has_begun = has_begun

    @property
    def rank(self) -> tuple[bool, bool]:
        """The less, the sooner."""
        return not self.urgent(), not self.has_begun


class RateLimit:
    """Lets bytes be received at a rate.

    Args:
        bytes_per_s: The limit, at least 1.
        shared: What is shared with the other processes.
        clock: Monotonic nanoseconds, the same in all processes.

    Attributes:
        step: Bytes to ask for at a time.
    """

    def __init__(
        self,
        bytes_per_s: int,
        shared: RateFile,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if bytes_per_s < 1:
            raise ValueError(f"a rate limit must be at least 1 B/s, not {bytes_per_s}")
        self.bytes_per_s = bytes_per_s
        self.step = min(max(bytes_per_s // _STEPS_PER_S, _LEAST_STEP), _MOST_STEP)
        self._shared = shared
        self._clock = clock
        self._changed = threading.Condition()
        self._turns: list[_Turn] = []  # guarded by _changed

    def wait_for(
        self,
        count: int,
        urgent: Callable[[], bool],
        check: Callable[[], None],
        *,
        has_begun: bool = True,
    ) -> None:
        """Return when `count` bytes may be received; they count from then on.

        Args:
            count: Bytes.
            urgent: Tells whether somebody waits for them, which may change meanwhile.
            check: Called several times a second; ends the wait by raising.
            has_begun: The answer is coming; False if the request is still to be sent.
        """
        turn = _Turn(urgent, has_begun)
        with self._changed:
            self._turns.append(turn)
        try:
            while True:
                check()
                with self._changed:
                    wait_s = self._try(turn, count)
                    if wait_s <= 0:
                        return
                    self._changed.wait(min(wait_s, _TICK_S))
        finally:
            with self._changed:
                self._turns.remove(turn)
                self._changed.notify_all()

    def close(self) -> None:
        """Let go of what is shared."""
        self._shared.close()

    def _try(self, turn: _Turn, count: int) -> float:
        """Return how many seconds to wait; 0 if the bytes may come. Under the lock."""
        ranks = [each.rank for each in self._turns]
        first = min(ranks)
        if turn is not self._turns[ranks.index(first)]:
            return _TICK_S
        now_ns = self._clock()
        cost = cost_ns(count, self.bytes_per_s)
        stand_back_ns = _STAND_BACK_NS if first[0] else 0
        wait_ns = self._shared.change(lambda paid: paid_after(paid, now_ns, cost, stand_back_ns))
        return _LOCKED_S if wait_ns is None else wait_ns / SECOND_NS


class Payment:
    """Pays for the body of one answer, step by step; for one thread.

    Args:
        limit: The limit; None for none.
        size: Bytes of the body.
        urgent: Tells whether somebody waits for it.
        check: Ends a wait by raising.
        waited: Called when bytes of an answer that has begun were waited for.
        turned: Told when the limit is waited for, and what is when it is no longer.
    """

    def __init__(
        self,
        limit: RateLimit | None,
        size: int,
        urgent: Callable[[], bool],
        check: Callable[[], None],
        waited: Callable[[], None],
        turned: Callable[[Wait], None] = lambda wait: None,
    ) -> None:
        self._limit = limit
        self._left = size
        self._paid = 0
        self._urgent = urgent
        self._check = check
        self._waited = waited
        self._turned = turned

    def begin(self) -> None:
        """Wait until the request may be sent."""
        if self._limit is not None:
            self._pay(self._limit, has_begun=False)

    def allowed(self, count: int) -> int:
        """Wait until some bytes may be received, and return how many: at most `count`."""
        if self._limit is None:
            return count
        if not self._paid:
            try:
                self._pay(self._limit, has_begun=True)
            finally:
                self._waited()
        allowed = min(count, self._paid)
        self._paid -= allowed
        return allowed

    def _pay(self, limit: RateLimit, *, has_begun: bool) -> None:
        step = min(limit.step, self._left)
        self._turned(Wait.LIMIT)
        limit.wait_for(step, self._urgent, self._check, has_begun=has_begun)
        self._turned(Wait.BYTES if has_begun else Wait.CONNECTION)
        self._left -= step
        self._paid += step


def machine_limit(bytes_per_s: int | None, prefix: str, path: Path | None) -> RateLimit | None:
    """Return the limit of this process, shared with the others of the machine.

    Args:
        bytes_per_s: The limit; None for none.
        prefix: First word of the names of the connection slots.
        path: The file to share; None for the usual one.
    """
    if bytes_per_s is None:
        return None
    return RateLimit(bytes_per_s, RateFile(path or machine_file(prefix)))
