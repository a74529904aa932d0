"""Keeps a process below a number of bytes per second.

Threading: safe from any thread; nobody sleeps under the lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# So much may come at once after a pause: a request or two, not a second's worth.
_BURST_S = 0.25


class RateLimit:
    """A token bucket that lets bytes be received first and paid for after.

    Args:
        bytes_per_s: The limit, at least 1.
        clock: Monotonic seconds.
    """

    def __init__(self, bytes_per_s: int, clock: Callable[[], float] = time.monotonic) -> None:
        if bytes_per_s < 1:
            raise ValueError(f"a rate limit must be at least 1 B/s, not {bytes_per_s}")
        self.bytes_per_s = bytes_per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_until_s = clock()  # guarded by _lock

    def spend_s(self, count: int) -> float:
        """Note `count` bytes and return how many seconds to wait before receiving more."""
        now_s = self._clock()
        with self._lock:
            start_s = max(self._paid_until_s, now_s - _BURST_S)
            self._paid_until_s = start_s + count / self.bytes_per_s
            return max(0.0, self._paid_until_s - now_s)
