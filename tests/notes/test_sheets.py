"""Contact sheets below `.empiar`: what has one made, and what doesn't."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from empiarfs.errors import EmpiarFSError, GaveUpError, InterruptedCallError
from empiarfs.notes.sheets import Picture, Sheets
from empiarfs.patience import Patience
from tests.support.entry_source import Clock
from tests.support.waiting import wait_until

DATA = b"\x89PNG" * 1000


def patience() -> Patience:
    return Patience(30.0)


class Maker:
    """Makes sheets of one pattern.

    Attributes:
        asked: Of which entries.
        error: What is raised instead.
        size: Of what is made, in bytes.
        is_whole: Whether all files were had.
        hold: Each is made once this is set.
        stopped: Which were to be ended.
        peak: How many were made at once, at most.
    """

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.error: Exception | None = None
        self.size = len(DATA)
        self.is_whole = True
        self.hold = threading.Event()
        self.hold.set()
        self.peak = 0
        self.stopped: list[int] = []
        self._running = 0
        self._closed = False

    def sheet(self, number: int) -> Picture:
        self._running += 1
        self.peak = max(self.peak, self._running)
        self.asked.append(number)
        self.hold.wait(30.0)
        self._running -= 1
        if self._closed:
            raise InterruptedCallError("the mount ends")
        if self.error is not None:
            raise self.error
        return Picture(DATA * (self.size // len(DATA)), self.is_whole)

    def stop(self, number: int) -> None:
        self.stopped.append(number)
        if self._running and self.asked[-1] == number:
            self.error = EmpiarFSError("ended")
            self.hold.set()

    def close(self) -> None:
        self._closed = True
        self.hold.set()


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sheets(maker: Maker, clock: Clock) -> Iterator[Sheets]:
    made = Sheets(maker, clock, clock)
    yield made
    made.close()


def test_one_is_made_for_who_wants_it_and_kept_for_a_day(
    sheets: Sheets, maker: Maker, clock: Clock
) -> None:
    assert sheets.made(10934) is None
    assert maker.asked == []
    first = sheets.sheet(10934, patience())
    clock.now_s += 86_000.0

    assert first.data == DATA
    assert sheets.sheet(10934, patience()) is sheets.made(10934) is first
    assert maker.asked == [10934]
    clock.now_s += 1_000.0
    assert sheets.made(10934) is None
    assert sheets.sheet(10934, patience()).modified_s == clock.now_s
    assert maker.asked == [10934, 10934]


def test_one_that_lacks_files_is_made_again_soon(
    sheets: Sheets, maker: Maker, clock: Clock
) -> None:
    maker.is_whole = False
    assert sheets.sheet(10934, patience()).data == DATA
    clock.now_s += 61.0

    assert sheets.made(10934) is None


@pytest.mark.parametrize("error", [EmpiarFSError("no Pillow"), ZeroDivisionError("no Pillow")])
def test_a_failure_is_told_for_half_a_minute(
    sheets: Sheets, maker: Maker, clock: Clock, error: Exception, expect_log: object
) -> None:
    if not isinstance(error, EmpiarFSError):
        assert callable(expect_log)
        expect_log("can't be made")
    maker.error = error
    for _ in range(3):
        with pytest.raises(EmpiarFSError, match="no Pillow"):
            sheets.sheet(10934, patience())
    assert maker.asked == [10934]
    maker.error = None
    clock.now_s += 31.0

    assert sheets.sheet(10934, patience()).data == DATA


def test_many_who_want_one_get_the_same_and_one_is_made_at_a_time(
    sheets: Sheets, maker: Maker
) -> None:
    maker.hold.clear()
    with ThreadPoolExecutor(12) as pool:
        found = [
            pool.submit(sheets.sheet, number, patience()) for number in (10934, 10017, 11419) * 4
        ]
        wait_until(lambda: maker.asked != [])
        maker.hold.set()
        texts = {id(each.result()) for each in found}

    assert len(texts) == 3
    assert sorted(maker.asked) == [10017, 10934, 11419]
    assert maker.peak == 1


def test_who_has_no_patience_left_may_come_again(sheets: Sheets, maker: Maker) -> None:
    maker.hold.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sheets.sheet, 10934, patience())
        wait_until(lambda: maker.asked == [10934])
        with pytest.raises(GaveUpError, match="open it again later"):
            sheets.sheet(10934, Patience(0.0))
        maker.hold.set()
        assert first.result().data == DATA

    assert sheets.sheet(10934, patience()).data == DATA
    assert (maker.asked, maker.stopped) == ([10934], [])


def test_the_last_who_is_ended_ends_the_making_and_others_begin_anew(
    sheets: Sheets, maker: Maker
) -> None:
    maker.hold.clear()
    with pytest.raises(InterruptedCallError):
        sheets.sheet(10934, Patience(30.0, lambda: bool(maker.asked)))
    assert maker.stopped == [10934]
    maker.error = None

    assert sheets.sheet(10934, patience()).data == DATA


def test_one_of_two_who_is_ended_ends_nothing(sheets: Sheets, maker: Maker) -> None:
    maker.hold.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sheets.sheet, 10934, patience())
        wait_until(lambda: maker.asked == [10934])
        with pytest.raises(InterruptedCallError):
            sheets.sheet(10934, Patience(30.0, lambda: True))
        maker.hold.set()
        assert first.result().data == DATA

    assert maker.stopped == []


def test_what_nobody_waits_for_any_more_is_not_begun(sheets: Sheets, maker: Maker) -> None:
    maker.hold.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sheets.sheet, 10934, patience())
        wait_until(lambda: maker.asked == [10934])
        with pytest.raises(InterruptedCallError):
            sheets.sheet(10017, Patience(30.0, lambda: True))
        maker.hold.set()
        first.result()

    sheets.sheet(11419, patience())
    assert maker.asked == [10934, 11419]


def test_no_more_than_some_may_wait(sheets: Sheets, maker: Maker) -> None:
    maker.hold.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sheets.sheet, 10934, patience())
        wait_until(lambda: maker.asked == [10934])
        for number in range(15):
            with pytest.raises(GaveUpError):
                sheets.sheet(12_000 + number, Patience(0.0))
        with pytest.raises(EmpiarFSError, match="16 other contact sheets"):
            sheets.sheet(13_000, patience())
        maker.hold.set()
        first.result()

    assert sheets.sheet(13_000, patience()).data == DATA


def test_what_is_kept_is_bounded(sheets: Sheets, maker: Maker) -> None:
    maker.size = 7 * 1024 * 1024
    for number in (10934, 10017, 11419):
        sheets.sheet(number, patience())
    kept = [number for number in (10934, 10017, 11419) if sheets.made(number) is not None]

    assert kept == [10017, 11419]


def test_the_end_ends_what_is_being_made(sheets: Sheets, maker: Maker) -> None:
    maker.hold.clear()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(sheets.sheet, number, patience()) for number in (10934, 10017)]
        wait_until(lambda: maker.asked != [])
        sheets.close()
        errors = [each.exception() for each in waiting]

    assert all(isinstance(each, InterruptedCallError) for each in errors)
    assert len(maker.asked) == 1
    with pytest.raises(EmpiarFSError):
        sheets.sheet(11419, patience())
