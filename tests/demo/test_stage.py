"""What a demo stands on goes away with it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from empiarfs.demo.keeper import clear_up
from empiarfs.demo.stage import Stage
from empiarfs.errors import MountError
from tests.demo.waiting import processes_in, wait_until

pytestmark = pytest.mark.slow

ABANDONED = """
import os, sys
from empiarfs.demo.stage import Stage
with Stage() as stage:
    print(stage.work, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_stage_serves_its_archive_and_leaves_nothing(temporary: Path) -> None:
    with Stage() as stage:
        assert stage.work.parent == temporary
        assert stage.work.stat().st_mode & 0o777 == 0o700
        served = urllib.request.urlopen(f"{stage.url}10017/10017.xml", timeout=10).read()
        assert served == (stage.archive / "10017/10017.xml").read_bytes()
        assert stage.counts().wholes == 1
        assert (stage.files, stage.size) == (29, 52_138_026)
        assert len(processes_in(stage.work)) == 1

    assert list(temporary.iterdir()) == []
    assert processes_in(stage.work) == []


def test_a_stage_is_cleared_when_a_step_fails(temporary: Path) -> None:
    with pytest.raises(MountError, match="a step"), Stage():
        raise MountError("a step failed")

    assert list(temporary.iterdir()) == []


def test_a_disk_that_is_full_is_one_line(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A keeper that may write no file over 1 MB stands for a full disk.
    shell = temporary / "python"
    shell.write_text(f'#!/bin/sh\nulimit -f 1000\nexec {sys.executable} "$@"\n')
    shell.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(shell))
    with pytest.raises(MountError, match="archive can't be made: File too large"), Stage():
        pass

    assert list(temporary.iterdir()) == [shell]


def test_a_kept_stage_without_a_mount_ends_by_itself(temporary: Path) -> None:
    with Stage() as stage:
        (keeper,) = processes_in(stage.work)
        stage.keep()

    os.waitpid(keeper, 0)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_demo_that_is_killed_leaves_nothing(temporary: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ABANDONED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        work = Path(demo.stdout.readline().strip())
        assert work.is_dir()
        demo.send_signal(number)
        demo.wait()
        wait_until(lambda: not processes_in(work))

    assert list(temporary.iterdir()) == []


def test_a_keeper_that_is_told_to_end_clears_up(temporary: Path) -> None:
    with Stage() as stage:
        (keeper,) = processes_in(stage.work)
        os.kill(keeper, signal.SIGTERM)
        wait_until(lambda: not processes_in(stage.work))
        with pytest.raises(MountError, match="server doesn't answer"):
            stage.counts()


def test_settings_of_the_user_do_not_reach_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMPIARFS_ARCHIVE_URL", "XDG_CONFIG_HOME", "no_proxy", "UNRELATED"):
        monkeypatch.setenv(name, "theirs")
    with Stage() as stage:
        environment = stage.environment()

    assert [name for name, value in environment.items() if value == "theirs"] == ["UNRELATED"]


@pytest.mark.expects_warnings
def test_what_is_mounted_is_never_removed(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "mnt").mkdir(parents=True)
    (work / "mnt/precious").touch()
    (work / "cache").touch()

    # Like a mount point, a directory with something in it can't be removed by rmdir.
    assert not clear_up(work)
    assert (work / "mnt/precious").exists()
    assert (work / "cache").exists()
