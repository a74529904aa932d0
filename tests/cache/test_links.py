"""No symbolic link inside a cache directory is followed, and none stops the cache for good."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.limit_file import read_limit, write_limit
from empiarfs.cache.small_files import read_small, write_small
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, key_of, make_file, pieces_at

FILE = make_file()
LINKS = (
    "current", "gen-1", "gen-1/cache.db", "gen-1/cache.db-wal", "gen-1/cache.db-shm",
    "gen-1/cache.db-journal", "gen-1/slot-0", "gen-1/00", "gen-1/a5",
)  # fmt: skip

FOLDERS = ("gen-1", "gen-1/00")


def store_blocks(folder: Path, first: int) -> int:
    """Store some blocks through a store of its own; returns how many come back."""
    store = DiskBlockStore(folder, 64 * MIB, Counters())
    try:
        for index in range(first, first + 4):
            store.put(key_of(FILE, index), FILE, pieces_at(FILE, index))
        found = [store.open(key_of(FILE, index), FILE) for index in range(first, first + 4)]
        return sum(block is not None for block in found)
    finally:
        store.close()


@pytest.mark.expects_warnings
@pytest.mark.parametrize("name", LINKS)
def test_a_link_in_the_place_of_anything_is_left_alone(tmp_path: Path, name: str) -> None:
    to_folder = name in FOLDERS
    folder, precious = tmp_path / "blocks", tmp_path / "precious"
    assert store_blocks(folder, 0) == 4
    if to_folder:
        precious.mkdir()
    else:
        precious.write_text("kept")
    link = folder / name
    if link.is_dir():
        shutil.rmtree(link)
    else:
        link.unlink(missing_ok=True)
    link.symlink_to(precious)

    assert store_blocks(folder, 4) == 4

    if to_folder:
        assert list(precious.iterdir()) == []
    else:
        assert precious.read_text() == "kept"


def test_a_limit_is_neither_read_nor_written_through_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("100000000 of another")
    (tmp_path / "limit").symlink_to(precious)

    assert read_limit(tmp_path) is None
    write_limit(tmp_path, 64 * MIB, "as given")

    assert precious.read_text() == "100000000 of another"
    assert read_limit(tmp_path) == (64 * MIB, "as given")


@pytest.mark.parametrize("kind", ["folder", "pipe", "endless"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "limit"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")

    with pytest.raises(OSError):  # noqa: PT011 - which one, the system says
        read_small(path, 100)


def test_a_small_file_is_replaced_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "current"
    before = os.umask(0)
    try:
        # As a killed process of the same number would leave it.
        (tmp_path / f"current.{os.getpid()}").write_text("half")
        write_small(path, b"gen-1\n")
        write_small(path, b"gen-2\n")
    finally:
        os.umask(before)

    assert read_small(path, 100) == b"gen-2\n"
    assert read_small(path, 3) == b"gen"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
