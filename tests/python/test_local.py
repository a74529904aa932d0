"""Local paths of files: in a mount where one stands, else of a copy."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mrcfile
import pytest

import empiarfs
from empiarfs.python import local
from tests.python.conftest import STACK, STACK_SIZE, Served, use
from tests.support import science
from tests.support.broken_server import BrokenServer
from tests.support.mounts import mounted

apache = pytest.mark.apache


@apache
def test_without_a_mount_it_is_a_whole_copy(archive: Served, tmp_path: Path) -> None:
    found = empiarfs.path(STACK)
    mark = archive.server.mark()

    assert found.read_bytes() == archive.bytes_of(STACK)
    assert found.is_relative_to(tmp_path / "cache")
    assert int(found.stat().st_mtime) == int((archive.root / STACK).stat().st_mtime)
    assert empiarfs.path(f"EMPIAR-{STACK}") == found
    assert archive.server.requests_since(mark) == []


@apache
def test_a_copy_is_not_kept_twice(archive: Served, tmp_path: Path) -> None:
    empiarfs.path(STACK)
    empiarfs.close()
    blocks = [each for each in (tmp_path / "cache/v1").rglob("*") if each.is_file()]
    there = sum(each.stat().st_size for each in blocks if "files" not in each.parts)

    assert there < STACK_SIZE / 4


@apache
def test_programs_read_the_copy(archive: Served) -> None:
    with mrcfile.mmap(empiarfs.path(science.MOVIE)) as movie:
        assert (movie.data[3] == mrcfile.read(archive.root / science.MOVIE)[3]).all()


@apache
def test_what_is_no_file_has_no_copy(archive: Served) -> None:
    with pytest.raises(FileNotFoundError):
        empiarfs.path("10002/data/nothing.mrc")
    with pytest.raises(IsADirectoryError):
        empiarfs.path("10002/data")


@apache
def test_a_copy_that_would_fill_the_disk_is_refused(
    archive: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = shutil.disk_usage(tmp_path)
    too_much = min(0.95, (disk.free + disk.total * 0.02) / disk.total)
    if disk.free > disk.total * 0.95:
        pytest.skip("this disk is too empty")
    empiarfs.configure(min_free=f"{100 * too_much:.3f}%")

    with pytest.raises(OSError, match="would leave less than"):
        empiarfs.path(STACK)


def test_a_copy_of_an_older_version_is_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with BrokenServer({"10934/data/x.mrc": b"old"}) as server:
        use(monkeypatch, server.url)
        old = empiarfs.path("10934/data/x.mrc")
        assert old.read_bytes() == b"old"
        empiarfs.close()
        server.put("10934/data/x.mrc", b"newer", 1_700_000_000)
        for catalog in (tmp_path / "cache/v1").glob("catalog-*"):
            catalog.unlink()

        assert empiarfs.path("10934/data/x.mrc").read_bytes() == b"newer"
        empiarfs.close()


def test_the_path_below_a_mount_of_a_part() -> None:
    assert local._below("10934/data/x", "") == "10934/data/x"
    assert local._below("10934/data/x", "10934") == "data/x"
    assert local._below("10934", "10934") == ""
    assert local._below("109345/data", "10934") is None


@pytest.mark.fuse
@apache
class TestWhereAMountStands:
    """Nothing is copied then."""

    def test_it_is_the_path_there(
        self, archive: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with mounted(archive.server.url) as mount:
            for name, value in mount._environment.items():
                if name == "XDG_RUNTIME_DIR":
                    monkeypatch.setenv(name, value)
            found = empiarfs.path(STACK)

            assert found == mount.path / STACK
            assert os.stat(found).st_size == STACK_SIZE
            with pytest.raises(FileNotFoundError):
                empiarfs.path("10002/data/nothing.mrc")
            with empiarfs.open(mount.path / STACK) as file:
                assert (file.path, file.pread(5, 7)) == (STACK, archive.bytes_of(STACK)[7:12])
            empiarfs.close()
        assert not (tmp_path / "cache/v1/files").exists()
