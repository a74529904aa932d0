"""Handles, sizes and names below `.empiar`, in a file system without FUSE."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.cache.store import MemoryBlockStore
from empiarfs.catalog import Catalog
from empiarfs.catalog.entry_store import EntryStore
from empiarfs.entries import Entries
from empiarfs.entries.asking import MAX_AGE_S
from empiarfs.errors import (
    BadHandleError,
    IsDirectoryError,
    NoAttributeError,
    NoSuchNameError,
    NotDirectoryError,
)
from empiarfs.fetcher import Fetcher
from empiarfs.notes.descriptions import Descriptions
from empiarfs.notes.notes import Notes
from empiarfs.notes.sheets import Picture, Sheets
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from empiarfs.tree import Tree
from empiarfs.vfs import FileSystem
from tests.support.entry_api import sample_entries
from tests.support.entry_source import Clock, Source
from tests.support.fake_archive import BASE_URL, FakeArchive

STATUS = ".empiar/status.json"
DESCRIBED = "10934/.empiar/entry.json"
SHEET = "10934/.empiar/preview.png"


def patience() -> Patience:
    return Patience(10.0)


class Maker:
    """Makes the same sheet of every entry, and counts how often."""

    def __init__(self) -> None:
        self.data = b"\x89PNG and so on"
        self.count = 0

    def sheet(self, number: int) -> Picture:
        self.count += 1
        return Picture(self.data, is_whole=True)

    def stop(self, number: int) -> None:
        pass

    def close(self) -> None:
        pass


class Rig:
    """A file system with notes, on an archive and an EMPIAR in memory."""

    def __init__(
        self, folder: Path, maker: Maker | None = None, *, tells_kernel: bool = True
    ) -> None:
        self.maker = maker
        self.archive = FakeArchive({"10934/data/x.mrc": b"x", "10017/data/y.mrc": b"y"})
        client, counters = self.archive.as_client(), Counters()
        self.source, self.wall, self.clock = Source(sample_entries()), Clock(), Clock()
        self.entry_store = EntryStore(folder / "entries.db", api_url="http://x/")
        entries = Entries(self.entry_store, lambda: self.source, self.wall)
        self.store = MemoryBlockStore(1024 * 1024)
        self.catalog = Catalog(folder / "c.sqlite", archive_url=BASE_URL, counters=counters)
        tree = Tree(client, self.catalog, counters)
        self.fetcher = Fetcher(client, self.store, counters)
        self.notes = Notes(
            Descriptions(entries, self.entry_store.close, self.wall, self.clock),
            self.catalog,
            archive_url=BASE_URL,
            refused=tree.listings.refused_names,
            sheets=None if self.maker is None else Sheets(self.maker, self.wall, self.clock),
            clock=self.clock,
        )
        self.state = "mounted"
        self.notes.tell_status(lambda: {"state": self.state})
        self.files = FileSystem(client, tree, self.fetcher, self.store, counters, notes=self.notes)
        self.told: list[str] = []
        if tells_kernel:
            self.files.when_changed(self.told.append)

    def names(self, path: str) -> list[str]:
        handle = self.files.open_directory(path, patience())
        names = [item.name for item in self.files.directory_items(handle)]
        self.files.close_directory(handle)
        return names

    def opened(self, path: str) -> int:
        return self.files.open(path, patience()).handle

    def read(self, handle: int) -> bytes:
        return self.files.read(handle, 0, 10**6, patience())

    def size(self, path: str) -> int:
        return self.files.attributes(path, patience()).size

    def close(self) -> None:
        self.notes.close()
        self.fetcher.close()
        self.store.close()
        self.catalog.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


def test_names_are_told_without_asking_anybody(rig: Rig) -> None:
    assert rig.names("") == [".empiar", "10017", "10934"]
    assert rig.names("10934") == ["data"]
    assert "entry.json" in rig.names("10934/.empiar")
    assert rig.files.attributes("EMPIAR-10934/.empiar/image-sets", patience()).is_directory
    assert rig.files.attributes(".empiar/by-doi", patience()).is_directory

    assert rig.source.asked == []
    with pytest.raises(NoSuchNameError):
        rig.files.attributes("10999/.empiar", patience())
    with pytest.raises(NoSuchNameError):
        rig.files.attributes("10934/data/.empiar", patience())


def test_what_readdir_shows_is_what_stat_shows(rig: Rig) -> None:
    rig.read(rig.opened(DESCRIBED))
    for folder in (".empiar", "10934/.empiar", "10934/.empiar/image-sets", ".empiar/by-emdb"):
        handle = rig.files.open_directory(folder, patience())
        for item in rig.files.directory_items(handle):
            found = rig.files.attributes(f"{folder}/{item.name}", patience())
            assert (found.inode, found.is_directory, found.is_link) == (
                item.inode, item.is_directory, item.is_link,
            )  # fmt: skip
            if found.is_link:
                target = rig.files.link_target(f"{folder}/{item.name}", patience())
                assert found.size == len(target)


def test_what_is_open_stays_what_it_was(rig: Rig) -> None:
    first = rig.opened(STATUS)
    rig.state = "mounted, and so on"
    second = rig.opened(STATUS)
    rig.state = "unmounted"

    assert json.loads(rig.read(first)) == {"state": "mounted"}
    assert json.loads(rig.read(second)) == {"state": "mounted, and so on"}
    for handle in (first, second):
        assert rig.files.attributes_of_handle(handle).size == len(rig.read(handle))
    # Of a path the newest, as the kernel asks for it right after the open.
    assert rig.size(STATUS) == len(rig.read(second))
    assert rig.files.open(STATUS, patience()).direct_io
    assert rig.files.status()["open_files"] == 3


def test_the_kernel_is_told_of_another_size_before_the_open_is_answered(rig: Rig) -> None:
    rig.size(STATUS)
    rig.opened(STATUS)
    assert rig.told == []
    rig.state = "mounted, and so on"
    rig.clock.now_s += 3.0
    rig.opened(STATUS)

    assert STATUS in rig.told


def test_an_open_gets_what_stat_has_just_shown(rig: Rig) -> None:
    shown = rig.size(STATUS)
    rig.state = "mounted, and so on"
    rig.clock.now_s += 1.0
    assert rig.size(STATUS) == shown
    rig.clock.now_s += 1.2
    handle = rig.opened(STATUS)
    assert len(rig.read(handle)) == shown
    assert rig.told == []
    rig.files.release(handle)

    assert rig.size(STATUS) > shown
    assert len(rig.read(rig.opened(STATUS))) == rig.size(STATUS)


def test_a_description_changes_for_whoever_opens_it_next(rig: Rig) -> None:
    held = rig.opened(DESCRIBED)
    before = rig.read(held)
    rig.source.entries_held[10934]["title"] = "Another title"
    rig.wall.now_s += MAX_AGE_S + 1
    rig.clock.now_s += 301.0
    assert (rig.size(DESCRIBED), rig.read(rig.opened(DESCRIBED))) == (len(before), before)
    for handle in range(held, held + 2):
        rig.files.release(handle)
    rig.clock.now_s += 3.0

    after = rig.read(rig.opened(DESCRIBED))
    assert json.loads(after)["title"] == "Another title"
    assert rig.size(DESCRIBED) == len(after)
    # By both of its names, as the kernel may know either.
    assert rig.told == [DESCRIBED, f"EMPIAR-{DESCRIBED}"]


def test_reads_end_with_the_file(rig: Rig) -> None:
    handle = rig.opened(DESCRIBED)
    data = rig.read(handle)

    assert rig.files.read(handle, len(data) - 3, 100, patience()) == data[-3:]
    assert rig.files.read(handle, len(data), 100, patience()) == b""
    rig.files.release(handle)
    rig.files.release(handle)
    with pytest.raises(BadHandleError):
        rig.read(handle)


def test_directories_files_and_links_are_told_apart(rig: Rig) -> None:
    for path in (".empiar", "10934/.empiar", "10934/.empiar/image-sets", ".empiar/by-year"):
        with pytest.raises(IsDirectoryError):
            rig.files.open(path, patience())
    for path in (STATUS, DESCRIBED, "10934/.empiar/entry.xml", "10934/.empiar/image-sets/1"):
        with pytest.raises(NotDirectoryError):
            rig.files.open_directory(path, patience())
        assert rig.files.attribute_names(path) == ()
        with pytest.raises(NoAttributeError):
            rig.files.attribute(path, "user.empiar.url", patience())
    for path in (STATUS, "10934/data/x.mrc", "10934/.empiar/nothing"):
        with pytest.raises(NoSuchNameError):
            rig.files.link_target(path, patience())
    for path in ("10934/.empiar/image-sets/2", "10934/.empiar/entry.json/x", ".empiar/by-doi/x"):
        with pytest.raises(NoSuchNameError):
            rig.files.attributes(path, patience())


# -- a picture that is made when it is opened -------------------------------------------------


@pytest.fixture
def pictured(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path, Maker())
    yield made
    made.close()


def test_to_list_and_to_look_at_a_picture_does_not_make_it(pictured: Rig) -> None:
    assert "preview.png" in pictured.names("10934/.empiar")
    for _ in range(3):
        found = pictured.files.attributes(SHEET, patience())
        assert (found.size, found.is_directory, found.is_link) == (0, False, False)

    assert pictured.maker is not None
    assert pictured.maker.count == 0
    assert pictured.source.asked == []


def test_whoever_opens_a_picture_reads_all_of_it_and_the_kernel_is_told(pictured: Rig) -> None:
    maker = pictured.maker
    assert maker is not None
    pictured.size(SHEET)
    opened = pictured.files.open(SHEET, patience())

    assert SHEET in pictured.told
    assert not opened.direct_io
    assert pictured.read(opened.handle) == maker.data
    assert pictured.files.attributes_of_handle(opened.handle).size == len(maker.data)
    assert pictured.size(SHEET) == len(maker.data)
    pictured.files.release(opened.handle)
    again = pictured.files.open(SHEET, patience())
    assert pictured.size(SHEET) == len(maker.data)
    assert maker.count == 1
    pictured.clock.now_s += 100_000.0
    assert pictured.size(SHEET) == len(maker.data)  # it is open
    pictured.files.release(again.handle)
    pictured.clock.now_s += 10.0
    assert pictured.size(SHEET) == 0


def test_a_kernel_that_cannot_be_told_is_asked_to_read_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Maker(), tells_kernel=False)
    try:
        rig.size(SHEET)
        first = rig.files.open(SHEET, patience())
        second = rig.files.open(SHEET, patience())
    finally:
        rig.close()

    # It may believe that the file ends where it begins.
    assert (first.direct_io, second.direct_io) == (True, False)


def test_where_pictures_cannot_be_made_there_is_none(rig: Rig, pictured: Rig) -> None:
    readme = "10934/.empiar/README.txt"

    assert "preview.png" not in rig.names("10934/.empiar")
    for attempt in (rig.files.attributes, rig.files.open):
        with pytest.raises(NoSuchNameError):
            attempt(SHEET, patience())
    assert b"preview.png" not in rig.read(rig.opened(readme))
    assert b"preview.png" in pictured.read(pictured.opened(readme))
    with pytest.raises(NoSuchNameError):
        pictured.files.attributes(".empiar/preview.png", patience())
