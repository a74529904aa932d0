"""Commands that work for long stand in `status`, until they end in whatever way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.broken_server import BrokenServer, Fault
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

FILES = {f"10934/data/{number}.mrc": os.urandom(200_000) for number in range(40)}


class Machine:
    """Commands as programs, with a home and a runtime directory of their own."""

    def __init__(self, folder: Path, url: str) -> None:
        (folder / "run").mkdir(mode=0o700)
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "EMPIARFS_ARCHIVE_URL": url,
            "EMPIARFS_CACHE_DIR": str(folder / "cache"),
            "no_proxy": "127.0.0.1",
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "empiarfs", *words],
            cwd=CHECKOUT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        process = self.start(*words)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def status(self, *words: str) -> str:
        process = self.start("status", *words)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out

    def job_of(self, process: subprocess.Popen[str]) -> dict[str, Any] | None:
        found = json.loads(self.status("--json"))["jobs"]
        return next((each for each in found if each["pid"] == process.pid), None)


def test_a_copy_tells_how_long_it_takes_and_is_gone_at_ctrl_c(tmp_path: Path) -> None:
    with BrokenServer(FILES) as server:
        machine = Machine(tmp_path, server.url)
        words = ("get", "10934", str(tmp_path / "dest"), "--limit-rate", "150k", "--quiet")
        with machine.running(*words) as process:
            wait_until(lambda: (machine.job_of(process) or {}).get("left_s"), 60)
            job = machine.job_of(process)
            assert job is not None
            assert (job["command"], job["what"]) == ("get", f"10934 {tmp_path / 'dest'}")
            assert (job["doing"], job["files_total"], job["bytes_total"]) == (
                "copying", 40, 8_000_000,
            )  # fmt: skip
            assert 0 < job["bytes"] < 8_000_000
            shown = machine.status()
            assert "\njob: get 10934 " in shown
            assert f"(process {process.pid}), copying: " in shown
            assert " of 40 files, " in shown
            assert " of 8 MB, " in shown
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            assert process.returncode == 130
        assert machine.job_of(process) is None
        assert list((tmp_path / "run/empiarfs").iterdir()) == []


def test_one_that_was_killed_is_not_shown(tmp_path: Path) -> None:
    with BrokenServer(FILES) as server:
        machine = Machine(tmp_path, server.url)
        with machine.running("warm", "10934", "--limit-rate", "150k") as process:
            wait_until(lambda: machine.job_of(process), 60)
            process.kill()
            process.communicate()
            assert list((tmp_path / "run/empiarfs").iterdir())

            assert machine.job_of(process) is None
            assert list((tmp_path / "run/empiarfs").iterdir()) == []


def test_an_index_tells_how_many_files_it_knows(tmp_path: Path) -> None:
    with BrokenServer(FILES) as server:
        server.fault(lambda request: request.method == "HEAD", Fault.silence(), times=10_000)
        machine = Machine(tmp_path, server.url)
        with machine.running("index", "10934", "--quiet") as process:
            wait_until(lambda: machine.job_of(process), 60)
            job = machine.job_of(process)
            assert job is not None
            assert (job["command"], job["what"], job["doing"]) == ("index", "10934", "indexing")
            assert (job["files"], job["files_total"], job["bytes_total"]) == (0, 40, None)
