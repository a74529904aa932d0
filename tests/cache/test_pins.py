"""Pinned files: their blocks lie in a pool of their own, whatever comes and goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.cache import pins, victims
from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.eviction import Pool
from empiarfs.cache.pins import Pin, TooMuchError, pin_of
from empiarfs.cache.tending import BlockTender
from empiarfs.core.files import RemoteFile
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, bytes_on_disk, key_of, make_file, pieces_at
from tests.cache.test_victims import database, put

LIMIT = 32 * MIB
FILES = ["a" * 32, "b" * 32, "c" * 32]
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete", "pin", "unpin"]),
        st.sampled_from(FILES),
        st.integers(0, 4),
        st.sampled_from([Pool.REST, Pool.SMALL, Pool.FIRST]),
        st.integers(1, 9),
    ),
    max_size=40,
)


def transactions(connection: sqlite3.Connection) -> pins.Transaction:
    @contextmanager
    def transaction() -> Iterator[None]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    return transaction


def pin_named(file: str, size: int = 10) -> Pin:
    return Pin(file, f"https://host/1/{file}@5".encode(), size, 0.0)


@given(steps=_STEPS)
def test_pools_stay_without_gaps_while_files_are_pinned_and_unpinned(
    steps: list[tuple[str, str, int, Pool, int]],
) -> None:
    model: dict[str, tuple[Pool, int]] = {}
    pinned: set[str] = set()
    with closing(database()) as connection:
        sql, transaction = connection.execute, transactions(connection)
        for what, file, number, pool, size in steps:
            key = f"{file}.{number:x}"
            if what == "put":
                put(connection, key, pool, size)
                model[key] = (pool, size)
            elif what == "delete":
                sql("DELETE FROM Cache WHERE key = ?", (key,))
                model.pop(key, None)
            elif what == "pin":
                pins.add(sql, transaction, [pin_named(file)], 1000)
                pinned.add(file)
            else:
                pins.remove(sql, transaction, lambda pin, file=file: pin.file == file)  # type: ignore[misc]
                pinned.discard(file)

            where = {
                key: Pool.PINNED if key[:32] in pinned else pool
                for key, (pool, _) in model.items()
            }
            rows = dict(sql("SELECT key, rowid FROM Cache").fetchall())
            assert {key: row >> 40 for key, row in rows.items()} == where
            for each in Pool:
                places = sorted(row - (each << 40) for row in rows.values() if row >> 40 == each)
                assert places == list(range(1, len(places) + 1))
                taken = sum(size for key, (_, size) in model.items() if where[key] is each)
                assert dict(sql("SELECT pool, size FROM Pools").fetchall()).get(each, 0) == taken


def test_a_victim_is_never_pinned() -> None:
    with closing(database()) as connection:
        sql = connection.execute
        pins.add(sql, transactions(connection), [pin_named(FILES[0])], 1000)
        for number in range(20):
            put(connection, f"{FILES[number % 2]}.{number:x}", Pool.REST, 10)

        chosen = {victims.victim(sql, 100, Random(seed)) for seed in range(200)}
        assert len(chosen) == 10
        assert all(each is not None and each.key.startswith(FILES[1]) for each in chosen)
        for number in range(1, 20, 2):
            sql("DELETE FROM Cache WHERE key = ?", (f"{FILES[1]}.{number:x}",))
        assert victims.victim(sql, 0, Random()) is None


def test_what_is_reserved_is_bounded_and_a_refusal_changes_nothing() -> None:
    with closing(database()) as connection:
        sql, transaction = connection.execute, transactions(connection)
        pins.add(sql, transaction, [pin_named(FILES[0], 60)], 100)
        with pytest.raises(TooMuchError) as caught:
            pins.add(sql, transaction, [pin_named(FILES[1], 41)], 100)

        assert (caught.value.needed, caught.value.most) == (101, 100)
        assert [pin.file for pin in pins.all_pins(sql)] == [FILES[0]]
        pins.add(sql, transaction, [pin_named(FILES[0], 60), pin_named(FILES[1], 40)], 100)
        assert pins.reserved(sql) == 100


def test_a_refused_first_pin_leaves_the_layout_as_it_was() -> None:
    with closing(database()) as connection:
        with pytest.raises(TooMuchError):
            pins.add(connection.execute, transactions(connection), [pin_named("x")], 9)

        assert not pins.has_pins(connection.execute)
        assert connection.execute("PRAGMA user_version").fetchall() == [(0,)]


def test_another_version_of_a_file_takes_the_pin_over() -> None:
    with closing(database()) as connection:
        sql, transaction = connection.execute, transactions(connection)
        old, new = (
            Pin(file, f"https://host/1/x@{file[0]}".encode(), 60, 0.0) for file in FILES[:2]
        )
        pins.add(sql, transaction, [old], 100)
        put(connection, f"{old.file}.0", Pool.SMALL, 10)
        pins.add(sql, transaction, [new], 100)

        assert [pin.file for pin in pins.all_pins(sql)] == [new.file]
        assert pins.stored(sql) == 0
        assert sql("SELECT rowid >> 40 FROM Cache").fetchall() == [(Pool.SMALL,)]


# On the disk, with several that use it at once


def fill(store: DiskBlockStore, file: RemoteFile, count: int) -> None:
    for index in range(count):
        store.put(key_of(file, index), file, pieces_at(file, index))


def held(store: DiskBlockStore, file: RemoteFile, count: int) -> int:
    return sum(store.peek(key_of(file, index)) != 0 for index in range(count))


def test_two_stores_that_run_keep_what_a_command_pins(tmp_path: Path) -> None:
    kept, others = make_file("1/kept", size=8 * MIB), make_file("1/others", size=400 * MIB)
    one, two = (DiskBlockStore(tmp_path, LIMIT, Counters()) for _ in range(2))
    fill(one, kept, 4)
    fill(two, others, 4)
    with BlockTender(tmp_path) as tender:
        tender.pin([kept])
    for index in range(4, 8):
        two.put(key_of(kept, index), kept, pieces_at(kept, index))
    fill(one, others, 60)
    fill(two, others, 60)

    assert (held(one, kept, 8), held(two, kept, 8)) == (8, 8)
    assert bytes_on_disk(tmp_path) <= LIMIT
    one.close()
    two.close()
    with BlockTender(tmp_path) as tender:
        assert tender.pinned() == pin_of(kept).size
        assert [pin.url for pin in tender.unpin(lambda _: True)] == [
            kept.name_key.rpartition("@")[0]
        ]
        assert (tender.pinned(), tender.pins()) == (0, [])
    again = DiskBlockStore(tmp_path, LIMIT, Counters())
    fill(again, make_file("1/more", size=400 * MIB), 90)
    assert held(again, kept, 8) < 8
    again.close()


def test_a_cache_without_pins_stays_one_that_older_releases_know(tmp_path: Path) -> None:
    def layout() -> int:
        with closing(sqlite3.connect(tmp_path / "gen-1/cache.db")) as connection:
            ((number,),) = connection.execute("PRAGMA user_version").fetchall()
            return int(number)

    file = make_file("1/kept", size=2 * MIB)
    store = DiskBlockStore(tmp_path, LIMIT, Counters())
    fill(store, file, 2)
    with BlockTender(tmp_path) as tender:
        assert tender.unpin(lambda _: True) == []
        assert layout() == 3
        tender.pin([file])
        assert layout() == pins.LAYOUT
    assert held(store, file, 2) == 2
    store.sweep()
    store.close()
    again = DiskBlockStore(tmp_path, LIMIT, Counters())
    assert held(again, file, 2) == 2
    again.close()
    assert (tmp_path / "current").read_text().strip() == "gen-1"


@pytest.mark.expects_warnings
def test_the_limit_holds_though_all_below_it_is_pinned(tmp_path: Path) -> None:
    kept, others = make_file("1/kept", size=20 * MIB), make_file("1/others", size=400 * MIB)
    store = DiskBlockStore(tmp_path, LIMIT, Counters())
    with BlockTender(tmp_path) as tender:
        tender.limit = LIMIT
        tender.pin([kept])
    fill(store, kept, 20)
    store.close()

    small = DiskBlockStore(tmp_path, 22 * MIB, Counters())
    fill(small, others, 5)
    unwell = small.usage().unwell
    small.close()
    assert bytes_on_disk(tmp_path) <= 22 * MIB
    assert unwell is not None
    assert "unpin" in unwell


def test_what_is_removed_by_hand_is_not_what_is_pinned(tmp_path: Path) -> None:
    kept, others = make_file("1/kept", size=2 * MIB), make_file("1/others", size=9 * MIB)
    store = DiskBlockStore(tmp_path, LIMIT, Counters())
    fill(store, kept, 2)
    fill(store, others, 3)
    store.close()
    with BlockTender(tmp_path) as tender:
        tender.limit = LIMIT
        tender.pin([kept])
        removed = tender.remove(lambda row: True)
        assert (removed.blocks, removed.pinned) == (3, 2)
        assert tender.used()[1] == 2
        assert tender.check().blocks == 2
