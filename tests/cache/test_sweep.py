"""The sweep: what has no row goes if it is old enough, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.cache.block_disk import new_filename
from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.locks import try_lock
from empiarfs.cache.sweep import ORPHAN_AGE_S
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, block_files, key_of, make_file, pieces_at

FILE = make_file(size=100 * MIB)


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def store(tmp_path: Path, counters: Counters) -> Iterator[DiskBlockStore]:
    made = DiskBlockStore(tmp_path, 64 * MIB, counters)
    for index in range(8):
        made.put(key_of(FILE, index), FILE, pieces_at(FILE, index))
    yield made
    made.close()


def orphan(folder: Path, age_s: float, name: str | None = None) -> Path:
    """A file that has no row, last changed so many seconds ago."""
    path = folder / "gen-1" / (name or new_filename(key_of(FILE, 50).short))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(5000))
    changed_s = time.time() - age_s
    os.utime(path, (changed_s, changed_s))
    return path


def test_old_files_without_a_row_go_and_are_counted(
    store: DiskBlockStore, tmp_path: Path, counters: Counters
) -> None:
    lost = [orphan(tmp_path, ORPHAN_AGE_S + 60) for _ in range(3)]
    before = set(block_files(tmp_path))

    assert store.sweep() == counters["orphans_removed"] == 3
    assert set(block_files(tmp_path)) == before - set(lost)


def test_a_file_that_may_be_in_writing_is_left(store: DiskBlockStore, tmp_path: Path) -> None:
    young = orphan(tmp_path, ORPHAN_AGE_S - 60)

    assert store.sweep() == 0
    assert young.exists()


def test_the_earlier_file_of_a_stored_block_goes(store: DiskBlockStore, tmp_path: Path) -> None:
    earlier = orphan(tmp_path, ORPHAN_AGE_S + 60, new_filename(key_of(FILE, 0).short))

    assert store.sweep() == 1
    assert not earlier.exists()
    assert store.peek(key_of(FILE, 0)) == 0xFFFF


@pytest.mark.parametrize("name", ["00/notes.txt", "readme"])
def test_what_is_no_block_is_left(store: DiskBlockStore, tmp_path: Path, name: str) -> None:
    foreign = orphan(tmp_path, ORPHAN_AGE_S + 60, name)

    assert store.sweep() == 0
    assert foreign.exists()


def test_rows_without_a_file_go(store: DiskBlockStore, tmp_path: Path) -> None:
    for path in block_files(tmp_path)[:5]:
        path.unlink()
    store.sweep()

    assert store.usage().blocks == 3


def test_blocks_stay_readable(store: DiskBlockStore) -> None:
    store.sweep(age_s=-1)

    for index in range(8):
        block = store.open(key_of(FILE, index), FILE)
        assert block is not None
        assert block.read(0, MIB) == b"".join(pieces_at(FILE, index).values())


def test_one_process_sweeps_at_a_time(store: DiskBlockStore, tmp_path: Path) -> None:
    lock = try_lock(os.fspath(tmp_path / "sweep.lock"))
    assert lock is not None
    assert store.sweep() is None
    os.close(lock)

    assert store.sweep() == 0
