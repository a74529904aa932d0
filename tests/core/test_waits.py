"""What a read waits for is the course of its fetch, from when it began to wait for it."""

from __future__ import annotations

from empiarfs.core.waits import Account, Course, Wait


def test_a_read_is_charged_what_it_waited_out_itself() -> None:
    course, account = Course(100.0), Account()
    course.turn(Wait.FIRST_BYTE, 103.0)
    following = account.follow(course, 104.0)
    course.turn(Wait.BYTES, 106.0)
    assert account.course is course
    following.end(106.5)

    assert account.waited == {"first_byte": 2.0, "bytes": 0.5}
    assert account.course is None


def test_two_fetches_of_one_read_are_added_up() -> None:
    account = Account()
    for _ in range(2):
        course = Course(0.0)
        following = account.follow(course, 0.0)
        course.turn(Wait.OFFLINE, 1.0)
        following.end(3.0)

    assert account.waited == {"connection": 2.0, "offline": 4.0}


def test_what_went_wrong_before_somebody_waited_is_not_his() -> None:
    course, account = Course(0.0), Account()
    course.failed("BusyError")
    course.hedges += 1
    following = account.follow(course, 1.0)
    course.failed("StalledError")
    course.failed("StalledError")
    course.hedges += 2
    following.end(2.0)

    assert (account.faults, account.hedges) == ({"StalledError": 2}, 2)


def test_a_fetch_that_fails_for_hours_stays_small() -> None:
    course = Course(0.0)
    for number in range(10_000):
        course.failed("StalledError")
        course.turn(Wait.PAUSE if number % 2 else Wait.FIRST_BYTE, float(number))

    assert len(course.faults) == 64
    assert sum(course.so_far(10_000.0)) == 10_000.0


def test_a_clock_that_is_read_late_takes_no_time_away() -> None:
    course = Course(10.0)
    course.turn(Wait.BYTES, 9.0)

    assert sum(course.so_far(8.0)) == 0.0


def test_what_the_disk_had_at_once_was_not_waited_for() -> None:
    account = Account()
    account.found(5, 7, 0.002)
    assert (account.memory, account.disk, account.waited) == (5, 7, {})
    account.found(0, 1, 2.0)

    assert (account.disk, account.waited) == (8, {"cache_disk": 2.0})
