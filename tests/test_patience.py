"""Deadlines and interruption of calls that wait; only what must is waited for, in real time."""

from __future__ import annotations

import threading
import time

import pytest

from empiarfs.errors import GaveUpError, InterruptedCallError, StalledError
from empiarfs.patience import Patience
from tests.support.stopwatch import Stopwatch

FOREVER = float("inf")


class Caller:
    """Is told to stop waiting after it was asked so many times."""

    def __init__(self, patient_answers: int) -> None:
        self.asked = 0
        self._patient_answers = patient_answers

    def is_interrupted(self) -> bool:
        self.asked += 1
        return self.asked > self._patient_answers


def test_a_call_with_time_left_goes_on() -> None:
    Patience(60).check()
    Patience(FOREVER).check()


def test_a_call_whose_time_is_over_gives_up_and_names_the_cause() -> None:
    cause = StalledError("no answer", url="https://host/x")

    with pytest.raises(GaveUpError, match="no answer") as caught:
        Patience(0).check(cause)

    assert caught.value.__cause__ is cause


def test_an_interrupted_call_ends_even_with_time_left() -> None:
    with pytest.raises(InterruptedCallError):
        Patience(FOREVER, lambda: True).check()


def test_an_interruption_goes_before_a_deadline() -> None:
    with pytest.raises(InterruptedCallError):
        Patience(0, lambda: True).check()


def test_the_time_left_shrinks_and_never_goes_below_nothing() -> None:
    assert 59 < Patience(60).remaining_s() <= 60
    assert Patience(0).remaining_s() == 0
    assert Patience(-5).remaining_s() == 0
    assert Patience(FOREVER).remaining_s() == FOREVER


def test_a_limit_only_shortens_and_keeps_the_caller() -> None:
    caller = Caller(patient_answers=0)
    patience = Patience(60, caller.is_interrupted)

    assert patience.limit(1).remaining_s() <= 1
    assert patience.limit(1).seconds == 1
    assert 59 < patience.limit(FOREVER).remaining_s() <= 60
    assert patience.limit(FOREVER).seconds == 60
    with pytest.raises(InterruptedCallError):
        patience.limit(FOREVER).check()


def test_what_is_already_there_is_not_waited_for_even_without_time() -> None:
    condition = threading.Condition()

    with condition:
        Patience(0).wait_for(condition, lambda: True)


def test_a_waiter_goes_on_once_another_thread_says_so() -> None:
    condition = threading.Condition()
    answers: list[str] = []

    def answer() -> None:
        with condition:
            answers.append("here")
            condition.notify_all()

    thread = threading.Thread(target=answer)
    with condition:
        thread.start()  # it can't answer before the waiter lets the condition go
        Patience(60).wait_for(condition, lambda: bool(answers))
    thread.join()

    assert answers == ["here"]


def test_a_waiter_gives_up_when_its_time_is_over_with_the_last_cause() -> None:
    condition = threading.Condition()
    failures = [StalledError("first", url="u"), StalledError("second", url="u")]

    with condition, pytest.raises(GaveUpError, match="second") as caught:
        Patience(0.01).wait_for(condition, lambda: False, lambda: failures[-1])

    assert caught.value.__cause__ is failures[-1]


def test_a_waiter_whose_caller_is_gone_ends_within_a_second() -> None:
    condition = threading.Condition()
    caller = Caller(patient_answers=1)

    watch = Stopwatch()
    with condition, pytest.raises(InterruptedCallError):
        Patience(FOREVER, caller.is_interrupted).wait_for(condition, lambda: False)

    assert watch.seconds() < 1
    assert caller.asked == 2


def test_a_sleeper_sleeps_as_long_as_it_was_told() -> None:
    start_s = time.monotonic()
    Patience(60).sleep(0.02)

    assert time.monotonic() - start_s >= 0.02


def test_a_sleeper_ends_with_its_callers_patience() -> None:
    cause = StalledError("no answer", url="u")

    with pytest.raises(GaveUpError) as caught:
        Patience(0.01).sleep(3600, cause)

    assert caught.value.__cause__ is cause


def test_a_sleeper_whose_caller_is_gone_ends_within_a_second() -> None:
    watch = Stopwatch()
    with pytest.raises(InterruptedCallError):
        Patience(FOREVER, Caller(patient_answers=1).is_interrupted).sleep(3600)

    assert watch.seconds() < 1
