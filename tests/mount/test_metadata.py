"""What the mount says of itself: `df`, extended attributes, `status`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from tests.mount.conftest import Served
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

FILE = "10017/data/Falcon_2012_06_12-14_33_35_0.mrc"


@pytest.fixture(scope="module")
def with_attributes(served: Served) -> Iterator[Mount]:
    with mounted(served.server.url, options=["xattr", "cache_size=64M"]) as made:
        yield made


def test_df_shows_the_cache(with_attributes: Mount) -> None:
    (with_attributes.path / FILE).read_bytes()

    done = with_attributes.run(
        "df", "--output=size,used,avail,target", "-B1", with_attributes.path
    )
    [_, line] = done.stdout.splitlines()
    size, used, available, target = line.split()

    assert target == os.fsencode(with_attributes.path)
    assert 60_000_000 <= int(size) <= 2**26
    assert 0 <= int(used) <= int(size)
    assert 0 < int(available) <= int(size)


def test_extended_attributes_are_off_unless_asked_for(mount: Mount) -> None:
    path = mount.path / "10017/10017.xml"

    with pytest.raises(OSError, match="not supported") as caught:
        os.getxattr(path, "user.empiar.url")
    assert caught.value.errno == errno.EOPNOTSUPP
    listed = mount.run("getfattr", "-d", path)
    assert listed.stdout == b""


def test_extended_attributes_tell_where_a_file_is_from(with_attributes: Mount) -> None:
    path = with_attributes.path / FILE
    path.read_bytes()

    assert os.getxattr(path, "user.empiar.url") == (with_attributes.archive_url + FILE).encode()
    assert os.getxattr(path, "user.empiar.size") == b"%d" % path.stat().st_size
    assert os.getxattr(path, "user.empiar.validator")
    assert os.getxattr(path, "user.empiar.cached")


def test_extended_attributes_are_listed(with_attributes: Mount) -> None:
    path = with_attributes.path / FILE

    assert set(os.listxattr(path)) >= {
        "user.empiar.url",
        "user.empiar.size",
        "user.empiar.validator",
        "user.empiar.cached",
    }


def test_other_extended_attributes_are_absent(with_attributes: Mount) -> None:
    with pytest.raises(OSError, match="No data") as caught:
        os.getxattr(with_attributes.path / FILE, "user.unknown")

    assert caught.value.errno == errno.ENODATA


def test_cp_with_attributes_does_not_fail(with_attributes: Mount, tmp_path: object) -> None:
    done = with_attributes.run("cp", "-a", with_attributes.path / "10017", str(tmp_path))

    assert (done.returncode, done.stderr) == (0, b"")


def test_status_names_the_mount(mount: Mount) -> None:
    assert str(mount.path) in str(mount.status())
