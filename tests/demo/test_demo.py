"""The whole demo, as a user runs it: what it shows, its exit status, what it leaves."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.demo.transcript import WIDTH
from tests.demo.waiting import processes_in, wait_until
from tests.support.interrupted import INTERRUPTED
from tests.support.mounts import mount_points
from tests.support.users import NOBODY, plain_python, run_as

pytestmark = pytest.mark.slow

TIMEOUT_S = 180.0
DEMO = [sys.executable, "-m", "empiarfs", "demo"]
# The helpers of a device directory without /dev/fuse, made in a mount namespace.
WITHOUT_FUSE = """
set -e
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
exec "$@"
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """Yield the directory for temporary files; a test leaves nothing in it or of it."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    yield directory
    assert list(directory.iterdir()) == []
    assert [point for point in mount_points() if point.startswith(str(directory))] == []
    assert processes_in(directory) == []


def environment(temporary: Path, **others: str) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"} | others


def demo(
    temporary: Path, *arguments: str, before: tuple[str, ...] = (), **others: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *DEMO, *arguments],
        env=environment(temporary, **others),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.mark.fuse
def test_it_shows_the_whole_way_and_leaves_nothing(temporary: Path) -> None:
    done = demo(temporary)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("✓") == 8
    for shown in (
        "$ empiarfs mount mnt",
        "$ ls -ln mnt/10017/data/micrographs",
        "1024 1024 1.77",
        "(16, 1024, 1024)",
        "000043@particles/particles.mrcs (64, 64)",
        "$ cmp movie.tif",
        "$ df -h ",
        "$ empiarfs status mnt",
        "$ empiarfs umount mnt",
        "processes and files are gone",
    ):
        assert shown in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= WIDTH


@pytest.mark.fuse
def test_little_comes_over_the_wire_for_a_header(temporary: Path) -> None:
    text = demo(temporary).stdout

    step = text.partition("header of a micrograph")[2].partition("\n4. ")[0]
    cost = re.search(r"over the wire: \d+ requests? \(.*\), ([0-9.]+) kB", step)
    assert cost
    assert float(cost[1]) <= 131.1  # two pieces at most


@pytest.mark.fuse
def test_settings_of_the_user_are_left_out(temporary: Path) -> None:
    done = demo(
        temporary,
        EMPIARFS_ARCHIVE_URL="http://127.0.0.1:1/",
        EMPIARFS_CACHE_SIZE="nonsense",
        http_proxy="http://127.0.0.1:1/",
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.fuse
def test_kept_it_stays_until_it_is_unmounted(temporary: Path) -> None:
    done = demo(temporary, "--keep")

    assert (done.returncode, done.stderr) == (0, "")
    found = re.search(r"empiarfs umount (\S+)", done.stdout.rpartition("End it")[2])
    assert found
    mount_point = Path(found[1])
    try:
        assert str(mount_point) in mount_points()
        # Not yet read, so that it must come from a server that is still there.
        read = subprocess.run(
            ["cat", mount_point / "10934/data/CL44-1/gain.mrc"],
            capture_output=True,
            timeout=TIMEOUT_S,
            check=True,
        ).stdout
        original = mount_point.parent / "archive/10934/data/CL44-1/gain.mrc"
        assert read == original.read_bytes()
    finally:
        subprocess.run(
            [sys.executable, "-m", "empiarfs", "umount", mount_point],
            timeout=TIMEOUT_S,
            check=True,
        )
        wait_until(lambda: not mount_point.parent.exists())
        wait_until(lambda: not processes_in(temporary))


@pytest.mark.fuse
def test_a_comparison_that_fails_is_told_and_ends_with_1(temporary: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    differs = programs / "cmp"
    differs.write_text('#!/bin/sh\necho "$1 $2 differ: byte 7"\nexit 1\n')
    differs.chmod(0o755)
    done = demo(temporary, PATH=f"{programs}:{os.environ['PATH']}")

    assert done.returncode == 1
    assert re.search(r"^empiarfs: error: cmp movie\.tif .*: movie\.tif ", done.stderr)
    assert "differ: byte 7" in done.stderr
    assert "Every comparison held" not in done.stdout


@pytest.mark.fuse
@pytest.mark.parametrize("shown", ["small archive was made", "1. Mount", "3. Read the header"])
def test_a_control_c_clears_up(temporary: Path, shown: str) -> None:
    with subprocess.Popen(
        DEMO,
        env=environment(temporary),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        while shown not in running.stdout.readline():
            assert running.poll() is None
        os.killpg(running.pid, signal.SIGINT)
        _, complaints = running.communicate(timeout=TIMEOUT_S)

    assert running.returncode in INTERRUPTED, complaints
    assert "interrupted" in complaints


@pytest.mark.fuse
def test_a_plain_user_sees_the_same(temporary: Path) -> None:
    python = plain_python()
    # Nobody may look into the directories of pytest.
    directory = Path(tempfile.mkdtemp(prefix="empiarfs-d-", dir="/tmp"))
    try:
        os.chown(directory, NOBODY.uid, NOBODY.gid)
        variables = {"PATH": os.environ["PATH"], "TMPDIR": str(directory), **python.environment}
        command = [python.executable, "-m", "empiarfs", "demo"]
        done = run_as(NOBODY, command, env=variables, timeout_s=TIMEOUT_S)

        assert (done.returncode, done.stderr) == (0, b"")
        assert b"$ empiarfs umount mnt" in done.stdout
        assert list(directory.iterdir()) == []
        assert processes_in(directory) == []
    finally:
        directory.rmdir()


@pytest.mark.fuse
def test_killed_in_the_middle_it_leaves_nothing(temporary: Path) -> None:
    with subprocess.Popen(
        DEMO, env=environment(temporary), stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        while "2. Look around" not in running.stdout.readline():
            assert running.poll() is None
        running.kill()
        running.wait()
        wait_until(lambda: not processes_in(temporary))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root")
def test_without_fuse_it_says_so_and_shows_the_rest(temporary: Path) -> None:
    before = ("unshare", "--mount", "sh", "-c", WITHOUT_FUSE, "sh")
    done = demo(temporary, before=before)

    assert (done.returncode, done.stderr) == (0, "")
    assert "No mount here: /dev/fuse is missing, " in done.stdout
    assert "1024 × 1024 pixels of 1.77 Å" in done.stdout
    assert done.stdout.count("✓") == 6


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root")
def test_where_mounting_is_not_permitted_it_says_so_and_shows_the_rest(temporary: Path) -> None:
    done = demo(temporary, before=("setpriv", "--bounding-set=-sys_admin", "--"))

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search("^No mount here: .* not permitted", done.stdout, re.MULTILINE)
    assert done.stdout.count("✓") == 6


def test_a_disk_without_room_is_one_line(temporary: Path) -> None:
    limited = ("sh", "-c", 'ulimit -f 1000; exec "$@"', "sh")
    done = demo(temporary, before=limited)

    assert done.returncode == 1
    assert done.stderr.startswith("empiarfs: error: the demo's archive can't be made: ")
    assert done.stderr.count("\n") == 1


def test_help_names_the_option() -> None:
    done = subprocess.run([*DEMO, "--help"], capture_output=True, text=True, check=True)

    assert "--keep" in done.stdout
