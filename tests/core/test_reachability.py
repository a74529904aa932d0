"""Online, suspect, offline."""

from __future__ import annotations

import pytest

from empiarfs.core.reachability import SILENCE_S, Reachability

FRESH = Reachability()
OFFLINE = FRESH.after_no_connection(0.0).after_no_connection(0.0)


def test_two_failed_connections_are_offline() -> None:
    once = FRESH.after_no_connection(0.0)
    twice = once.after_no_connection(0.1)

    assert [each.state for each in (FRESH, once, twice)] == ["online", "suspect", "offline"]


@pytest.mark.parametrize("state", [FRESH, FRESH.after_no_connection(0.0)])
def test_everybody_may_ask_until_it_is_offline(state: Reachability) -> None:
    assert state.after_ask(0.0) == (state, True)
    assert state.probe_due_in_s(0.0) == 0.0


def test_offline_one_may_ask_each_5_10_and_15_seconds() -> None:
    state = OFFLINE
    probes = []
    for tenth in range(700):
        state, may_ask = state.after_ask(tenth / 10)
        if may_ask:
            probes.append(tenth / 10)

    assert probes == [5.0, 10.0, 20.0, 35.0, 50.0, 65.0]


def test_the_time_to_the_next_probe_is_told() -> None:
    assert OFFLINE.probe_due_in_s(1.5) == 3.5
    assert OFFLINE.probe_due_in_s(99.0) == 0.0


def test_a_failed_probe_keeps_the_schedule() -> None:
    probing, _ = OFFLINE.after_ask(5.0)

    assert probing.after_no_connection(6.0) == probing


def test_anything_received_is_online_again() -> None:
    assert OFFLINE.after_received(7.0, waiting=False).state == "online"


def test_a_refused_connection_beside_a_working_one_does_not_count() -> None:
    state = FRESH.after_received(10.0, waiting=True)

    assert state.after_no_connection(10.5).state == "online"
    assert state.after_no_connection(11.5).state == "suspect"


def test_a_stall_beside_answers_does_not_count() -> None:
    state = FRESH.after_sent(0.0).after_received(25.0, waiting=True)

    assert state.after_stall(30.0).state == "online"


def test_a_reader_alone_needs_three_stalls_in_a_row() -> None:
    state = FRESH.after_received(0.0, waiting=False)
    states = []
    for began_s in (100.0, 112.0, 124.0):
        state = state.after_sent(began_s).after_stall(began_s + 12)
        states.append(state.state)

    assert SILENCE_S == 20
    assert states == ["online", "suspect", "offline"]


def test_an_idle_hour_is_no_silence() -> None:
    state = FRESH.after_received(0.0, waiting=False).after_sent(3600.0)

    assert state.after_stall(3612.0).state == "online"


def test_cancelled_requests_leave_no_silence_behind() -> None:
    state = FRESH.after_sent(0.0).after_unanswered(5.0, waiting=False).after_sent(500.0)

    assert state.after_stall(512.0).state == "online"


def test_a_look_up_that_gave_up_in_silence_counts_as_a_stall() -> None:
    # Of a look-up of 90 s, whose listing is asked for with 12, 30 and 60 s.
    state = FRESH.after_sent(0.0).after_stall(12.0).after_stall(42.0)
    gave_up = state.after_unanswered(90.0, waiting=False)

    assert (state.state, gave_up.state) == ("suspect", "offline")
    assert FRESH.after_sent(0.0).after_unanswered(90.0, waiting=True).state == "suspect"


def test_who_gives_up_beside_answers_says_nothing() -> None:
    state = FRESH.after_sent(0.0).after_received(80.0, waiting=True)

    assert state.after_unanswered(90.0, waiting=False).state == "online"
