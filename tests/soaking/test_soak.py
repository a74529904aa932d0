"""The soak: some seconds of it, its end by Ctrl-C, and how it judges what it found."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.soaking.daemon import Held, about, held_by
from scripts.soaking.judge import Found, leaks, wrong_with
from tests.support import mounts
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

WELL = Held(60.0, descriptors=40, sockets=12, threads=50, memory=100_000_000, heap=80_000_000)
GOOD = Found(
    seconds=600.0,
    readers=64,
    counts={"reads": 10, "wrong_bytes": 0},
    longest_s={"read": 1.0},
    met={"silence": 3},
    hangs=0,
    died=0,
    start=WELL,
    minute=WELL,
    end=WELL,
    quiet=WELL,
    left={"open files": 0},
    messages=(),
    mending={},
)


@contextmanager
def soaking(*arguments: str, home: str | None = None) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "scripts.soaking", *arguments]
    process = subprocess.Popen(
        words,
        cwd=CHECKOUT,
        env={**os.environ, **({"TMPDIR": home} if home else {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.fuse
@pytest.mark.slow
def test_some_seconds_of_it_find_nothing_wrong(tmp_path: Path) -> None:
    result = tmp_path / "found.json"
    words = ("--minutes", "0.06", "--readers", "14", "--json", str(result))
    with soaking(*words) as process:
        printed, said = process.communicate(timeout=400)

    assert process.returncode == 0, printed + said
    found = json.loads(result.read_text())
    assert found["wrong"] == []
    assert found["counts"]["reads"] > 20
    assert found["counts"]["wrong_bytes"] == found["hangs"] == 0
    assert sum(found["met"].values()) > 0
    assert "nothing wrong" in printed


@pytest.mark.fuse
@pytest.mark.slow
def test_ctrl_c_ends_it_and_leaves_nothing() -> None:
    # Short, since Unix sockets lie below.
    with tempfile.TemporaryDirectory(prefix="soaked-") as home:
        with soaking("--minutes", "5", "--readers", "7", home=home) as process:
            assert process.stderr is not None
            while "readers for" not in process.stderr.readline():
                assert process.poll() is None
            wait_until(lambda: len(_processes_at(home)) > 2, 60)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=200)

        assert process.returncode != 0
        assert not [point for point in mounts.mount_points() if point.startswith(home)]
        assert not _processes_at(home)
        assert os.listdir(home) == []


def test_a_good_run_is_right() -> None:
    assert wrong_with(GOOD) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"counts": {"reads": 10, "wrong_bytes": 1}},
        {"counts": {"reads": 10, "lost_names": 1}},
        {"counts": {"reads": 10, "failed_reads": 1}},
        {"counts": {"reads": 0}},
        {"hangs": 1},
        {"died": 1},
        {"left": {"open files": 1}},
        {"end": dataclasses.replace(WELL, memory=111_000_000)},
        {"quiet": dataclasses.replace(WELL, descriptors=400)},
        {"quiet": dataclasses.replace(WELL, threads=120)},
    ],
)
def test_each_thing_that_may_not_be_is_wrong(bad: dict[str, object]) -> None:
    assert len(wrong_with(dataclasses.replace(GOOD, **bad))) == 1  # type: ignore[arg-type]


def test_memory_is_not_compared_in_a_short_run() -> None:
    grown = dataclasses.replace(WELL, memory=150_000_000)

    assert wrong_with(dataclasses.replace(GOOD, seconds=20.0, end=grown)) == []


def test_what_no_program_noticed_is_healed() -> None:
    found = dataclasses.replace(GOOD, counts={"reads": 10, "failed_lookups": 1})

    assert (found.faults, found.not_healed, found.healed) == (3, 1, 2)


def test_look_ups_may_fail_while_the_archive_is_out_of_reach() -> None:
    found = dataclasses.replace(GOOD, counts={"reads": 10, "failed_lookups": 7})

    assert wrong_with(found) == []


def test_a_leak_is_named() -> None:
    assert leaks(dataclasses.replace(GOOD, left={"connections": 2}))["connections"] == 2


def test_one_odd_sample_says_little() -> None:
    samples = [dataclasses.replace(WELL, at_s=at, memory=m) for at, m in ((58, 1), (60, 2))]
    samples.append(dataclasses.replace(WELL, at_s=61, memory=10**9))

    assert about(samples, 60.0).memory == 2


def test_what_a_process_holds_is_counted() -> None:
    with open(os.devnull) as one, open(os.devnull) as two:
        more = held_by(os.getpid(), 0.0)
        assert one.fileno() != two.fileno()
    less = held_by(os.getpid(), 0.0)

    assert more.descriptors == less.descriptors + 2
    assert less.threads >= 1
    assert less.memory > less.heap > 1_000_000


def _processes_at(home: str) -> list[int]:
    """Return the processes whose command line names something below a directory."""
    needle = home.encode()
    return [pid for pid, words in mounts.command_lines() if any(needle in word for word in words)]
