"""How long answers took lately, and how long it is worth waiting for the next one.

An unanswered request counts as one that took as long as was waited for it. Without that,
a link that becomes slower than the limit would be called stalled for ever, since only the
fast answers would ever be counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_KEPT = 60
_ENOUGH = 5


@dataclass(frozen=True, slots=True)
class LatencyView:
    """A snapshot; all times in seconds.

    Attributes:
        count: How many of the last answers it stands on.
        median_s: Half of them were faster.
        p90_s: Nine in ten were faster.
        p95_s: Nineteen in twenty were faster.
    """

    count: int
    median_s: float
    p90_s: float
    p95_s: float


class Latency:
    """The times of the last 60 answers of one kind of request.

    Not thread-safe; the owner holds its lock around every call.

    Args:
        lowest_s: The shortest limit that is ever set, in seconds.
        highest_s: The longest one.
        unknown_s: The limit before enough is known.
    """

    def __init__(self, *, lowest_s: float, highest_s: float, unknown_s: float) -> None:
        self._lowest_s = lowest_s
        self._highest_s = highest_s
        self._unknown_s = unknown_s
        self._times: deque[float] = deque(maxlen=_KEPT)
        self._stalls_in_a_row = 0

    def answered(self, seconds: float) -> None:
        """Note an answer."""
        self._times.append(seconds)
        self._stalls_in_a_row = 0

    def stalled(self, seconds: float) -> None:
        """Note a request given up after `seconds`."""
        self._times.append(seconds)
        self._stalls_in_a_row += 1

    def forget(self) -> None:
        """Forget everything: the link is another one now."""
        self._times.clear()
        self._stalls_in_a_row = 0

    def view(self) -> LatencyView:
        """Return a snapshot; zeros if nothing is known."""
        times = sorted(self._times)
        if not times:
            return LatencyView(0, 0.0, 0.0, 0.0)
        return LatencyView(len(times), *(_quantile(times, q) for q in (0.5, 0.9, 0.95)))

    @property
    def is_known(self) -> bool:
        """Whether there were enough answers to say anything."""
        return len(self._times) >= _ENOUGH

    def limit_s(self, factor: float, quantile: float, stalls: int | None = None) -> float:
        """Return how long to wait for an answer: `factor` × the quantile, within the bounds.

        Args:
            factor: How many times as long as the quantile.
            quantile: Of the times, 0 to 1.
            stalls: How many requests in a row had no answer; each doubles the limit up to the
                upper bound. All that were noted if None: where many requests are under way,
                their stalls come together and are no row.
        """
        if not self.is_known:
            limit_s = self._unknown_s
        else:
            limit_s = factor * _quantile(sorted(self._times), quantile)
        doublings = self._stalls_in_a_row if stalls is None else stalls
        limit_s = max(limit_s, self._lowest_s) * 2.0 ** min(doublings, 8)
        return min(limit_s, max(self._highest_s, self._unknown_s))


def _quantile(ascending: list[float], quantile: float) -> float:
    return ascending[min(len(ascending) - 1, int(quantile * len(ascending)))]
