"""Below an automount, as systemd makes one of fstab's `x-systemd.automount`.

The mount point is an autofs: whoever looks at it waits until somebody has mounted there, but
for the process group that does. What systemd does is done here, with the kernel's own autofs.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support.mounts import mount_points
from tests.support.sandbox import Sandbox, sandbox

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

# From linux/auto_fs.h; the packet is `struct autofs_v5_packet`.
_PACKET = struct.Struct("iiIIQIIIII256s4x")
_MISSING_DIRECT = 5
_READY, _FAIL = 0x9360, 0x9361
_TIMEOUT_S = 60


class Automount:
    """An autofs on a directory, served by this process group."""

    def __init__(self, point: Path) -> None:
        self._requests, ours = os.pipe2(os.O_CLOEXEC)
        options = f"fd={ours},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct"
        subprocess.run(
            ["mount", "-t", "autofs", "-o", options, "tests", str(point)],
            pass_fds=[ours],
            check=True,
        )
        os.close(ours)
        self._root = os.open(point, os.O_RDONLY | os.O_CLOEXEC)

    def wait(self) -> int:
        """Wait until somebody looks at it; return by which number they are let through."""
        if not select.select([self._requests], [], [], _TIMEOUT_S)[0]:
            raise AssertionError("nobody was made to wait")
        packet = _PACKET.unpack(os.read(self._requests, _PACKET.size))
        assert packet[1] == _MISSING_DIRECT
        return int(packet[2])

    def answer(self, token: int, *, is_mounted: bool) -> None:
        """Let them through, or have them fail."""
        fcntl.ioctl(self._root, _READY if is_mounted else _FAIL, token)

    def close(self) -> None:
        """Let go of it; it goes when it is unmounted."""
        os.close(self._root)
        os.close(self._requests)


@pytest.fixture
def box(served: Served) -> Iterator[Sandbox]:
    if os.geteuid() != 0:
        pytest.skip("is not root")
    if "\tautofs\n" not in Path("/proc/filesystems").read_text():
        pytest.skip("the kernel has no autofs")
    with sandbox() as box:
        box.environment["EMPIARFS_ARCHIVE_URL"] = served.server.url
        yield box


@pytest.fixture
def automount(box: Sandbox) -> Iterator[Automount]:
    made = Automount(box.point)
    yield made
    made.close()
    box.clear()
    while str(box.point) in mount_points("autofs"):
        subprocess.run(["umount", "-l", box.point], check=True)


def test_who_looks_first_has_it_mounted(
    box: Sandbox, automount: Automount, served: Served
) -> None:
    name = "10017/data/three_blocks.dat"
    with subprocess.Popen(
        ["cat", box.point / name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as reader:
        token = automount.wait()
        try:
            done = box.run("mount", box.point)
        finally:
            automount.answer(token, is_mounted=box.is_mounted)
        read, said = reader.communicate(timeout=_TIMEOUT_S)

    assert done.returncode == 0, done.stderr
    assert (reader.returncode, said) == (0, b"")
    assert read == (served.root / name).read_bytes()
    (daemon,) = box.daemons()
    assert os.getsid(daemon) == daemon
    assert box.run("umount", box.point).returncode == 0
    box.wait_until_gone()
