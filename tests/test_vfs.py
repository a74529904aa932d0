"""The file system, free of FUSE, on an archive in memory."""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.cache.store import MemoryBlockStore
from empiarfs.catalog import Catalog
from empiarfs.errors import (
    BadHandleError,
    EmpiarFSError,
    FileChangedError,
    IsDirectoryError,
    NoAttributeError,
    NoSuchNameError,
    NotDirectoryError,
    UnavailableError,
)
from empiarfs.fetcher import Fetcher
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from empiarfs.tree import Tree
from empiarfs.vfs import FileSystem
from tests.support.fake_archive import BASE_URL, MODIFIED_S, MODIFIED_TEXT, FakeArchive

CONTENT = bytes(i * 11 % 253 for i in range(300_000))
PATH = "10934/data/x.mrc"


def patience() -> Patience:
    return Patience(30.0)


class Rig:
    """A file system on an archive in memory."""

    def __init__(self, folder: Path, *, root: str = "") -> None:
        self.archive = FakeArchive(
            {PATH: CONTENT, "10934/data/empty.txt": b"", "10017/data/a b.tif": b"a"}
        )
        self.counters = Counters()
        client = self.archive.as_client()
        self.store = MemoryBlockStore(64 * 1024 * 1024)
        self.catalog = Catalog(folder / "c.sqlite", archive_url=BASE_URL, counters=self.counters)
        tree = Tree(client, self.catalog, self.counters)
        self.fetcher = Fetcher(client, self.store, self.counters)
        self.files = FileSystem(client, tree, self.fetcher, self.store, self.counters, root=root)
        self.told: list[str] = []
        self.files.when_changed(self.told.append)

    def read_all(self, handle: int) -> bytes:
        return self.files.read(handle, 0, 10**6, patience())

    def names(self, path: str) -> list[str]:
        handle = self.files.open_directory(path, patience())
        names = [item.name for item in self.files.directory_items(handle)]
        self.files.close_directory(handle)
        return names

    def close(self) -> None:
        self.fetcher.close()
        self.store.close()
        self.catalog.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def test_the_root_shows_the_entries_and_no_alias(rig: Rig) -> None:
    assert rig.names("") == ["10017", "10934"]


def test_a_file_has_its_exact_size_and_time(rig: Rig) -> None:
    found = rig.files.attributes(PATH, patience())

    assert (found.size, found.mtime_ns) == (len(CONTENT), MODIFIED_S * 10**9)
    assert not found.is_directory


def test_the_alias_is_the_entry(rig: Rig) -> None:
    alias = rig.files.attributes("EMPIAR-10934/data/x.mrc", patience())

    assert alias == rig.files.attributes(PATH, patience())
    assert rig.files.attributes("EMPIAR-10017", patience()).is_directory


def test_an_alias_of_no_entry_is_absent(rig: Rig) -> None:
    with pytest.raises(NoSuchNameError):
        rig.files.attributes("EMPIAR-99999", patience())


def test_what_readdir_shows_has_the_inodes_that_stat_shows(rig: Rig) -> None:
    handle = rig.files.open_directory("10934/data", patience())
    shown = {item.name: item.inode for item in rig.files.directory_items(handle)}

    assert shown["x.mrc"] == rig.files.attributes(PATH, patience()).inode
    assert len(set(shown.values())) == len(shown)


def test_a_read_is_exact_and_ends_with_the_file(rig: Rig) -> None:
    handle = rig.files.open(PATH, patience()).handle

    assert rig.files.read(handle, 5, 70_000, patience()) == CONTENT[5:70_005]
    assert rig.files.read(handle, len(CONTENT) - 3, 100, patience()) == CONTENT[-3:]
    assert rig.files.read(handle, len(CONTENT), 100, patience()) == b""


def test_an_empty_file_is_read_without_a_request(rig: Rig) -> None:
    handle = rig.files.open("10934/data/empty.txt", patience()).handle

    assert rig.read_all(handle) == b""
    assert rig.archive.ranges == []


def test_directories_are_not_files_nor_the_reverse(rig: Rig) -> None:
    with pytest.raises(IsDirectoryError):
        rig.files.open("10934/data", patience())
    with pytest.raises(NotDirectoryError):
        rig.files.open_directory(PATH, patience())


def test_a_closed_handle_is_refused(rig: Rig) -> None:
    handle = rig.files.open(PATH, patience()).handle
    rig.files.release(handle)

    with pytest.raises(BadHandleError):
        rig.read_all(handle)
    with pytest.raises(BadHandleError):
        rig.files.directory_items(handle)


