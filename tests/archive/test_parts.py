"""The small parts: delayed actions, the watch, the health."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from empiarfs.archive.health import Health
from empiarfs.archive.later import Later
from empiarfs.archive.watch import Watch
from empiarfs.errors import (
    InterruptedCallError,
    NotFoundError,
    OfflineError,
    StalledError,
)
from empiarfs.patience import Patience
from tests.support.log_guard import ExpectLog
from tests.support.waiting import wait_until


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_actions_run_in_the_order_of_their_time() -> None:
    later, done = Later(), list[str]()
    later.after(0.03, lambda: done.append("second"))
    later.after(0.0, lambda: done.append("first"))
    wait_until(lambda: len(done) == 2)

    assert done == ["first", "second"]


def test_what_is_left_can_be_run_at_once() -> None:
    later, done = Later(), list[str]()
    later.after(60, lambda: done.append("b"))
    later.after(50, lambda: done.append("a"))
    later.run_all()

    assert done == ["a", "b"]


def test_a_failing_action_does_not_stop_the_others(expect_log: ExpectLog) -> None:
    expect_log("ERROR .*a delayed action failed .*ZeroDivisionError")
    later, done = Later(), list[str]()
    later.after(0, lambda: done.append(str(1 / 0)))
    later.after(0.01, lambda: done.append("after"))

    wait_until(lambda: done)


def watch(first_byte_s: float = 60, min_rate: int = 1024) -> Watch:
    return Watch("u", Patience(60), first_byte_s=first_byte_s, min_rate=min_rate)


def ticks_until_stalled(watched: Watch, seconds: float, count: int) -> int:
    """Receive again and again; returns how often until it counts as a stall."""
    ticks = 0
    with contextlib.suppress(StalledError):
        while ticks < 10_000:
            watched.waited(seconds, count)
            ticks += 1
    return ticks


def test_a_body_may_be_slow_but_not_below_the_rate() -> None:
    slow = watch()
    slow.headers_done()
    for _ in range(100):
        slow.waited(1.0, 1100)

    assert ticks_until_stalled(slow, 1.0, 900) < 12


def test_a_silent_body_is_a_stall_after_ten_seconds_of_waiting() -> None:
    silent = watch()
    silent.headers_done()
    silent.waited(0.1, 10_000_000)

    assert 95 <= ticks_until_stalled(silent, 0.1, 0) <= 115


def test_time_between_receives_does_not_count() -> None:
    throttled = watch()
    throttled.headers_done()
    for _ in range(10_000):
        # Each receive finds its bytes waiting: the reader was the slow one.
        throttled.waited(0.0, 100)


def test_the_reason_given_to_cancel_is_raised_anew_each_time() -> None:
    ended = watch()
    reason = NotFoundError("gone", url="u")
    ended.cancel(reason)
    for _ in range(2):
        with pytest.raises(NotFoundError, match="gone") as caught:
            ended.check()
        assert caught.value is not reason
        assert caught.value.url == "u"


def test_a_cancelled_receive_raises_although_bytes_came() -> None:
    ended = watch()
    ended.headers_done()
    ended.cancel(InterruptedCallError("stop"))

    with pytest.raises(InterruptedCallError):
        ended.waited(0.0, 1000)


def health(clock: Clock, offset: Clock) -> Health:
    return Health(clock=clock, offset=offset)


def test_a_machine_that_slept_forgets_what_it_knew_once() -> None:
    clock, offset = Clock(), Clock()
    state = health(clock, offset)
    for _ in range(10):
        state.range_answered(0.1)
        state.no_connection()
    was = state.state
    assert not state.slept()
    offset.now_s += 3600

    assert state.slept()
    assert not state.slept()
    assert (was, state.state) == ("offline", "online")
    assert state.range_limit_s() == 12


def test_one_probe_is_admitted_when_it_is_due() -> None:
    clock = Clock()
    state = health(clock, Clock())
    state.no_connection()
    state.no_connection()
    with pytest.raises(OfflineError) as caught:
        state.admit("u")
    assert caught.value.retry_after_s == 5
    clock.now_s += 5
    state.admit("u")
    with pytest.raises(OfflineError):
        state.admit("u")


def test_the_oldest_request_is_the_one_that_began_first_and_is_not_over() -> None:
    clock = Clock()
    state = health(clock, Clock())
    before = state.oldest_request_s
    numbers = []
    for _ in range(3):
        numbers.append(state.request_began())
        clock.now_s += 1
    ages = []
    for number in (numbers[1], numbers[0], numbers[2]):
        ages.append(state.oldest_request_s)
        state.request_ended(number)

    assert (before, ages, state.oldest_request_s) == (None, [3, 3, 1], None)


def test_an_answer_wakes_all_who_wait_for_the_archive() -> None:
    clock = Clock()
    state = health(clock, Clock())
    state.no_connection()
    state.no_connection()
    threads = [threading.Thread(target=state.wait_until_reachable, args=(60,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    began_s = time.monotonic()
    state.received()
    for thread in threads:
        thread.join()

    assert time.monotonic() - began_s < 5
    state.admit("u")


def test_the_end_of_the_client_wakes_all_who_wait_for_the_archive() -> None:
    state = health(Clock(), Clock())
    state.no_connection()
    state.no_connection()
    thread = threading.Thread(target=state.wait_until_reachable, args=(60,))
    thread.start()
    state.close()
    thread.join(5)

    assert not thread.is_alive()
