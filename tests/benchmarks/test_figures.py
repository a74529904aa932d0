"""Samples are summed up and judged as the table claims."""

from __future__ import annotations

import pytest

from scripts.benchmarks.figures import (
    Below,
    FactorOfPeer,
    Figure,
    Goal,
    NoRequest,
    NoSlowerThanPeer,
    Sample,
    Summary,
    Unit,
    summary_of,
)

SPEED = Figure("speed", "the speed", Unit.BYTES_A_SECOND)
LATENCY = Figure("latency", "the longest wait", Unit.LATENCY, worst_counts=True)


def summary(value: float, *, most_requests: int | None = None) -> Summary:
    return Summary(value, value, value, None, None, most_requests, 1)


def test_a_figure_is_the_median_of_its_samples() -> None:
    found = summary_of(SPEED, [Sample("speed", value) for value in (5.0, 100.0, 6.0)])

    assert found is not None
    assert (found.value, found.least, found.most, found.samples) == (6.0, 5.0, 100.0, 3)


def test_a_bound_is_held_against_the_worst_sample() -> None:
    found = summary_of(LATENCY, [Sample("latency", value) for value in (0.1, 0.3, 0.2)])

    assert found is not None
    assert found.value == 0.3


def test_samples_of_other_figures_do_not_count() -> None:
    assert summary_of(SPEED, [Sample("latency", 1.0)]) is None


def test_traffic_is_summed_up_over_the_samples_that_have_it() -> None:
    samples = [
        Sample("speed", 1.0, wire=10, requests=0),
        Sample("speed", 1.0, wire=30, requests=0),
        Sample("speed", 1.0, wire=90, requests=7),
        Sample("speed", 1.0),
    ]

    found = summary_of(SPEED, samples)

    assert found is not None
    assert (found.wire, found.requests, found.most_requests) == (30, 0, 7)


@pytest.mark.parametrize(
    ("goal", "ours", "peer", "expected"),
    [
        (FactorOfPeer(0.5), 50.0, 100.0, True),
        (FactorOfPeer(0.5), 49.9, 100.0, False),
        (NoSlowerThanPeer(), 1.0, 1.0, True),
        (NoSlowerThanPeer(), 1.1, 1.0, False),
        (Below(1.5, Unit.SECONDS), 1.4, 0.1, True),
        (Below(1.5, Unit.SECONDS), 1.5, 9.0, False),
    ],
)
def test_goals_are_reached_or_missed(goal: Goal, ours: float, peer: float, expected: bool) -> None:
    assert goal.is_reached(summary(ours), summary(peer)) is expected


@pytest.mark.parametrize("goal", [FactorOfPeer(1.0), NoSlowerThanPeer()])
def test_nothing_is_said_of_a_goal_whose_peer_was_not_measured(goal: Goal) -> None:
    assert goal.is_reached(summary(1.0), None) is None


def test_one_request_in_any_repetition_misses_the_goal_of_none() -> None:
    assert NoRequest().is_reached(summary(1.0, most_requests=0), None) is True
    assert NoRequest().is_reached(summary(1.0, most_requests=1), None) is False
    assert NoRequest().is_reached(summary(1.0), None) is None
