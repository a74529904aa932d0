"""A database whose sums or pages don't fit is left, since the byte limit rests on them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.generations import Generations
from empiarfs.cache.soundness import check_after_restart
from empiarfs.errors import CacheError
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, bytes_on_disk, key_of, make_file, pieces_at

LIMIT = 20 * MIB
FILE = make_file(size=400 * MIB)


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    store = DiskBlockStore(tmp_path, LIMIT, Counters())
    for index in range(6):
        store.put(key_of(FILE, index), FILE, pieces_at(FILE, index))
    store.close()
    return tmp_path


def change(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "gen-1/cache.db", isolation_level=None)) as database:
        database.execute(statement)


def generation_of(folder: Path) -> str:
    return (folder / "current").read_text().strip()


@pytest.mark.expects_warnings
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE Settings SET value = value - 5000000 WHERE key = 'size'",
        "UPDATE Settings SET value = -1 WHERE key = 'count'",
        "UPDATE Settings SET value = 'much' WHERE key = 'size'",
        "UPDATE Pools SET size = size - 4096 WHERE pool = 2",
    ],
)
def test_a_wrong_sum_is_found_at_the_start_and_the_limit_holds(
    filled: Path, statement: str
) -> None:
    change(filled, statement)

    store = DiskBlockStore(filled, LIMIT, Counters())
    for index in range(40):
        store.put(key_of(FILE, index), FILE, pieces_at(FILE, index))
    store.sweep()

    assert generation_of(filled) == "gen-2"
    assert bytes_on_disk(filled) <= LIMIT
    store.close()


@pytest.mark.expects_warnings
def test_a_wrong_sum_is_found_by_the_sweep_of_a_store_that_runs(filled: Path) -> None:
    store = DiskBlockStore(filled, LIMIT, Counters())
    assert store.peek(key_of(FILE, 5))
    change(filled, "UPDATE Settings SET value = value - 5000000 WHERE key = 'size'")
    with pytest.raises(CacheError):
        store.sweep()

    assert generation_of(filled) == "gen-2"
    store.close()


def test_a_sound_database_is_believed(filled: Path) -> None:
    store = DiskBlockStore(filled, LIMIT, Counters())

    assert all(store.peek(key_of(FILE, index)) for index in range(6))
    assert store.sweep() == 0
    assert generation_of(filled) == "gen-1"
    store.close()


class Asked:
    """Answers statements, and remembers them."""

    def __init__(self, folder: Path) -> None:
        self.statements: list[str] = []
        self._database = sqlite3.connect(folder / "gen-1/cache.db")

    def __call__(self, statement: str) -> sqlite3.Cursor:
        self.statements.append(statement)
        return self._database.execute(statement)

    def close(self) -> None:
        self._database.close()


def test_all_pages_are_looked_at_after_a_restart_of_the_machine_only(filled: Path) -> None:
    folder = Generations(filled).open().path
    with closing(Asked(filled)) as asked:
        check_after_restart(asked, folder)
        assert asked.statements == []
        (folder / "boot").write_text("another start")
        check_after_restart(asked, folder)
        assert len(asked.statements) == 1
        check_after_restart(asked, folder)
        assert len(asked.statements) == 1


@pytest.mark.expects_warnings
def test_pages_that_a_power_cut_mixed_up_are_found(filled: Path) -> None:
    path = filled / "gen-1/cache.db"
    content = bytearray(path.read_bytes())
    # The last page becomes what another was before.
    content[-4096:] = content[4096:8192]
    path.write_bytes(content)
    (filled / "gen-1/boot").unlink()

    store = DiskBlockStore(filled, LIMIT, Counters())
    store.put(key_of(FILE, 9), FILE, pieces_at(FILE, 9))
    assert store.peek(key_of(FILE, 9))
    assert generation_of(filled) == "gen-2"
    store.close()
