"""When to ask a second time for what isn't answered.

About one request in thirty to EMPIAR is accepted and never answered. Waiting for the stall
limit costs seconds; a second request after twice the usual time costs a fraction of one. To
be kind to the archive, at most one request in twenty is sent twice.

Threading: safe from any thread; one lock, held for arithmetic only.
"""

from __future__ import annotations

import threading
from typing import Protocol

# Before so many answers nothing is known of the link, and this long is waited, in seconds:
# EMPIAR's first byte takes 0.03 to 0.2 s where it comes at all.
_ENOUGH = 5
_UNKNOWN_S = 1.0
# Two ticks of the receiving side, below which a delay means nothing.
_SHORTEST_S = 0.2
_SHARE = 0.05
# What may be sent twice before the share counts for something.
_ALLOWANCE = 4
_AT_ONCE = 4


class Latencies(Protocol):
    """How long first bytes took lately; times in seconds."""

    @property
    def count(self) -> int:
        """On how many answers it stands."""
        ...

    @property
    def median_s(self) -> float:
        """Half were faster."""
        ...

    @property
    def p95_s(self) -> float:
        """Nineteen in twenty were faster."""
        ...


class Hedges:
    """Counts answers and second requests, and says whether one more may be sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers = 0  # guarded by _lock
        self._sent = 0  # guarded by _lock
        self._running = 0  # guarded by _lock

    def begin(self, waited_s: float, latencies: Latencies) -> bool:
        """Tell whether to ask a second time now; if so, `ended` must be called after it.

        Args:
            waited_s: Seconds since the request was sent.
            latencies: How long first bytes took lately.
        """
        return waited_s >= hedge_after_s(latencies) and self.try_begin()

    def try_begin(self) -> bool:
        """Tell whether one more second request may be sent; if so, call `ended` after it."""
        with self._lock:
            allowed = _ALLOWANCE + _SHARE * self._answers
            if self._sent >= allowed or self._running >= _AT_ONCE:
                return False
            self._sent += 1
            self._running += 1
            return True

    def answered(self) -> None:
        """Count a request that was answered."""
        with self._lock:
            self._answers += 1

    def ended(self) -> None:
        """Say that a second request is over."""
        with self._lock:
            self._running -= 1


def hedge_after_s(latencies: Latencies) -> float:
    """Return after how many seconds without a byte a second request is worth it."""
    if latencies.count < _ENOUGH:
        return _UNKNOWN_S
    # The p95 may be a stall that was waited for; then twice the median is the better guess.
    return max(2 * latencies.median_s, min(latencies.p95_s, 4 * latencies.median_s), _SHORTEST_S)
