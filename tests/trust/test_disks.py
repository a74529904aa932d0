"""Cache disks that are full, read-only, over quota, failing, hanging or gone, under real mounts.

Whatever the disk does the mount serves every byte from the network, says so once in its log
and in `status`, and uses the disk again when it is back; the byte limit and what is to stay
free hold all the time. All cases run side by side, since each waits more than it works: the
disk is tried again every ten seconds. `scripts/test` runs some of them.

Device mapper isn't in every kernel, quotas neither: a FUSE file system of our own answers
with the same errno, and ext4 on a loop device can be shut down like one whose disk has died.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import struct
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.cache.blocks import bytes_on_disk
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.campaign import is_whole, tally
from tests.support.disks import (
    BROKEN,
    QUOTA_EXCEEDED,
    Disk,
    FaultyDisk,
    LoopDisk,
    faulty_disk,
    loop_disk,
    memory_disk,
)
from tests.support.mounts import Mount, mounted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fuse,
    pytest.mark.apache,
    pytest.mark.expects_warnings,
]

MIB = 1024 * 1024
LIMIT = 20 * MIB
FILES = 60
SIZE = 700_000
_HEALED_S = 300.0
# A read that meets a hanging disk loses some seconds to it; the machine may be busy.
_READ_S = 60.0
_READ_ONLY = dict.fromkeys(("write", "create", "mkdir", "unlink", "rename", "truncate"), 30)
_EXT4_IOC_SHUTDOWN = 0x8004587D


@pytest.fixture(scope="module")
def server() -> Iterator[ApacheServer]:
    with tree.temporary_root() as root:
        tree.make_many(root / "10511/data", FILES, size=SIZE)
        tree.set_times(root)
        with ApacheServer(root) as started:
            yield started


@dataclass(frozen=True)
class Case:
    """A disk, what becomes of it, and how it is mended.

    Attributes:
        name: What is wrong.
        disk: Makes the disk in a folder.
        break_it: Breaks it under the mount.
        mend: Mends it; None if such a disk doesn't come back.
        notices: Whether `status` must say that something is wrong.
    """

    name: str
    disk: Callable[[Path], AbstractContextManager[Disk]]
    break_it: Callable[[Disk], object]
    mend: Callable[[Disk], object] | None
    notices: bool = True


def _in_memory(options: str) -> Callable[[Path], AbstractContextManager[Disk]]:
    return lambda folder: memory_disk(folder / "disk", options)


@contextmanager
def _on_loop(folder: Path) -> Iterator[Disk]:
    with loop_disk(folder / "disk", 64 * MIB) as disk:
        yield disk


@contextmanager
def _faulty(folder: Path) -> Iterator[Disk]:
    with faulty_disk(folder) as disk:
        yield disk


def _fill(disk: Disk) -> None:
    """Take all room, and again what the cache gives up meanwhile."""
    end_s = time.monotonic() + 3.0
    while time.monotonic() < end_s:
        disk.fill()
        time.sleep(0.05)


def _take_ballast(disk: Disk) -> None:
    (disk.path / "ballast").unlink()


def _give_inodes(disk: Disk) -> None:
    shutil.rmtree(disk.path / "many")


def _fail(faults: dict[str, int], only: str = "") -> Callable[[Disk], object]:
    def fail(disk: Disk) -> None:
        assert isinstance(disk, FaultyDisk)
        disk.fail(faults, only)

    return fail


def _work(disk: Disk) -> None:
    assert isinstance(disk, FaultyDisk)
    disk.work()
    disk.wake()


def _hang(disk: Disk) -> None:
    assert isinstance(disk, FaultyDisk)
    disk.hang()


def _die(disk: Disk) -> None:
    assert isinstance(disk, FaultyDisk)
    disk.die()


def _freeze(disk: Disk) -> None:
    assert isinstance(disk, LoopDisk)
    disk.freeze()


def _thaw(disk: Disk) -> None:
    assert isinstance(disk, LoopDisk)
    disk.thaw()


def _shut_down(disk: Disk) -> None:
    descriptor = os.open(disk.path, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("I", 2))
    except OSError as exc:
        pytest.skip(f"ext4 can't be shut down here: {exc}")
    finally:
        os.close(descriptor)


def _remove_cache(disk: Disk) -> None:
    # What the mount makes anew meanwhile goes as well.
    subprocess.run(["rm", "-rf", disk.path / "cache"], check=False)


def _detach(disk: Disk) -> None:
    subprocess.run(["umount", "--lazy", disk.path], check=True)


def _attach(disk: Disk) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", disk.path], check=True)


BIG = _in_memory("size=64m")
CASES = (
    Case("full", BIG, _fill, _take_ballast, notices=False),
    Case("over quota", _faulty, _fail(QUOTA_EXCEEDED), _work),
    Case("hanging", _faulty, _hang, _work),
    Case("removed", BIG, _remove_cache, lambda disk: None, notices=False),
    Case("no inodes", BIG, Disk.take_inodes, _give_inodes, notices=False),
    Case("read-only", _faulty, _fail(_READ_ONLY), _work),
    Case("failing", _faulty, _fail(BROKEN), _work),
    Case("failing to be read", _faulty, _fail({"read": errno.EIO}), _work),
    Case("dead", _faulty, _die, None),
    Case("shut down", _on_loop, _shut_down, None),
    Case("frozen", _on_loop, _freeze, _thaw),
    Case("detached", BIG, _detach, _attach),
)


class Visitor:
    """Reads the files of a mount, each once, so that each is fetched and stored.

    In an order that nobody can foresee: what is fetched ahead while the disk fails stays in
    memory, and would not come by the disk again once that works.
    """

    def __init__(self, server: ApacheServer, mount: Mount, where: str) -> None:
        self._root = server.root
        self._mount = mount
        self._where = where
        self._left = sorted(
            p.relative_to(server.root) for p in (server.root / "10511/data").iterdir()
        )
        random.Random(where).shuffle(self._left)
        self.read: list[Path] = []

    def visit(self, count: int) -> None:
        """Read some more files, and one again, and compare them."""
        for path in [*self._next(count), *self.read[:1]]:
            began_s = time.monotonic()
            same = (self._mount.path / path).read_bytes() == (self._root / path).read_bytes()
            tally.add("reads", f"disk {self._where}")
            tally.add("wrong_bytes", f"disk {self._where}", int(not same))
            assert same, (self._where, path)
            assert time.monotonic() - began_s < _READ_S, (self._where, path)

    def _next(self, count: int) -> list[Path]:
        taken, self._left = self._left[:count], self._left[count:]
        self.read += taken
        return taken


def unwell(mount: Mount) -> object:
    status = mount.status()
    return status["cache"]["unwell"] or status["catalog"]["unwell"]


def complaints(mount: Mount) -> list[str]:
    """The lines of the log by which a part of the cache says that it goes on without."""
    return [line for line in mount.complaints() if "going on without" in line]


def run(server: ApacheServer, folder: Path, case: Case) -> str | None:
    """Run a case; return None, or why it can't be run here."""
    folder.mkdir()
    options = ["force", f"cache_size={LIMIT}", "min_free=0"]
    try:
        with (
            case.disk(folder) as disk,
            mounted(server.url, cache_dir=disk.path / "cache", options=options) as mount,
        ):
            mount.warnings_expected = True
            _check(server, case, disk, mount)
    except pytest.skip.Exception as exc:
        return f"{case.name}: {exc}"
    return None


