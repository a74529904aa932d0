"""What the process knows of the way to the archive, with its clock and its waiters.

The decisions are those of `empiarfs.core.reachability` and `empiarfs.core.latency`; here
they get a lock, a condition to wait on and the time.

A machine that slept wakes up with connections that are dead and figures that are history:
the boot clock has then run on without the monotonic one. Whoever asks notices, and `slept`
tells it once.

Threading: safe from any thread; one condition guards all fields.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count

from empiarfs.core.depth import Depth
from empiarfs.core.latency import Latency, LatencyView
from empiarfs.core.reachability import Reachability, State
from empiarfs.errors import OfflineError

# A pause that the other end of a connection may have noticed too.
_SLEPT_S = 5.0
# Before enough HEAD answers have come, one that takes so many of the shortest round trips of
# late will not come; and never sooner than after so many seconds.
_GUESSED_ROUND_TRIPS = 6
_LEAST_GUESS_S = 0.5
_LATE_ROUND_TRIPS = 8
_LATE_S = 3.0


def boot_offset_s() -> float:
    """Return how long the machine has slept since it was started, in seconds."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


class Health:
    """Reachability and latencies of one client.

    Args:
        highest_first_byte_s: The longest time to wait for the first byte of a range.
        clock: Monotonic seconds.
        offset: Seconds slept so far; see `boot_offset_s`.
    """

    def __init__(
        self,
        *,
        highest_first_byte_s: float = 12.0,
        clock: Callable[[], float] = time.monotonic,
        offset: Callable[[], float] = boot_offset_s,
    ) -> None:
        self._clock = clock
        self._offset = offset
        self._changed = threading.Condition()
        self._state = Reachability()  # guarded by _changed
        # When each request was sent that isn't over, oldest first; guarded by _changed.
        self._under_way: dict[int, float] = {}
        self._numbers = count()
        self._offset_s = offset()  # guarded by _changed
        self._closed = False  # guarded by _changed
        self._ranges = Latency(
            lowest_s=min(3.0, highest_first_byte_s),
            highest_s=highest_first_byte_s,
            unknown_s=highest_first_byte_s,
        )  # guarded by _changed
        self._depth = Depth()  # guarded by _changed
        # Of the last answers of any kind; guarded by _changed.
        self._round_trips: deque[float] = deque(maxlen=20)
        self._heads = Latency(lowest_s=0.3, highest_s=2.0, unknown_s=2.5)  # guarded by _changed

    @property
    def state(self) -> State:
        """Whether the archive can be reached."""
        with self._changed:
            return self._state.state

    def admit(self, url: str) -> None:
        """Return if a request may be sent now.

        Raises:
            OfflineError: The archive is out of reach and no probe is due.
        """
        with self._changed:
            self._state, may_ask = self._state.after_ask(self._clock())
            if not may_ask:
                wait_s = self._state.probe_due_in_s(self._clock())
                raise OfflineError("the archive can't be reached", url=url, retry_after_s=wait_s)

    def slept(self) -> bool:
        """Tell, once for each time, that the machine has slept; what was known is forgotten."""
        offset_s = self._offset()
        with self._changed:
            if offset_s - self._offset_s < _SLEPT_S:
                return False
            self._offset_s = offset_s
            self._state = Reachability()
            self._ranges.forget()
            self._heads.forget()
            self._round_trips.clear()
            self._depth = Depth()
            self._changed.notify_all()
            return True

    def request_began(self) -> int:
        """Note that a request is about to be sent; return its number, for its end."""
        with self._changed:
            now_s = self._clock()
            number = next(self._numbers)
            self._under_way[number] = now_s
            self._state = self._state.after_sent(now_s)
            return number

    def request_ended(self, number: int) -> None:
        """Note that a request is over, however it ended."""
        with self._changed:
            del self._under_way[number]

    @property
    def oldest_request_s(self) -> float | None:
        """For how many seconds the oldest request has been under way; None without one."""
        with self._changed:
            sent_s = next(iter(self._under_way.values()), None)
            return None if sent_s is None else self._clock() - sent_s

    def received(self) -> None:
        """Note that something came from the archive."""
        with self._changed:
            was = self._state.state
            self._state = self._state.after_received(self._clock(), waiting=bool(self._under_way))
            if was == "offline":
                self._changed.notify_all()

    def cancelled(self) -> None:
        """Note that a request was ended by our own side."""
        with self._changed:
            self._state = self._state.after_unanswered(
                self._clock(), waiting=bool(self._under_way)
            )

    def stalled(self) -> None:
        """Note a request that got no answer in time."""
        with self._changed:
            self._state = self._state.after_stall(self._clock())

    def no_connection(self) -> None:
        """Note that no connection could be made."""
        with self._changed:
            self._state = self._state.after_no_connection(self._clock())

    def wait_until_reachable(self, timeout_s: float) -> None:
        """Return when a request may be sent, a probe included, or after `timeout_s`."""
        until_s = self._clock() + timeout_s
        with self._changed:
            while not self._closed:
                now_s = self._clock()
                wait_s = min(self._state.probe_due_in_s(now_s), until_s - now_s)
                if wait_s <= 0:
                    return
                self._changed.wait(wait_s)

    def close(self) -> None:
        """Wake all who wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def range_limit_s(self) -> float:
        """Return how long to wait for the headers of a range or a single HEAD, in seconds."""
        with self._changed:
            return self._ranges.limit_s(4, 0.9)

    def late_after_s(self) -> float:
        """Return after how long without headers one request may be worth asking again.

        For requests that take a while to be answered, as listings do, or are rare: far more
        than a round trip, and far less than a stall's limit.
        """
        with self._changed:
            shortest_s = min(self._round_trips, default=0.25)
        return min(max(_LATE_ROUND_TRIPS * shortest_s, _LEAST_GUESS_S), _LATE_S)

    def range_answered(self, seconds: float) -> None:
        """Note how long the headers of a range took."""
        with self._changed:
            self._ranges.answered(seconds)

    def range_stalled(self, seconds: float) -> None:
        """Note how long was waited for headers that didn't come."""
        with self._changed:
            self._ranges.stalled(seconds)

    def range_latency(self) -> LatencyView:
        """Return how long the headers of ranges take."""
        with self._changed:
            return self._ranges.view()

    def head_limit_s(self, silent: int = 0) -> float:
        """Return how long to wait for the oldest of several HEAD answers, in seconds.

        Args:
            silent: How many connections in a row, of this caller, gave no answer.
        """
        with self._changed:
            limit_s = self._heads.limit_s(3, 0.5, silent)
            if self._heads.is_known or not self._round_trips:
                return limit_s
            guess_s = max(_GUESSED_ROUND_TRIPS * min(self._round_trips), _LEAST_GUESS_S)
            return min(limit_s, guess_s * 2.0**silent)

    @property
    def knows_heads(self) -> bool:
        """Whether enough HEAD answers have come to tell how long they take."""
        return self._heads.is_known

    def answered(self, seconds: float) -> None:
        """Note how long any request took that needed no new connection."""
        with self._changed:
            self._round_trips.append(seconds)

    def head_answered(self, seconds: float) -> None:
        """Note how long a HEAD answer took, counted from when it was the oldest."""
        with self._changed:
            self._heads.answered(seconds)

    def head_stalled(self, seconds: float) -> None:
        """Note how long was waited for a HEAD answer that didn't come."""
        with self._changed:
            self._heads.stalled(seconds)
            self._depth.stalled()

    def pipeline_depth(self, answers: int = 0) -> int:
        """Return how many requests to have under way on a connection; note new answers."""
        with self._changed:
            for _ in range(answers):
                self._depth.answered()
            return self._depth.requests
