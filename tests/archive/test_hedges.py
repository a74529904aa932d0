"""When a second request is worth it, and how many there may be."""

from __future__ import annotations

import pytest

from empiarfs.archive.hedges import Hedges, hedge_after_s
from empiarfs.core.latency import LatencyView


@pytest.mark.parametrize(
    ("latencies", "expected"),
    [
        (LatencyView(0, 0.0, 0.0, 0.0), 1.0),  # nothing is known
        (LatencyView(50, 0.03, 0.05, 0.06), 0.2),  # near the archive: never sooner
        (LatencyView(50, 0.2, 0.3, 0.5), 0.5),  # the p95
        (LatencyView(50, 0.2, 0.3, 0.3), 0.4),  # twice the median
        (LatencyView(50, 0.2, 3.0, 12.0), 0.8),  # the p95 is a stall that was waited for
    ],
)
def test_a_second_request_waits_for_twice_the_usual(
    latencies: LatencyView, expected: float
) -> None:
    assert hedge_after_s(latencies) == pytest.approx(expected)


def test_at_most_one_request_in_twenty_is_sent_twice() -> None:
    hedges, fast = Hedges(), LatencyView(50, 0.03, 0.05, 0.06)
    sent = 0
    for _ in range(1000):
        hedges.answered()
        if hedges.begin(10.0, fast):
            sent += 1
            hedges.ended()

    assert 50 <= sent <= 54


def test_only_a_few_run_at_once() -> None:
    hedges, fast = Hedges(), LatencyView(50, 0.03, 0.05, 0.06)
    for _ in range(1000):
        hedges.answered()

    assert sum(hedges.begin(10.0, fast) for _ in range(100)) == 4
