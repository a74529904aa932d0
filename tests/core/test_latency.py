"""How long to wait for an answer."""

from __future__ import annotations

from empiarfs.core.latency import Latency, LatencyView


def ranges(*seconds: float) -> Latency:
    latency = Latency(lowest_s=3, highest_s=12, unknown_s=12)
    for each in seconds:
        latency.answered(each)
    return latency


def test_an_unknown_link_gets_the_longest_limit() -> None:
    assert ranges().limit_s(4, 0.9) == 12
    assert ranges(0.1, 0.1, 0.1, 0.1).limit_s(4, 0.9) == 12


def test_the_limit_is_a_multiple_within_bounds() -> None:
    assert ranges(*[0.1] * 20).limit_s(4, 0.9) == 3
    assert ranges(*[1.5] * 20).limit_s(4, 0.9) == 6
    assert ranges(*[9.0] * 20).limit_s(4, 0.9) == 12


def test_one_stall_in_thirty_does_not_move_the_quantile() -> None:
    latency = ranges(*[0.1] * 30)
    latency.stalled(3)
    latency.answered(0.1)

    assert latency.limit_s(4, 0.9) == 3


def test_a_link_that_became_slower_than_the_limit_is_noticed() -> None:
    latency = ranges(*[0.1] * 60)
    latency.stalled(3)
    assert latency.limit_s(4, 0.9) == 6
    latency.stalled(6)
    assert latency.limit_s(4, 0.9) == 12


def test_only_the_last_sixty_count() -> None:
    latency = ranges(*[9.0] * 60, *[0.2] * 60)

    assert latency.view() == LatencyView(60, 0.2, 0.2, 0.2)


def test_the_view_names_the_quantiles() -> None:
    assert ranges(*[n / 10 for n in range(20)]).view() == LatencyView(20, 1.0, 1.8, 1.9)
    assert ranges().view() == LatencyView(0, 0, 0, 0)


def test_what_is_forgotten_is_unknown() -> None:
    latency = ranges(*[0.1] * 20)
    latency.stalled(3)
    latency.forget()

    assert latency.limit_s(4, 0.9) == 12
