"""Gives all look-ups of one system call one deadline.

A program that stats `a/b/c` makes one call; the kernel looks up `a`, `a/b` and `a/b/c` one
after the other and knows nothing of our deadline. Were each given 90 s, an archive that
answers everything after 80 s would hold the program for minutes. So a look-up goes on with
the time that is left of the one before it if

* the same thread made both,
* the path of the later one is the same or lies below,
* the earlier one was slow and has just been answered.

An `open` ends a call; what comes after it belongs to another one.

Threading: safe from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# Quick ones can't add up to much: paths have few components.
_SLOW_S = 0.1
# From our answer to the kernel's next question; milliseconds unless the machine is busy.
_BETWEEN_S = 0.25
_KEPT = 256


class Journeys:
    """What was looked up last by which thread, and since when.

    Args:
        whole_s: Seconds that all look-ups of one call may take together.
        clock: Monotonic seconds.
    """

    def __init__(self, whole_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._whole_s = whole_s
        self._clock = clock
        self._lock = threading.Lock()
        # Thread: path, when the first began, when the last was answered. Guarded by _lock.
        self._last: dict[int, tuple[str, float, float]] = {}

    def began_s(self, thread: int, path: str) -> float:
        """Return when the call began that the look-up of `path` belongs to; often now."""
        now_s = self._clock()
        # Nearly always empty, and this is asked for at each `stat`.
        if not self._last:
            return now_s
        with self._lock:
            last = self._last.pop(thread, None)
        if last is None:
            return now_s
        before, began_s, answered_s = last
        if now_s - answered_s > _BETWEEN_S or not _leads_to(before, path):
            return now_s
        return began_s

    def left_s(self, began_s: float) -> float:
        """Return how many seconds are left for a call that began then."""
        return max(0.0, began_s + self._whole_s - self._clock())

    def answered(self, thread: int, path: str, began_s: float) -> None:
        """Note that a look-up is about to be answered, which more may follow."""
        now_s = self._clock()
        if now_s - began_s < _SLOW_S or not thread:
            return
        with self._lock:
            if len(self._last) >= _KEPT:
                old = [each for each, last in self._last.items() if now_s - last[2] > _BETWEEN_S]
                for each in old:
                    del self._last[each]
            if len(self._last) < _KEPT:
                self._last[thread] = (path, began_s, now_s)


def _leads_to(before: str, path: str) -> bool:
    return not before or path == before or path.startswith(before + "/")
