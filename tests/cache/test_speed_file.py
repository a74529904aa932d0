"""How fast it was lately survives the process, and nonsense in its file."""

from __future__ import annotations

import os
from pathlib import Path

from empiarfs.cache.speed_file import Lately, SpeedLog, read_speed, write_measured
from empiarfs.core.throughput import Measured

DAY = 86_400


class Clock:
    """A clock that stands still until it is moved."""

    now_s = 100.0

    def read(self) -> float:
        return self.now_s


def test_measurements_of_the_last_day_are_taken_together(tmp_path: Path) -> None:
    path = tmp_path / "speed"
    write_measured(path, [Measured(1_000_000_000, 1.0)], 1_000_000)
    write_measured(path, [Measured(30_000_000, 10.0)], 1_000_000 + 2 * DAY)
    write_measured(path, [Measured(90_000_000, 20.0)], 1_000_060 + 2 * DAY)

    assert read_speed(path) == Lately(4_000_000.0, 1_000_060 + 2 * DAY)


def test_the_file_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "speed"
    for when_s in range(200):
        write_measured(path, [Measured(10**14, 99_999.123)], 10**10 + when_s)

    assert path.stat().st_size < 2000
    found = read_speed(path)
    assert found is not None
    assert (int(found.speed), found.measured_s) == (int(10**14 / 99_999.123), 10**10 + 199)


def test_what_is_no_measurement_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "speed"
    assert read_speed(path) is None
    path.write_bytes(
        b"\xff\xfe\n1 2\n5 0 1.000\n5 7 0.000\n7 -1 2.000\n9 8000 2.000\n" + b"x" * 9999
    )

    assert read_speed(path) == Lately(4000.0, 9)


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("9 8000 2.000\n")
    os.symlink(tmp_path / "other", tmp_path / "speed")

    assert read_speed(tmp_path / "speed") is None


def test_what_a_process_fetches_is_written_down_at_its_end(tmp_path: Path) -> None:
    clock = Clock()
    log = SpeedLog(tmp_path / "speed", clock=clock.read)
    log.began()
    clock.now_s += 8.0
    log.ended(40_000_000)
    log.close()

    found = read_speed(tmp_path / "speed")
    assert found is not None
    assert found.speed == 5_000_000.0


def test_a_disk_that_refuses_is_no_harm(tmp_path: Path) -> None:
    clock = Clock()
    log = SpeedLog(tmp_path / "none" / "speed", clock=clock.read)
    for _ in range(2):
        log.began()
        clock.now_s += 8.0
        log.ended(40_000_000)
        log.close()

    assert not (tmp_path / "none").exists()