def test_no_two_handles_are_the_same(rig: Rig) -> None:
    handles = [rig.files.open_directory("10934/data", patience())]
    handles += [rig.files.open(PATH, patience()).handle for _ in range(3)]
    handles.append(rig.files.open_directory("", patience()))

    assert len(set(handles)) == 5


def test_the_kernel_may_keep_pages_of_the_same_version_only(rig: Rig) -> None:
    first = rig.files.open(PATH, patience())
    second = rig.files.open(PATH, patience())

    assert (first.keep_cache, second.keep_cache) == (False, True)
    assert not first.direct_io
    assert not second.direct_io


@pytest.mark.expects_warnings
def test_a_file_that_changed_is_stale_in_old_handles_and_new_in_new_ones(rig: Rig) -> None:
    old = rig.files.open(PATH, patience()).handle
    rig.files.read(old, 0, 10, patience())
    other = rig.files.open(PATH, patience()).handle
    rig.archive.files[PATH] = b"changed" * 1000
    with pytest.raises(FileChangedError):
        rig.files.read(old, 200_000, 10, patience())
    new = rig.files.open(PATH, patience())

    assert rig.read_all(new.handle) == b"changed" * 1000
    assert (new.keep_cache, new.direct_io) == (False, True)
    for handle in (old, other):
        # What was read of the old version is refused too: never a mix.
        with pytest.raises(FileChangedError):
            rig.files.read(handle, 0, 10, patience())
    assert PATH in rig.told
    assert f"EMPIAR-{PATH}" in rig.told


@pytest.mark.expects_warnings
def test_a_file_that_vanished_is_stale_for_who_has_it_open(rig: Rig) -> None:
    handle = rig.files.open(PATH, patience()).handle
    del rig.archive.files[PATH]

    with pytest.raises(FileChangedError):
        rig.read_all(handle)


def test_a_size_that_cannot_be_had_is_an_error(rig: Rig) -> None:
    rig.names("10934/data")
    rig.archive.failures = [UnavailableError("down", url="u")] * 50

    with pytest.raises(EmpiarFSError):
        rig.files.attributes(PATH, patience())
    assert rig.counters["failed_lookups"] == 1
    assert "x.mrc" in rig.names("10934/data")


def test_an_entry_can_be_the_root(tmp_path: Path) -> None:
    rig = Rig(tmp_path, root="10934")
    handle = rig.files.open("data/x.mrc", patience()).handle

    assert rig.names("") == ["data"]
    assert rig.read_all(handle) == CONTENT
    rig.close()


def test_the_root_of_an_entry_answers_while_the_archive_is_down(tmp_path: Path) -> None:
    rig = Rig(tmp_path, root="10934")
    rig.archive.failures = [UnavailableError("down", url="u")] * 50

    assert rig.files.attributes("", patience()).is_directory
    rig.close()


def test_extended_attributes_tell_where_a_file_comes_from(rig: Rig) -> None:
    handle = rig.files.open(PATH, patience()).handle
    rig.files.read(handle, 0, 65_536, patience())
    rig.fetcher.flush()

    def attribute(path: str, name: str) -> bytes:
        return rig.files.attribute(path, f"user.empiar.{name}", patience())

    assert attribute(PATH, "url") == f"{BASE_URL}{PATH}".encode()
    assert attribute("10017/data/a b.tif", "url").endswith(b"/10017/data/a%20b.tif")
    assert attribute(PATH, "size") == b"300000"
    assert attribute(PATH, "validator") == b"Sun, 13 Sep 2020 12:26:40 GMT"
    assert attribute(PATH, "cached") == b"65536"
    with pytest.raises(NoAttributeError):
        attribute(PATH, "colour")


def test_space_is_the_caches(rig: Rig) -> None:
    rig.read_all(rig.files.open(PATH, patience()).handle)
    rig.fetcher.flush()

    space = rig.files.space()

    assert space.total == 64 * 1024 * 1024
    assert space.used >= len(CONTENT)
    assert space.free == space.total - space.used


def test_a_directory_has_the_minute_of_its_listing_and_the_root_has_none(rig: Rig) -> None:
    listed_s = calendar.timegm(time.strptime(MODIFIED_TEXT, "%Y-%m-%d %H:%M"))

    assert rig.files.attributes("10017/data", patience()).mtime_ns == listed_s * 1_000_000_000
    assert rig.files.attributes("", patience()).mtime_ns == 0


def test_the_status_can_be_written_as_json(rig: Rig) -> None:
    rig.read_all(rig.files.open(PATH, patience()).handle)
    status = json.loads(json.dumps(rig.files.status()))

    assert status["open_files"] == 1
    assert status["counters"]["read_bytes"] == len(CONTENT)
