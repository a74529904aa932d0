"""A file that changes in the archive: ESTALE on old handles, the new bytes on new ones."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

NAME = "10002/data/movie.mrcs"
SIZE = 24 * 2**20
FAR = 20 * 2**20


class Changing:
    """A mounted file, whose original a test may change."""

    def __init__(self, root: Path, mount: Mount) -> None:
        self.original = root / NAME
        self.mounted = mount.path / NAME

    def change(self, data: bytes) -> None:
        """Put a new version in place, ten minutes younger."""
        before = self.original.stat().st_mtime
        replacement = self.original.with_name("upload")
        replacement.write_bytes(data)
        os.utime(replacement, (before + 600, before + 600))
        replacement.rename(self.original)


@pytest.fixture
def changing(root: Path) -> Iterator[Changing]:
    tree.write_file(root / NAME, tree.contents(b"old", SIZE))
    tree.set_times(root)
    with ApacheServer(root) as server, mounted(server.url) as mount:
        mount.warnings_expected = True
        yield Changing(root, mount)


def pread_or_errno(descriptor: int, size: int, offset: int) -> bytes | int | None:
    try:
        return os.pread(descriptor, size, offset)
    except OSError as exc:
        return exc.errno


@pytest.mark.parametrize("size", [SIZE, SIZE + 5_000_000, SIZE - 3_000_000, 1000])
def test_an_old_handle_is_stale_and_a_new_one_reads_the_new_bytes(
    changing: Changing, size: int
) -> None:
    new = tree.contents(b"new", size)
    with changing.mounted.open("rb", buffering=0) as old:
        assert os.pread(old.fileno(), 100, 0) == tree.contents(b"old", 100)
        changing.change(new)
        with pytest.raises(OSError, match="Stale") as caught:
            os.pread(old.fileno(), 1000, FAR)
        assert caught.value.errno == errno.ESTALE

        with changing.mounted.open("rb") as fresh:
            assert fresh.read() == new
        assert changing.mounted.stat().st_size == size


def test_an_old_handle_never_reads_new_bytes(changing: Changing) -> None:
    with changing.mounted.open("rb", buffering=0) as old:
        os.pread(old.fileno(), 100, 0)
        changing.change(tree.contents(b"new", SIZE))
        with pytest.raises(OSError, match="Stale"):
            os.pread(old.fileno(), 1000, FAR)
        assert changing.mounted.read_bytes() == tree.contents(b"new", SIZE)

        for offset in (0, 2**20, FAR):
            found = pread_or_errno(old.fileno(), 1000, offset)
            assert found in (errno.ESTALE, tree.contents(b"old", SIZE)[offset : offset + 1000])


def test_the_time_of_the_new_version_is_shown(changing: Changing) -> None:
    with changing.mounted.open("rb", buffering=0) as old:
        changing.change(tree.contents(b"new", SIZE))
        with pytest.raises(OSError, match="Stale"):
            os.pread(old.fileno(), 1000, FAR)
    changing.mounted.read_bytes()

    assert int(changing.mounted.stat().st_mtime) == int(changing.original.stat().st_mtime)


def test_a_file_that_is_gone_is_an_error_on_old_handles(changing: Changing) -> None:
    with changing.mounted.open("rb", buffering=0) as old:
        os.pread(old.fileno(), 100, 0)
        changing.original.unlink()

        with pytest.raises(OSError) as caught:  # noqa: PT011, its number is checked
            os.pread(old.fileno(), 1000, FAR)

    assert caught.value.errno in {errno.ESTALE, errno.ENOENT}
