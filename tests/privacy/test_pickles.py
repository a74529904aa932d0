"""The cache never unpickles: what answers CVE-2025-69872.

diskcache keeps what it can't store plainly as a pickle, and loads it as such: who may write
to a cache directory of it runs code in whoever reads from it. Ours holds no pickle, and
whatever claims to be one is refused. `scripts/audit` leaves that one out for this reason.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Callable
from pathlib import Path

import diskcache
import pytest

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, key_of, make_file, pieces_at

FILE = make_file()


class Trap:
    """What unpickling would run."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self._path,)


def blocks_found(folder: Path) -> int:
    """Use the cache in every way: look blocks up, store one, let it evict and sweep."""
    store = DiskBlockStore(folder, 16 * MIB, Counters())
    try:
        found = [store.open(key_of(FILE, index), FILE) for index in range(3)]
        for index in range(3, 8):
            store.put(key_of(FILE, index), FILE, pieces_at(FILE, index))
        store.usage()
        return sum(block is not None for block in found)
    finally:
        store.close()


# Each puts a pickle, or what leads to one, where diskcache looks for it. `?` is the pickle,
# `?2` the name of a file that holds it.
ATTACKS = {
    "value": "UPDATE Cache SET mode = 4, value = ?1, filename = NULL",
    "value that keeps its file": "UPDATE Cache SET mode = 4, value = ?1",
    "value in a file": "UPDATE Cache SET mode = 4, value = NULL, filename = ?2",
    "raw bytes": "UPDATE Cache SET mode = 1, value = ?1, filename = NULL",
    "text in a file": "UPDATE Cache SET mode = 3, value = NULL, filename = ?2",
    "key": "UPDATE Cache SET key = ?1 || key, raw = 0",
    "key that says it is plain": "UPDATE Cache SET key = ?1 || key, raw = 1",
    "known key that says it is a pickle": "UPDATE Cache SET raw = 0",
    "tag": "UPDATE Cache SET tag = ?1",
    "setting": "INSERT OR REPLACE INTO Settings VALUES ('tag_index', ?1)",
    "pickle's protocol": "UPDATE Settings SET value = ?1 WHERE key = 'disk_pickle_protocol'",
    "setting that diskcache doesn't have": "INSERT INTO Settings VALUES ('disk_evil', ?1)",
    "size": "UPDATE Settings SET value = ?1 WHERE key = 'size'",
}


@pytest.mark.expects_warnings
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_pickled_row_is_refused_and_does_not_run(tmp_path: Path, attack: str) -> None:
    folder, ran = tmp_path / "blocks", tmp_path / "ran"
    store = DiskBlockStore(folder, 16 * MIB, Counters())
    for index in range(3):
        store.put(key_of(FILE, index), FILE, pieces_at(FILE, index))
    store.close()
    trap = pickle.dumps(Trap(ran))
    (folder / "gen-1" / "evil.val").write_bytes(trap)
    database = sqlite3.connect(folder / "gen-1" / "cache.db")
    with database:
        parameters = (trap, "evil.val")[: 1 + ("?2" in ATTACKS[attack])]
        database.execute(ATTACKS[attack], parameters if "?" in ATTACKS[attack] else ())
    database.close()

    found = blocks_found(folder)

    assert not ran.exists()
    assert found in (0, 3)
    # Nor does it harm for good: what was put meanwhile is there.
    store = DiskBlockStore(folder, 16 * MIB, Counters())
    assert store.open(key_of(FILE, 7), FILE) is not None
    store.close()


def test_the_trap_is_one_for_diskcache_as_it_is(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with diskcache.Cache(os.fspath(tmp_path / "plain")) as cache:
        cache["key"] = Trap(ran)
    with diskcache.Cache(os.fspath(tmp_path / "plain")) as cache:
        cache.get("key")

    assert ran.exists()


def test_what_would_need_a_pickle_cannot_be_put(tmp_path: Path) -> None:
    from empiarfs.cache.block_disk import BlockDisk

    disk = BlockDisk(os.fspath(tmp_path))

    with pytest.raises(TypeError):
        disk.put(("a", "key"))
    with pytest.raises(TypeError):
        disk.store({"a": "value"}, False)
    assert list(tmp_path.iterdir()) == []
