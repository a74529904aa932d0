"""The FUSE adapter under a real kernel, serving a local directory with faults.

The file system is `tests.support.fake_files` in a process of its own; what may hang is
asked by other processes, which can be killed.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.mounts import mount_points
from tests.support.users import CHECKOUT, run_as

pytestmark = pytest.mark.fuse


@pytest.fixture(params=[3, 2], ids=["libfuse3", "libfuse2"])
def libfuse(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    if find_library({2: "fuse", 3: "fuse3"}[number]) is None:
        pytest.skip(f"libfuse {number} is not installed")
    return number


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "served"
    (made / "data").mkdir(parents=True)
    (made / "data/a.mrc").write_bytes(os.urandom(3_000_001))
    for name in ("short", "slow-stat", "slow-read", "fine"):
        (made / name).write_bytes(b"12345")
    return made


@dataclass
class Serving:
    """A mounted directory.

    Attributes:
        path: The mount point.
        process: What serves it.
    """

    path: Path
    process: subprocess.Popen[bytes]

    def wait_for(self, word: str) -> None:
        """Wait until the process says that it is mounted, or somebody is waiting."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == word.encode() + b"\n"


@contextmanager
def serving(directory: Path, mount_point: Path, libfuse: int, *options: str) -> Iterator[Serving]:
    mount_point.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.fake_files", *options, directory, mount_point],
        cwd=CHECKOUT,
        env={**os.environ, "EMPIARFS_LIBFUSE": str(libfuse), "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            made = Serving(mount_point, process)
            made.wait_for("mounted")
            yield made
        finally:
            if str(mount_point) in mount_points():
                run_as(None, ["umount", "-l", mount_point])
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def served(directory: Path, tmp_path: Path, libfuse: int) -> Iterator[Path]:
    """Mount the directory; who waits is told so after a second and a half."""
    mount_point = tmp_path / "mnt"
    with serving(directory, mount_point, libfuse, "--wait", "1.5"):
        yield mount_point


@pytest.fixture
def patient(directory: Path, tmp_path: Path, libfuse: int) -> Iterator[Serving]:
    """Mount the directory; who waits does so for a minute."""
    with serving(directory, tmp_path / "mnt", libfuse, "--wait", "60") as made:
        yield made


def start_python(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def test_every_byte_is_the_same_by_read_and_by_mmap(served: Path, directory: Path) -> None:
    compare = """
import mmap, sys
with open(sys.argv[1], "rb") as mine, open(sys.argv[2], "rb") as theirs:
    mapped = mmap.mmap(mine.fileno(), 0, prot=mmap.PROT_READ)
    content = theirs.read()
    assert mapped[:] == content
    assert mine.read() == content
"""
    with start_python(compare, served / "data/a.mrc", directory / "data/a.mrc") as process:
        assert process.wait(timeout=30) == 0


def test_a_short_read_is_an_error_for_the_program(served: Path) -> None:
    with pytest.raises(OSError, match="Input/output") as caught:
        (served / "short").read_bytes()

    assert caught.value.errno == errno.EIO


@pytest.mark.slow
def test_a_directory_of_20000_names_is_listed_whole(served: Path, directory: Path) -> None:
    many = directory / "many"
    many.mkdir()
    names = {f"micrograph_{number:05d}.mrc" for number in range(20_000)}
    for name in names:
        (many / name).touch()

    assert set(os.listdir(served / "many")) == names


def test_a_listing_names_inodes_and_kinds_that_stat_confirms(served: Path) -> None:
    with os.scandir(served) as entries:
        for entry in entries:
            if entry.name == "slow-stat":
                continue
            found = os.stat(entry.path)
            assert entry.inode() == found.st_ino
            assert entry.is_dir() == os.path.isdir(entry.path)


def test_the_mount_is_listed_as_ours(served: Path) -> None:
    line = next(
        line for line in Path("/proc/mounts").read_text().splitlines() if f" {served} " in line
    )
    source, _, kind, options, *_ = line.split(" ")

    assert (source, kind) == ("empiar", "fuse.empiarfs")
    assert {"ro", "nosuid", "nodev", "default_permissions"} <= set(options.split(","))
    assert "allow_other" not in options


def test_a_source_with_a_comma_arrives_whole(
    directory: Path, tmp_path: Path, libfuse: int
) -> None:
    mount_point = tmp_path / "mnt"
    with serving(directory, mount_point, libfuse, "--source", "http://host/a,b/"):
        assert f"http://host/a,b/ {mount_point} " in Path("/proc/mounts").read_text()


@pytest.mark.slow
def test_a_signal_that_ends_nothing_interrupts_nothing(
    directory: Path, tmp_path: Path, libfuse: int
) -> None:
    stat = """
import os, signal, sys
signal.signal(signal.SIGWINCH, lambda number, frame: None)
try:
    os.stat(sys.argv[1])
except OSError as error:
    print(error.errno, flush=True)
"""
    with (
        serving(directory, tmp_path / "mnt", libfuse, "--wait", "1.5") as made,
        start_python(stat, made.path / "slow-stat") as process,
    ):
        made.wait_for("waiting")
        process.send_signal(signal.SIGWINCH)

        # Not EINTR: it waited until the answer came, and that was EIO.
        assert process.stdout is not None
        assert process.stdout.readline() == f"{errno.EIO}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("name", ["slow-stat", "slow-read"])
@pytest.mark.slow
def test_a_program_that_waits_can_be_stopped(
    patient: Serving, number: signal.Signals, name: str
) -> None:
    with subprocess.Popen(["cat", patient.path / name], stdout=subprocess.DEVNULL) as process:
        try:
            patient.wait_for("waiting")
            process.send_signal(number)

            assert process.wait(timeout=5) == -number
        finally:
            process.kill()


@pytest.mark.slow
def test_a_hundred_readers_that_wait_keep_nobody_else_from_reading(
    patient: Serving, directory: Path
) -> None:
    for number in range(100):
        (directory / f"d{number}").mkdir()
        (directory / f"d{number}/slow-read").write_bytes(b"12345")
    wait = """
import sys, threading
paths = [f"{sys.argv[1]}/d{number}/slow-read" for number in range(100)]
files = [open(path, "rb", buffering=0) for path in paths]
for file in files:
    threading.Thread(target=file.read, args=(5,)).start()
"""
    with start_python(wait, patient.path) as readers:
        try:
            for _ in range(100):
                patient.wait_for("waiting")
            began_s = time.monotonic()

            done = subprocess.run(["cat", patient.path / "fine"], capture_output=True, timeout=30)

            assert done.stdout == b"12345"
            assert time.monotonic() - began_s < 5
        finally:
            readers.kill()


def test_a_changed_file_is_seen_at_the_next_open(directory: Path, tmp_path: Path) -> None:
    # Attributes are kept for an hour, so only telling the kernel makes this work.
    mount_point, path = tmp_path / "mnt", tmp_path / "mnt/data/a.mrc"
    with serving(directory, mount_point, 3, "--wait", "10"):
        before = path.read_bytes()
        assert path.stat().st_size == len(before)
        (directory / "data/a.mrc").write_bytes(b"new" * 2_000_000)

        assert path.read_bytes() == b"new" * 2_000_000
        assert path.stat().st_size == 6_000_000


def test_an_old_handle_is_stale_and_shows_no_bytes_of_the_new_version(
    directory: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mnt/data/a.mrc"
    with (
        serving(directory, tmp_path / "mnt", 3, "--wait", "10"),
        path.open("rb", buffering=0) as old,
    ):
        (directory / "data/a.mrc").write_bytes(b"new" * 2_000_000)
        with path.open("rb", buffering=0) as new:
            assert new.read(3) == b"new"

            with pytest.raises(OSError, match="Stale") as caught:
                old.read(3)

            assert caught.value.errno == errno.ESTALE
            assert new.read(3) == b"new"


def test_extended_attributes_are_not_supported_unless_asked_for(
    directory: Path, tmp_path: Path, libfuse: int
) -> None:
    with serving(directory, tmp_path / "plain", libfuse):
        for call in (os.listxattr, lambda path: os.getxattr(path, "user.empiar.size")):
            with pytest.raises(OSError, match="not supported"):
                call(tmp_path / "plain/fine")
    with serving(directory, tmp_path / "shown", libfuse, "--xattr"):
        assert os.listxattr(tmp_path / "shown/fine") == ["user.empiar.url", "user.empiar.size"]
        assert os.getxattr(tmp_path / "shown/fine", "user.empiar.size") == b"5"


@pytest.mark.slow
def test_unmounting_ends_the_process_while_a_program_waits(
    directory: Path, tmp_path: Path, libfuse: int
) -> None:
    with serving(directory, tmp_path / "mnt", libfuse, "--wait", "2") as made:
        with subprocess.Popen(["cat", made.path / "slow-read"], stderr=subprocess.DEVNULL) as cat:
            made.wait_for("waiting")
            run_as(None, ["umount", "-l", made.path])

            assert cat.wait(timeout=10) != 0
        assert made.process.wait(timeout=10) == 0
