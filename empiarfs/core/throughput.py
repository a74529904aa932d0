"""How many bytes a second all connections of a process bring together, while they are at it.

A *stretch* lasts for as long as some request is under way; a pause of up to half a second,
in which a program computes, is cut out of it. What a stretch brought, and how long that took,
is a measurement if it says something of the link:

    stretch                                     measured
    ------------------------------------------  ------------------------------------------
    shorter than `least_s`                      no: the first round trips weigh too much
    of requests for less than 192 KiB each      no: headers say more about round trips
    half a minute long and still going on       so far, and a new one begins

It asks no clock and knows nothing of threads: times are told, and increase.
"""

from __future__ import annotations

from dataclasses import dataclass

_PAUSE_S = 0.5
_LONGEST_S = 30.0
# A link that is slow gets requests of 256 KiB; headers are 64.
_LEAST_MEAN = 192 * 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """What a link brought.

    Attributes:
        size: Bytes.
        seconds: While so many seconds.
    """

    size: int
    seconds: float

    @property
    def speed(self) -> float:
        """Bytes a second."""
        return self.size / self.seconds


class Throughput:
    """Adds up one stretch after the other; not thread-safe.

    Args:
        least_s: How many seconds a stretch takes at least, to be measured.
    """

    def __init__(self, least_s: float = 3.0) -> None:
        self._least_s = least_s
        self._active = 0
        self._since_s = 0.0
        self._ended_s = 0.0
        self._busy_s = 0.0
        self._size = 0
        self._requests = 0

    def began(self, now_s: float) -> Measured | None:
        """Note that a request was sent; return what was measured until now, if that ended.

        Args:
            now_s: Seconds, monotonic.
        """
        found = None
        if not self._active:
            if now_s - self._ended_s > _PAUSE_S:
                found = self.finish()
            self._since_s = now_s
        self._active += 1
        return found

    def ended(self, now_s: float, size: int) -> Measured | None:
        """Note that a request ended, and brought `size` bytes; return as `began` does."""
        self._active -= 1
        self._size += size
        self._requests += 1
        self._busy_s += now_s - self._since_s
        self._since_s = self._ended_s = now_s
        return self.finish() if self._busy_s >= _LONGEST_S else None

    def finish(self) -> Measured | None:
        """Begin a new stretch; return what the one until now measured."""
        size, busy_s, requests = self._size, self._busy_s, self._requests
        self._size, self._busy_s, self._requests = 0, 0.0, 0
        if busy_s < self._least_s or size < max(1, requests) * _LEAST_MEAN:
            return None
        return Measured(size, busy_s)