def _check(server: ApacheServer, case: Case, disk: Disk, mount: Mount) -> None:
    visitor = Visitor(server, mount, case.name)
    pid = mount.pid
    visitor.visit(5)
    case.break_it(disk)
    tally.add("faults", f"disk {case.name}")
    try:
        visitor.visit(15)
        if case.notices:
            wait_for(lambda: unwell(mount), case.name, mount)
        visitor.visit(3)
        assert mount.pid == pid, case.name
        for part in ("reading", "writing"):
            said = [line for line in complaints(mount) if f": {part} the cache" in line]
            assert len(said) <= 1, (case.name, said)
    finally:
        if case.mend is not None:
            case.mend(disk)
    if case.mend is not None:
        wait_for(partial(_stores, mount, visitor), case.name, mount)
    with suppress(OSError):
        assert bytes_on_disk(disk.path / "cache/v1/blocks-1") <= LIMIT, case.name
    assert mount.pid == pid, case.name


def _stores(mount: Mount, visitor: Visitor) -> bool:
    before = mount.status()["counters"]["blocks_stored"]
    visitor.visit(1)
    time.sleep(1.5)  # what isn't a whole block is stored after a second
    now = mount.status()
    return now["counters"]["blocks_stored"] > before and now["cache"]["unwell"] is None


def wait_for(claim: Callable[[], object], name: str, mount: Mount) -> None:
    end_s = time.monotonic() + _HEALED_S
    while not claim():
        assert time.monotonic() < end_s, (name, mount.status()["cache"], mount.complaints()[-5:])
        time.sleep(1.0)


def test_whatever_the_disk_does_the_mount_goes_on_and_comes_back(
    server: ApacheServer, tmp_path: Path
) -> None:
    cases = CASES if is_whole() else CASES[:1]
    with ThreadPoolExecutor(4) as pool:
        results = [
            pool.submit(run, server, tmp_path / str(number), case)
            for number, case in enumerate(cases)
        ]
    failed = [failure for result in results if (failure := result.exception()) is not None]
    for failure in failed[1:]:
        traceback.print_exception(failure)
    tally.add("hangs", "cache disks", 0)
    if failed:
        raise failed[0]
    skipped = [result.result() for result in results]
    if any(skipped):
        pytest.skip("; ".join(filter(None, skipped)))


@pytest.mark.skipif(not is_whole(), reason="only in a whole campaign")
def test_a_mount_leaves_a_share_of_the_disk_free(server: ApacheServer, tmp_path: Path) -> None:
    options = [f"cache_size={LIMIT}", "min_free=30%"]
    with (
        memory_disk(tmp_path / "disk", "size=40m") as disk,
        mounted(server.url, cache_dir=disk.path / "cache", options=options) as mount,
    ):
        Visitor(server, mount, "shared with others").visit(FILES)
        status = mount.status()["cache"]
        assert status["min_free"] == 12 * MIB
        assert disk.free >= 12 * MIB
        assert status["unwell"] is None

        others = disk.fill(leave=8 * MIB)
        wait_for(lambda: disk.free >= 12 * MIB, "min_free", mount)
        assert others.exists()
        assert mount.status()["cache"]["disk_free"] >= 12 * MIB
