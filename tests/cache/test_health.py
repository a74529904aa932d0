"""When a disk is asked, and how often the log hears of it."""

from __future__ import annotations

import logging

import pytest

from empiarfs.cache.health import RETRY_S, Health, RareWarning
from tests.cache.test_disk import Clock

pytestmark = pytest.mark.expects_warnings


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health("reading the cache", clock)


def test_a_disk_is_well_until_it_fails(health: Health) -> None:
    assert health.allows()
    assert health.unwell is None
    health.failed("No space left")

    assert not health.allows()
    assert str(health.unwell).endswith("No space left")


def test_a_disk_that_comes_and_goes_warns_once_in_ten_minutes(
    health: Health, clock: Clock, expects_warnings: list[logging.LogRecord]
) -> None:
    for _ in range(50):
        health.failed("full")
        clock.now += 10.0
        health.succeeded()
    assert len([r for r in expects_warnings if "going on without" in r.getMessage()]) == 1

    clock.now += 600.0
    health.failed("full")
    assert len([r for r in expects_warnings if "going on without" in r.getMessage()]) == 2


def test_after_a_while_one_caller_may_try(health: Health, clock: Clock) -> None:
    health.failed("gone")
    clock.now += RETRY_S

    assert [health.allows() for _ in range(3)] == [True, False, False]
    health.succeeded()
    assert health.allows()
    assert health.unwell is None


def test_each_change_is_logged_once(
    health: Health, clock: Clock, expects_warnings: list[logging.LogRecord]
) -> None:
    for _ in range(5):
        health.failed("gone")
        clock.now += RETRY_S
        health.allows()
    health.succeeded()
    health.succeeded()

    assert [record.getMessage() for record in expects_warnings] == [
        "reading the cache fails, going on without: gone",
        "reading the cache works again",
    ]


def test_a_lock_missed_now_and_then_is_no_failure(health: Health) -> None:
    for _ in range(10):
        health.busy("locked")
        health.busy("locked")
        health.succeeded()

    assert health.unwell is None
    for _ in range(3):
        health.busy("locked")
    assert health.unwell is not None


def test_a_rare_warning_says_how_many_it_left_out(
    clock: Clock, expects_warnings: list[logging.LogRecord]
) -> None:
    warning = RareWarning("damaged: %s", clock)
    for number in range(5):
        warning.log(number)
    clock.now += 61
    warning.log("last")

    assert [record.getMessage() for record in expects_warnings] == [
        "damaged: 0",
        "damaged: last (and 4 more since the last such message)",
    ]
