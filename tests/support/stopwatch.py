"""A stopwatch for upper bounds, which leaves out what a busy machine was late by.

    watch = Stopwatch()
    client.close()
    assert watch.seconds() < 0.5

Beside what is measured a thread wakes 500 times a second. By as much as it wakes too late, what
is measured may have been held up as well: that isn't counted. On a quiet machine it is nothing.
"""

from __future__ import annotations

import threading
import time

_EVERY_S = 0.002
# What a thread is late by on a quiet machine.
_USUAL_S = 0.001
# A test that fails half-way never asks; nobody needs to end its stopwatch.
_AT_MOST_S = 120.0


class Stopwatch:
    """Runs from now on; ask it once, from the thread that made it."""

    def __init__(self) -> None:
        self._late_s = 0.0
        self._over = threading.Event()
        self._began_s = time.monotonic()
        self._thread = threading.Thread(target=self._watch, name="stopwatch", daemon=True)
        self._thread.start()

    def seconds(self) -> float:
        """Return the seconds since it was made, without the machine's own delays."""
        elapsed_s = self.elapsed()
        self._over.set()
        self._thread.join()
        return elapsed_s - self._late_s

    def elapsed(self) -> float:
        """Return all seconds since it was made, for lower bounds."""
        return time.monotonic() - self._began_s

    def _watch(self) -> None:
        while not self._over.is_set() and self.elapsed() < _AT_MOST_S:
            before_s = time.monotonic()
            time.sleep(_EVERY_S)
            late_s = time.monotonic() - before_s - _EVERY_S
            self._late_s += late_s if late_s > _USUAL_S else 0.0
