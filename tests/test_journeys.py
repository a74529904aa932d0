"""All look-ups of one system call share one deadline, and no others do."""

from __future__ import annotations

import pytest

try:
    from empiarfs.fuse.journeys import Journeys
except OSError as exc:  # mfusepy loads libfuse when it is imported
    pytest.skip(f"no libfuse: {exc}", allow_module_level=True)


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
def journeys(clock: Clock) -> Journeys:
    return Journeys(90.0, clock)


def look_up(
    journeys: Journeys, clock: Clock, path: str, takes_s: float, *, thread: int = 1
) -> float:
    """Look something up, and return how many seconds it might have taken."""
    began_s = journeys.began_s(thread, path)
    left_s = journeys.left_s(began_s)
    clock.now_s += takes_s
    journeys.answered(thread, path, began_s)
    clock.now_s += 0.001
    return left_s


def test_a_path_is_looked_up_within_one_deadline(journeys: Journeys, clock: Clock) -> None:
    lefts = [
        look_up(journeys, clock, path, 40.0) for path in ("10017", "10017/data", "10017/data/a")
    ]

    assert lefts == pytest.approx([90, 50, 10], abs=0.1)
    assert look_up(journeys, clock, "10017/data/a", 0.0) == 0


@pytest.mark.parametrize(
    ("path", "thread", "pause_s"),
    [
        ("10018", 1, 0.0),
        ("100", 1, 0.0),
        ("10017x", 1, 0.0),
        ("10017/data", 2, 0.0),
        ("10017/data", 1, 1.0),
    ],
    ids=["another path", "above", "a name that begins alike", "another thread", "later"],
)
def test_another_call_has_a_deadline_of_its_own(
    journeys: Journeys, clock: Clock, path: str, thread: int, pause_s: float
) -> None:
    look_up(journeys, clock, "10017", 40.0)
    clock.now_s += pause_s

    assert look_up(journeys, clock, path, 1.0, thread=thread) == 90


def test_quick_answers_leave_nothing_behind(journeys: Journeys, clock: Clock) -> None:
    look_up(journeys, clock, "10017", 0.05)

    assert look_up(journeys, clock, "10017/data", 1.0) == 90


def test_threads_that_cannot_be_told_apart_share_nothing(journeys: Journeys, clock: Clock) -> None:
    look_up(journeys, clock, "10017", 40.0, thread=0)

    assert look_up(journeys, clock, "10017/data", 1.0, thread=0) == 90


def test_what_is_remembered_is_bounded(journeys: Journeys, clock: Clock) -> None:
    began_s = clock.now_s
    clock.now_s += 1.0
    for thread in range(1, 10_000):
        journeys.answered(thread, "a", began_s)

    assert len(journeys._last) <= 256
