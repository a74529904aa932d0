"""Samples are summed up and judged as the table claims."""

from __future__ import annotations

import pytest

from scripts.benchmarks.figures import Figure, Goal, Sample, Summary, Unit, summary_of
from scripts.benchmarks.goals import (
    AtLeast,
    Below,
    ConnectionsWithin,
    FactorOfPeer,
    FetchesWithin,
    NoMoreThanPeer,
    NoRequest,
    RequestsWithin,
    UnreadBelow,
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
        (NoMoreThanPeer(), 1.0, 1.0, True),
        (NoMoreThanPeer(), 1.1, 1.0, False),
        (NoMoreThanPeer(1.2), 1.2, 1.0, True),
        (NoMoreThanPeer(1.2), 1.21, 1.0, False),
        (Below(1.5, Unit.SECONDS), 1.4, 0.1, True),
        (Below(1.5, Unit.SECONDS), 1.5, 9.0, False),
    ],
)
def test_goals_are_reached_or_missed(goal: Goal, ours: float, peer: float, expected: bool) -> None:
    assert goal.is_reached(summary(ours), summary(peer)) is expected


@pytest.mark.parametrize("goal", [FactorOfPeer(1.0), NoMoreThanPeer()])
def test_nothing_is_said_of_a_goal_whose_peer_was_not_measured(goal: Goal) -> None:
    assert goal.is_reached(summary(1.0), None) is None


def test_one_request_in_any_repetition_misses_the_goal_of_none() -> None:
    assert NoRequest().is_reached(summary(1.0, most_requests=0), None) is True
    assert NoRequest().is_reached(summary(1.0, most_requests=1), None) is False
    assert NoRequest().is_reached(summary(1.0), None) is None


def test_a_median_of_work_that_was_given_up_says_so() -> None:
    samples = [Sample("speed", 120.0, is_over=True), Sample("speed", 120.0, is_over=True)]

    mostly = summary_of(SPEED, [*samples, Sample("speed", 3.0)])
    rarely = summary_of(SPEED, [samples[0], Sample("speed", 3.0), Sample("speed", 4.0)])

    assert mostly is not None
    assert rarely is not None
    assert (mostly.value, mostly.is_over) == (120.0, True)
    assert (rarely.value, rarely.is_over) == (4.0, False)
    assert Below(121.0, Unit.SECONDS).is_reached(mostly, None) is False
    assert AtLeast(1.0, Unit.SECONDS).is_reached(mostly, None) is False


def test_what_may_never_happen_is_judged_by_the_worst_repetition() -> None:
    found = summary_of(
        SPEED,
        [
            Sample("speed", 1.0, wire=100, requests=10, unread=5, connections=20, refused=0),
            Sample("speed", 1.0, wire=200, requests=30, unread=7, connections=12, refused=1),
            Sample("speed", 1.0, wire=150, requests=20, unread=9, connections=12, refused=0),
        ],
    )

    assert found is not None
    assert (found.wire, found.unread, found.connections, found.refused) == (150, 7, 20, 1)
    assert found.most_unread == 9
    assert UnreadBelow(10).is_reached(found, None) is True
    assert UnreadBelow(9).is_reached(found, None) is False
    assert FetchesWithin(150).is_reached(found, None) is True
    assert FetchesWithin(149).is_reached(found, None) is False
    assert RequestsWithin(30).is_reached(found, None) is True
    assert RequestsWithin(29).is_reached(found, None) is False
    assert ConnectionsWithin(20).is_reached(found, None) is False
    assert ConnectionsWithin(20).is_reached(summary(1.0), None) is None


@pytest.mark.parametrize(
    ("goal", "ours", "expected"),
    [(AtLeast(0.9, Unit.PART), 0.9, True), (AtLeast(0.9, Unit.PART), 0.89, False)],
)
def test_a_least_is_reached_or_missed(goal: Goal, ours: float, expected: bool) -> None:
    assert goal.is_reached(summary(ours), None) is expected
