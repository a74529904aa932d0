"""The same tree by either libfuse, mounted by root or by a plain user."""

from __future__ import annotations

import errno
import os
from ctypes.util import find_library
from pathlib import Path
from typing import Literal

import pytest

from tests.mount.conftest import Served
from tests.support import tree
from tests.support.mounts import Mount, mounted
from tests.support.users import NOBODY, require_root

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

LIBRARIES: dict[Literal[2, 3], str] = {2: "libfuse.so.2", 3: "libfuse3.so."}


def require_library(libfuse: Literal[2, 3]) -> None:
    if find_library({2: "fuse", 3: "fuse3"}[libfuse]) is None:
        pytest.skip(f"libfuse {libfuse} is not installed")


@pytest.mark.parametrize("libfuse", [2, 3])
def test_either_libfuse_serves_the_tree(served: Served, libfuse: Literal[2, 3]) -> None:
    require_library(libfuse)
    with mounted(served.server.url, libfuse=libfuse) as mount:
        assert LIBRARIES[libfuse] in Path(f"/proc/{mount.pid}/maps").read_text()
        assert tree.differences(served.root, mount.path) == []
        assert_cannot_be_written(mount)


@pytest.mark.parametrize("libfuse", [2, 3])
def test_a_plain_user_mounts_with_either_libfuse(served: Served, libfuse: Literal[2, 3]) -> None:
    require_library(libfuse)
    require_root()
    with mounted(served.server.url, user=NOBODY, libfuse=libfuse) as mount:
        assert LIBRARIES[libfuse] in Path(f"/proc/{mount.pid}/maps").read_text()

        same = mount.run("diff", "-r", served.root, mount.path)
        assert (same.returncode, same.stdout, same.stderr) == (0, b"", b"")

        owner = mount.run("stat", "-c", "%u %g %A", mount.path / "10017/10017.xml")
        assert owner.stdout == b"65534 65534 -rw-r--r--\n"

        written = mount.run("touch", mount.path / "10017/10017.xml")
        assert b"Read-only file system" in written.stderr


def test_a_plain_users_mount_is_closed_to_others(served: Served) -> None:
    require_root()
    with mounted(served.server.url, user=NOBODY) as mount:
        with pytest.raises(PermissionError):
            os.listdir(mount.path)
        assert mount.run("ls", mount.path).returncode == 0


def assert_cannot_be_written(mount: Mount) -> None:
    with pytest.raises(OSError, match="Read-only") as caught:
        (mount.path / "new").touch()

    assert caught.value.errno == errno.EROFS
