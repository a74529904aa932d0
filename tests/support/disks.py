"""Disks that tests may fill, freeze, break and take away; nothing of them stays.

    `memory_disk`    a tmpfs: full, read-only, without inodes, gone
    `loop_disk`      ext4 on a file: full, read-only, frozen, its image damaged or too small
    `faulty_disk`    a folder seen through a FUSE file system of our own, which answers any
                     kind of call with any errno (EDQUOT, EIO), hangs, or dies

The first two need root and are skipped without. Device mapper (dm-error) and quotas aren't in
every kernel; a FUSE file system gives the very same errno to the very same system calls.

Threading: each disk is used by one test.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.mounts import mount_points
from tests.support.waiting import wait_until

_FREEZE, _THAW = 0xC0045877, 0xC0045878  # FIFREEZE and FITHAW of linux/fs.h
_END_S = 15.0


class Disk:
    """A mounted disk.

    Attributes:
        path: Where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def free(self) -> int:
        """Bytes that a plain user may still write."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def fill(self, leave: int = 0) -> Path:
        """Take all room but some bytes, as another program would; return the file."""
        ballast = self.path / "ballast"
        with suppress(OSError), ballast.open("ab") as file:
            size = max(0, self.free - leave)
            os.posix_fallocate(file.fileno(), 0, file.tell() + size)
        return ballast

    def take_inodes(self) -> Path:
        """Take all inodes; return the folder of the files."""
        folder = self.path / "many"
        folder.mkdir(exist_ok=True)
        with suppress(OSError):
            for number in range(1_000_000):
                (folder / str(number)).touch()
        return folder

    def remount(self, mode: str) -> bool:
        """Make it read-only ("ro") or writable ("rw"); False if the kernel refuses."""
        command = ["mount", "-o", f"remount,{mode}", str(self.path)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


class LoopDisk(Disk):
    """A disk whose blocks are in a file.

    Attributes:
        image: That file.
    """

    def __init__(self, path: Path, image: Path) -> None:
        super().__init__(path)
        self.image = image
        self.is_frozen = False

    def freeze(self) -> None:
        """Let every write hang until `thaw`."""
        self._control(_FREEZE)
        self.is_frozen = True

    def thaw(self) -> None:
        """Let the writes go on."""
        if self.is_frozen:
            self._control(_THAW)
            self.is_frozen = False

    def _control(self, call: int) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, call, 0)
        finally:
            os.close(descriptor)


@contextmanager
def memory_disk(path: Path, options: str) -> Iterator[Disk]:
    """Mount a tmpfs; `options` as of mount(8), such as "size=12m,nr_inodes=60"."""
    _mount(["-t", "tmpfs", "-o", f"{options},mode=700", "none"], path)
    try:
        yield Disk(path)
    finally:
        _unmount(path)


@contextmanager
def loop_disk(path: Path, size: int, image: Path | None = None) -> Iterator[LoopDisk]:
    """Make an ext4 of `size` bytes and mount it; the image may be put on another disk."""
    image = image or path.with_name(f"{path.name}.img")
    with image.open("wb") as file:
        file.truncate(size)
    # Without a share for root, and no tables to be written later in the background.
    words = ["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
    try:
        made = subprocess.run([*words, image], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("mkfs.ext4 is missing")
    if made.returncode:
        pytest.skip(f"no ext4 here: {made.stderr.decode(errors='replace')}")
    _mount(["-o", "loop", str(image)], path)
    disk = LoopDisk(path, image)
    try:
        yield disk
    finally:
        disk.thaw()
        _unmount(path)
        image.unlink(missing_ok=True)


class FaultyDisk(Disk):
    """A folder behind a file system that fails on demand.

    Attributes:
        behind: The folder itself.
    """

    def __init__(self, path: Path, behind: Path, control: Path, pid: int) -> None:
        super().__init__(path)
        self.behind = behind
        self._control = control
        self._pid = pid

    def fail(self, faults: Mapping[str, int], only: str = "") -> None:
        """Answer calls by errno from now on.

        Args:
            faults: The errno by kind of call: "read", "write", "create", "unlink", ….
            only: A regular expression that the path must match somewhere.
        """
        fresh = self._control.with_suffix(".new")
        fresh.write_text(json.dumps({"faults": dict(faults), "only": only}))
        fresh.replace(self._control)

    def work(self) -> None:
        """Answer all calls."""
        self.fail({})

    def hang(self) -> None:
        """Answer no call until `wake`."""
        os.kill(self._pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Go on."""
        os.kill(self._pid, signal.SIGCONT)

    def die(self) -> None:
        """Let every call fail from now on: the disk is gone, though it is still mounted."""
        os.kill(self._pid, signal.SIGKILL)


@contextmanager
def faulty_disk(folder: Path) -> Iterator[FaultyDisk]:
    """Mount a faulty disk below `folder`."""
    path, behind, control = folder / "disk", folder / "behind", folder / "faults"
    for each in (path, behind):
        each.mkdir(mode=0o700)
    control.write_text('{"faults": {}}')
    words = [sys.executable, "-m", "tests.support.faulty_files", behind, path, control]
    with subprocess.Popen(list(map(str, words))) as process:
        disk = FaultyDisk(path, behind, control, process.pid)
        try:
            wait_until(lambda: _is_mounted(path) or process.poll() is not None, 20)
            if process.poll() is not None:
                pytest.skip("may not mount a FUSE file system here")
            yield disk
        finally:
            disk.wake()
            gc.collect()  # what still has a file open there
            if _unmount(path):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_END_S)
            process.kill()


def _is_mounted(path: Path) -> bool:
    return str(path) in mount_points("fuse.faulty")


def _mount(words: list[str], path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a disk")
    path.mkdir(mode=0o700, exist_ok=True)
    done = subprocess.run(["mount", *words, str(path)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"may not mount here: {done.stderr.decode(errors='replace')}")


def _unmount(path: Path) -> bool:
    """Unmount, at once or when nobody uses it any more; return whether it was at once."""
    done = subprocess.run(["umount", path], capture_output=True, check=False)
    if done.returncode:
        subprocess.run(["umount", "--lazy", path], capture_output=True, check=False)
    return not done.returncode


BLOCKS = "/gen-[0-9]+/../"
QUOTA_EXCEEDED = {"write": errno.EDQUOT, "create": errno.EDQUOT, "mkdir": errno.EDQUOT}
BROKEN = dict.fromkeys(("read", "write", "create", "mkdir", "unlink", "open"), errno.EIO)
