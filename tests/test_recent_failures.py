"""What could not be read is refused for a while, so that the kernel's repeats don't wait."""

from __future__ import annotations

import pytest

from empiarfs.errors import GaveUpError
from empiarfs.fetcher.memory import RecentFailures

PIECE = ("file", 3)
FAILURE = GaveUpError("no answer")


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures(clock: Clock) -> RecentFailures:
    made = RecentFailures(clock)
    made.add(PIECE, FAILURE)
    return made


def test_what_failed_is_refused_for_half_a_minute(failures: RecentFailures, clock: Clock) -> None:
    clock.now_s += 29
    assert failures.get(PIECE) is FAILURE
    assert failures.get(("file", 4)) is None
    clock.now_s += 2
    assert failures.get(PIECE) is None


def test_a_success_ends_that_but_for_the_kernels_repeats(
    failures: RecentFailures, clock: Clock
) -> None:
    clock.now_s += 0.1
    failures.clear()

    assert failures.get(PIECE) is FAILURE
    clock.now_s += 2
    assert failures.get(PIECE) is None


def test_what_fails_after_a_success_is_refused_as_long_as_ever(
    failures: RecentFailures, clock: Clock
) -> None:
    clock.now_s += 5
    failures.clear()
    clock.now_s += 1
    failures.add(PIECE, FAILURE)
    clock.now_s += 20

    assert failures.get(PIECE) is FAILURE
