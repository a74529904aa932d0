"""`status --watch`: rates are differences, and the screen ends when it is told to."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from empiarfs.cli.watching import hits, job_text, lines_of, long_read_text
from empiarfs.control import Job
from empiarfs.stats import COUNTERS
from tests.support.broken_server import BrokenServer
from tests.support.mounts import mounted
from tests.support.users import CHECKOUT

DATA = os.urandom(3_000_000)


def status(**counters: int) -> dict[str, Any]:
    return {
        "mount_point": "/m",
        "pid": 1,
        "state": "mounted",
        "reachability": "online",
        "connections": 3,
        "open_files": 2,
        "archive_url": "https://host/",
        "cache": {"used": 10, "limit": 20_000, "pinned": 5, "unwell": None},
        "fetcher": {"spans_waiting": 4},
        "counters": dict.fromkeys(COUNTERS, 0) | counters,
    }


def test_rates_are_what_came_in_between() -> None:
    before = status(reads=1, read_bytes=1_000, memory_bytes=1_000, network_bytes=7_000)
    now = status(reads=5, read_bytes=9_000, memory_bytes=3_000, disk_bytes=2_000,
                 network_bytes=17_000, stalls=2)  # fmt: skip
    found = dict(lines_of(before, now, 2.0))

    assert found["archive"] == "5 KB/s, 3 connections"
    assert found["read"] == "4 KB/s (25 % memory, 25 % disk, 50 % archive)"
    assert found["in all"].startswith("9 KB read (33 % memory, 22 % disk, 45 % archive), 17 KB")
    assert found["cache"] == "10 B of 20 KB, 5 B pinned"
    assert found["trouble"].startswith("2 stalls passed")


def test_a_mount_that_was_made_anew_has_no_rates_yet() -> None:
    before, now = status(reads=9, read_bytes=9), status(reads=1, read_bytes=1)

    assert "archive" not in dict(lines_of(before, now, 1.0))
    assert "archive" not in dict(lines_of(None, now, 1.0))


def test_one_that_does_not_answer_is_shown_all_the_same() -> None:
    silent = {"mount_point": "/m", "pid": 1, "state": "does not answer", "cache": {}}

    assert lines_of(None, silent, 1.0) == [("state", "does not answer")]


def reader(pid: int, size: int, *, has_ended: bool = False) -> dict[str, object]:
    return {"pid": pid, "program": f"p{pid}", "read_bytes": size, "files": 1, "open_files": 2,
            "has_ended": has_ended}  # fmt: skip


def test_programs_that_read_most_just_then_come_first() -> None:
    before, now = status(), status()
    before["readers"] = [reader(1, 5_000_000), reader(2, 100), reader(3, 9_000, has_ended=True)]
    now["readers"] = [reader(1, 5_000_000), reader(2, 4_100), reader(3, 9_000, has_ended=True)]
    found = [value for name, value in lines_of(before, now, 2.0) if name == "reader"]

    assert found == [
        "p2 (process 2): 2 KB/s, 4.1 KB of 1 file, 2 open",
        "p1 (process 1): 0 B/s, 5 MB of 1 file, 2 open",
    ]


def job(**values: object) -> dict[str, object]:
    return {
        "command": "get", "what": "10934 /data", "doing": "copying", "pid": 7, "files": 3,
        "files_total": 10, "bytes": 2_000_000, "bytes_total": 8_000_000_000,
        "bytes_per_s": 1_000_000.4, "left_s": 7998.0,
    } | values  # fmt: skip


def test_a_job_is_told_with_what_is_known_of_it() -> None:
    assert job_text(job()) == (
        "get 10934 /data (process 7), copying: 3 of 10 files, 2 MB of 8 GB, 1 MB/s, 2.2 h left"
    )
    unknown = job(files_total=None, bytes_total=None, bytes_per_s=None)
    assert job_text(unknown | {"left_s": 60.0}).endswith(
        "copying: 3 files, 2 MB, at least 60 s left"
    )
    assert job_text(unknown | {"left_s": None, "what": "a\nb"}).endswith(
        "a\\nb (process 7), copying: 3 files, 2 MB"
    )


def test_a_program_that_reads_for_days_is_told_with_what_is_faster() -> None:
    globus = {"collection": "Public Data", "id": "4777", "path": "/empiar/10934/data/"}
    read = {"pid": 7, "program": "cp\n", "path": "10934/data", "bytes_per_s": 3_100_000.0,
            "left_files": 2912, "left_bytes": 1_700_000_000_000,
            "left_bytes_at_most": 1_701_000_000_000, "left_s": 548_387.0,
            "globus": globus}  # fmt: skip

    assert long_read_text(read) == (
        "cp\\n (process 7) reads through 10934/data at 3.1 MB/s: 1.7 TB in 2912 files are left "
        "there, 6.3 days at this speed; `empiarfs plan 10934/data` says what it takes, and Globus "
        "is faster: Public Data (4777), /empiar/10934/data/"
    )
    more = long_read_text(read | {"left_files": 1, "left_bytes_at_most": 2 * 10**12})
    assert "1.7 TB to 2 TB in 1 file are left" in more
    now = status() | {"long_reads": [read]}
    assert ("long", long_read_text(read)) in lines_of(None, now, 1.0)


def test_nothing_read_has_no_hits() -> None:
    assert hits({"read_bytes": 0}) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--watch",), "needs a terminal"),
        (("--watch", "--json"), "don't go together"),
        (("--watch", "--errors"), "don't go together"),
    ],
)
def test_wrong_words_are_told(words: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "empiarfs", "status", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def shown_until(descriptor: int, pattern: str, timeout_s: float = 60.0) -> str:
    """Read from a terminal until something is shown; without what steers it."""
    data, end_s = b"", time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if select.select([descriptor], [], [], 0.2)[0]:
            data += os.read(descriptor, 65536)
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
        if re.search(pattern, text):
            return text
    raise AssertionError(f"{pattern} was never shown, but {data[-2000:]!r}")


@pytest.mark.fuse
def test_a_terminal_shows_a_mount_until_ctrl_c(tmp_path: Path) -> None:
    with (
        BrokenServer({"10934/data/a.mrc": DATA}) as server,
        mounted(server.url) as mount,
    ):
        assert (mount.path / "10934/data/a.mrc").read_bytes() == DATA
        screen, terminal = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "empiarfs", "status", "--watch", str(mount.path)],
            cwd=CHECKOUT,
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            env={**mount.environment, "TERM": "xterm", "COLUMNS": "200", "LINES": "40"},
        )
        try:
            text = shown_until(screen, r"trouble\s+\d+ stalls passed")
            assert str(mount.path) in text
            assert "mounted, archive online" in text
            assert re.search(r"in all\s+3 MB read", text)
            # The rates of a second come with the next screen.
            shown_until(screen, r"archive\s+0 B/s, ")
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60)[1] == b""
            assert process.returncode == 0
        finally:
            process.kill()
            process.communicate()
            os.close(terminal)
            os.close(screen)


@pytest.mark.slow
def test_a_terminal_shows_jobs_below_the_mounts(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    now_s = 0.0
    job = Job("get", "10934 /data", "copying", environ, lambda: now_s)
    screen, terminal = pty.openpty()
    try:
        now_s = 10.0
        job.tell(3, 10, 2_000_000, 8_000_000_000, 2_000_000)
        process = subprocess.Popen(
            [sys.executable, "-m", "empiarfs", "status", "--watch"],
            cwd=CHECKOUT,
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            env={**environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "40"},
        )
        try:
            shown_until(
                screen, r"job  get 10934 /data .process \d+., copying: 3 of 10 files, 2 MB"
            )
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60)[1] == b""
            assert process.returncode == 0
        finally:
            process.kill()
            process.communicate()
    finally:
        job.close()
        os.close(terminal)
        os.close(screen)
