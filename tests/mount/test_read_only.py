"""Every way of writing fails with EROFS, and changes nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mounts import Mount

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

WAYS_OF_WRITING: dict[str, Callable[[Path, Path], object]] = {
    "open to write": lambda old, new: os.open(old, os.O_WRONLY),
    "open to read and write": lambda old, new: os.open(old, os.O_RDWR),
    "open to append": lambda old, new: os.open(old, os.O_WRONLY | os.O_APPEND),
    "open to truncate": lambda old, new: os.open(old, os.O_WRONLY | os.O_TRUNC),
    "create": lambda old, new: os.open(new, os.O_CREAT | os.O_WRONLY),
    "create exclusively": lambda old, new: os.open(new, os.O_CREAT | os.O_EXCL | os.O_RDWR),
    "create without a name": lambda old, new: os.open(old.parent, os.O_TMPFILE | os.O_RDWR),
    "mkdir": lambda old, new: os.mkdir(new),
    "mkfifo": lambda old, new: os.mkfifo(new),
    "unlink": lambda old, new: os.unlink(old),
    "rmdir": lambda old, new: os.rmdir(old.parent),
    "rename": lambda old, new: os.rename(old, new),
    "link": lambda old, new: os.link(old, new),
    "symlink": lambda old, new: os.symlink("anywhere", new),
    "truncate": lambda old, new: os.truncate(old, 0),
    "chmod": lambda old, new: os.chmod(old, 0o777),
    "chmod of a directory": lambda old, new: os.chmod(old.parent, 0o777),
    "chown": lambda old, new: os.chown(old, os.geteuid(), os.getegid()),
    "utime": lambda old, new: os.utime(old, (0, 0)),
    "setxattr": lambda old, new: os.setxattr(old, "user.note", b"x"),
    "removexattr": lambda old, new: os.removexattr(old, "user.note"),
}


@pytest.mark.parametrize("way", WAYS_OF_WRITING)
def test_writing_fails_with_erofs(mount: Mount, way: str) -> None:
    old, new = mount.path / "10017/data/one.byte", mount.path / "10017/data/new"

    with pytest.raises(OSError) as caught:  # noqa: PT011, its number is checked
        WAYS_OF_WRITING[way](old, new)

    expected = {errno.EROFS}
    if way == "create without a name":
        expected.add(errno.EOPNOTSUPP)  # the kernel asks first whether we know O_TMPFILE
    assert caught.value.errno in expected


def test_the_tree_does_not_claim_to_be_writable(mount: Mount) -> None:
    assert not os.access(mount.path / "10017/10017.xml", os.W_OK)
    assert not os.access(mount.path / "10017", os.W_OK)
    assert os.access(mount.path / "10017/10017.xml", os.R_OK)
    assert os.access(mount.path / "10017", os.R_OK | os.X_OK)


def test_an_existing_file_may_be_opened_with_o_creat_to_read(mount: Mount) -> None:
    descriptor = os.open(mount.path / "10017/data/one.byte", os.O_RDONLY | os.O_CREAT)
    try:
        assert len(os.read(descriptor, 10)) == 1
    finally:
        os.close(descriptor)


def test_nothing_was_changed(mount: Mount) -> None:
    data = mount.path / "10017/data"

    assert not (data / "new").exists()
    assert len((data / "one.byte").read_bytes()) == 1
