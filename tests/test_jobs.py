"""The list of jobs: who works is there, who was killed isn't, and nobody is believed."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from empiarfs.control import Job, jobs


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "run").mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run")}


@pytest.fixture
def folder(environ: dict[str, str]) -> Path:
    return Path(environ["XDG_RUNTIME_DIR"]) / "empiarfs"


@contextmanager
def working(environ: dict[str, str], clock: Clock) -> Iterator[Job]:
    job = Job("get", "EMPIAR-10934 /data", "copying", environ, clock)
    try:
        yield job
    finally:
        job.close()


def mine(environ: dict[str, str]) -> list[dict[str, Any]]:
    # Commands of others may be under way on this machine.
    return [each.to_json() for each in jobs(environ) if each.pid == os.getpid()]


def test_a_job_says_how_far_it_is_and_how_long_it_takes(
    environ: dict[str, str], folder: Path
) -> None:
    clock = Clock()
    with working(environ, clock) as job:
        job.tell(0, 10, 500, 1_000, 0)
        assert mine(environ) == []
        clock.now_s += 2.0
        job.tell(2, 10, 600, 1_000, 100)
        (file,) = folder.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        (found,) = mine(environ)
        assert (found["command"], found["what"]) == ("get", "EMPIAR-10934 /data")
        assert (found["files"], found["files_total"]) == (2, 10)
        assert (found["bytes"], found["bytes_total"]) == (600, 1_000)
        assert (found["bytes_per_s"], found["left_s"]) == (50.0, 8.0)
        clock.now_s += 0.5
        job.tell(3, 10, 650, 1_000, 150)
        assert mine(environ)[0]["files"] == 2
        clock.now_s += 0.5
        job.tell(4, 10, 700, 1_000, 200)
        assert mine(environ)[0]["files"] == 4
    assert list(folder.iterdir()) == []


def test_the_speed_is_that_of_the_last_half_minute(environ: dict[str, str]) -> None:
    clock, came = Clock(), 0
    with working(environ, clock) as job:
        for _ in range(60):
            clock.now_s += 1.0
            came += 1_000
            job.tell(0, 10, came, 10**9, came)
        for _ in range(60):
            clock.now_s += 1.0
            came += 10
            job.tell(0, 10, came, 10**9, came)
        (found,) = mine(environ)

    assert 9 < found["bytes_per_s"] < 11


def test_a_job_that_stands_still_has_no_end(environ: dict[str, str]) -> None:
    clock = Clock()
    with working(environ, clock) as job:
        clock.now_s += 5.0
        job.tell(0, 10, 500, 1_000, 0)
        (found,) = mine(environ)

    assert (found["bytes_per_s"], found["left_s"]) == (None, None)


def test_what_a_killed_process_left_is_removed(environ: dict[str, str], folder: Path) -> None:
    clock = Clock()
    with working(environ, clock) as job:
        clock.now_s += 5.0
        job.tell(1, 10, 1, 10, 1)
        (file,) = folder.glob("*.job")
        left = folder / "0.job"
        left.write_bytes(file.read_bytes())
        assert len(mine(environ)) == 1
        assert not left.exists()
        assert file.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"files": -1},
        {"files": "many"},
        {"files": True},
        {"left_s": float("nan")},
        {"size": 2**70},
        {"pid": None},
        {"unknown": 1},
    ],
)
def test_what_is_no_job_is_passed_over(
    environ: dict[str, str], folder: Path, change: dict[str, Any]
) -> None:
    clock = Clock()
    with working(environ, clock) as job:
        clock.now_s += 5.0
        job.tell(1, 10, 1, 10, 1)
        (file,) = folder.glob("*.job")
        wrong = folder / "wrong.job"
        wrong.write_text(json.dumps({**json.loads(file.read_bytes()), **change}))
        with open(wrong, "rb") as locked:
            fcntl.flock(locked, fcntl.LOCK_EX)
            assert len(mine(environ)) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_root_sees_the_jobs_of_others(environ: dict[str, str], folder: Path) -> None:
    clock, user = Clock(), 1_000_000 + os.getpid()
    theirs = Path(f"/tmp/empiarfs-{user}")
    theirs.mkdir(mode=0o700)
    try:
        with working(environ, clock) as job:
            clock.now_s += 5.0
            job.tell(1, 10, 1, 10, 1)
            (file,) = folder.glob("*.job")
            file.rename(theirs / file.name)
            assert mine(environ) == []
            os.chown(theirs, user, user)
            assert [each["command"] for each in mine(environ)] == ["get"]
    finally:
        shutil.rmtree(theirs)


def test_a_directory_that_cannot_be_written_holds_no_work_up(
    environ: dict[str, str], folder: Path
) -> None:
    clock = Clock()
    with working(environ, clock) as job:
        clock.now_s += 5.0
        job.tell(1, 10, 1, 10, 1)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        clock.now_s += 5.0
        job.tell(2, 10, 2, 10, 2)
        clock.now_s += 5.0
        job.tell(3, 10, 3, 10, 3)
        assert mine(environ) == []
