"""Who reads a directory through is told from who reads here and there."""

from __future__ import annotations

import random

import pytest

from empiarfs.core.long_reads import FILES, LONG_S, LongReads, Streak, left_of

SIZE = 1_000_000
BOUNDS = [(10 * SIZE, 12 * SIZE)] * 10_000


class Reading:
    """A process that reads files of a directory, one each ten seconds."""

    def __init__(self, reads: LongReads | None = None, process: int = 7) -> None:
        self.reads = LongReads() if reads is None else reads
        self.process = process
        self.now_s = 1_000.0
        self.told: list[Streak] = []

    def read(self, row: int, share: float = 1.0, *, size: int = SIZE, seconds: float = 10) -> None:
        opened_s = self.now_s
        self.now_s += seconds
        found = self.reads.read(
            self.process, "1/data", row, size, int(share * size), opened_s, self.now_s
        )
        if found is not None:
            self.told.append(found)

    @property
    def streaks(self) -> list[Streak]:
        return self.reads.streaks(self.now_s)


def test_eight_files_in_a_row_are_a_streak() -> None:
    reading = Reading()
    for row in range(FILES - 1):
        reading.read(row)
    assert reading.streaks == []
    reading.read(FILES - 1)

    (streak,) = reading.streaks
    assert (streak.first, streak.last, streak.files) == (0, 7, 8)
    assert streak.bytes_per_s == SIZE / 10
    assert reading.told == [streak]


def test_the_log_hears_of_it_less_and_less_often() -> None:
    reading = Reading()
    for row in range(1_000):
        reading.read(row)

    assert len(reading.told) == len([8, 16, 32, 64, 128, 256, 512])


def test_headers_a_sample_and_single_files_are_none() -> None:
    heads, sample, jumps = Reading(), Reading(), Reading()
    chosen = random.Random(5).sample(range(10_000), 200)
    for number in range(200):
        heads.read(number, 0.05)
        sample.read(chosen[number])
        jumps.read(50 * number)

    assert (heads.streaks, sample.streaks, jumps.streaks) == ([], [], [])


def test_a_header_in_between_begins_anew() -> None:
    reading = Reading()
    for row in range(FILES - 1):
        reading.read(row)
    reading.read(FILES - 1, 0.5)
    for row in range(FILES, 2 * FILES - 1):
        reading.read(row)

    assert reading.streaks == []


def test_small_files_are_no_evidence_and_no_harm() -> None:
    small, mixed = Reading(), Reading()
    for row in range(100):
        small.read(row, size=100_000)
        mixed.read(row, 0.0 if row % 2 else 1.0, size=5_000 if row % 2 else SIZE)

    assert small.streaks == []
    assert len(mixed.streaks) == 1


def test_readers_side_by_side_come_a_little_out_of_order() -> None:
    reading = Reading()
    for row in (1, 0, 2, 4, 3, 6, 5, 7, 9, 8):
        reading.read(row)

    (streak,) = reading.streaks
    assert (streak.first, streak.last) == (0, 9)


def test_what_takes_no_time_has_no_speed_yet() -> None:
    reading = Reading()
    for row in range(FILES):
        reading.read(row, seconds=0.1)

    assert reading.streaks == []


def test_what_is_left_is_what_lies_behind_the_last_file() -> None:
    reading = Reading()
    for row in range(10):
        reading.read(row)
    bounds = [(SIZE, SIZE)] * 10 + [(10, 20), None, (30, 40)]
    left = left_of(reading.streaks[0], bounds)

    assert left is not None
    assert (left.files, left.low, left.high) == (2, 40, 60)
    assert left.seconds == pytest.approx(40 / (SIZE / 10))
    assert not left.is_long


def test_hours_are_worth_telling() -> None:
    reading = Reading()
    for row in range(10):
        reading.read(row, size=10 * SIZE)
    left = left_of(reading.streaks[0], BOUNDS)

    assert left is not None
    assert left.is_long
    assert left.seconds > LONG_S


def test_who_leaves_out_every_other_file_is_not_told_of_all() -> None:
    reading = Reading()
    for row in range(0, 40, 3):
        reading.read(row, size=10 * SIZE)

    assert left_of(reading.streaks[0], BOUNDS) is None


def test_several_that_share_a_directory_are_not_told_of_all_of_it() -> None:
    reads = LongReads()
    first, second = Reading(reads, 1), Reading(reads, 2)
    for row in range(10):
        first.read(row)
        assert len(first.streaks) <= 1
        second.read(500 + row)

    assert first.streaks == []


def test_the_speed_is_that_of_the_last_minutes() -> None:
    reading = Reading()
    for row in range(1_000):
        reading.read(row, seconds=1)
    for row in range(1_000, 1_200):
        reading.read(row, seconds=10)

    assert reading.streaks[0].bytes_per_s == pytest.approx(SIZE / 10, rel=0.1)


def test_who_stopped_is_not_told_of() -> None:
    reading = Reading()
    for row in range(20):
        reading.read(row)
    assert len(reading.streaks) == 1
    reading.now_s += 500
    assert len(reading.streaks) == 1
    reading.now_s += 200

    assert reading.streaks == []


def test_what_is_kept_is_bounded() -> None:
    reads = LongReads()
    for process in range(1_000):
        Reading(reads, process).read(0)

    assert len(reads._streaks) == 64
