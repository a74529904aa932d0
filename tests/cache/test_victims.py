"""The order of rows by which any block is found by a random number, on SQLite itself."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.cache import victims
from empiarfs.cache.eviction import SHARED, Pool

# What of diskcache's table the triggers touch; test_disk.py uses the whole of it.
_TABLE = """
CREATE TABLE Cache (
    rowid INTEGER PRIMARY KEY, key BLOB UNIQUE, size INTEGER, filename TEXT, value BLOB)
"""
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "delete"]),
        st.integers(0, 12),
        st.sampled_from(list(SHARED)),
        st.integers(1, 9),
    ),
    max_size=60,
)


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in (_TABLE, *victims.STATEMENTS):
        connection.execute(statement)
    return connection


@pytest.fixture
def rows() -> Iterator[sqlite3.Connection]:
    with closing(database()) as connection:
        yield connection


def put(connection: sqlite3.Connection, key: str, pool: Pool, size: int) -> None:
    """Insert or update a row as diskcache does."""
    updated = connection.execute(
        "UPDATE Cache SET size = ?, filename = ?, value = ? WHERE key = ?", (size, key, pool, key)
    )
    if not updated.rowcount:
        connection.execute(
            "INSERT INTO Cache (key, size, filename, value) VALUES (?, ?, ?, ?)",
            (key, size, key, pool),
        )


def keys_by_row(connection: sqlite3.Connection) -> dict[int, str]:
    return dict(connection.execute("SELECT rowid, key FROM Cache").fetchall())


@given(steps=_STEPS)
def test_the_rows_of_a_pool_stay_without_gaps_and_its_size_is_known(
    steps: list[tuple[str, int, Pool, int]],
) -> None:
    model: dict[str, tuple[Pool, int]] = {}
    with closing(database()) as connection:
        for what, number, pool, size in steps:
            key = f"block{number}"
            if what == "put":
                put(connection, key, pool, size)
                model[key] = (pool, size)
            else:
                connection.execute("DELETE FROM Cache WHERE key = ?", (key,))
                model.pop(key, None)

            found = keys_by_row(connection)
            wanted_rows = {
                (pool << 40) + place
                for pool, count in Counter(pool for pool, _ in model.values()).items()
                for place in range(1, count + 1)
            }
            sizes = dict(connection.execute("SELECT pool, size FROM Pools").fetchall())
            assert set(found) == wanted_rows
            assert {key: row >> 40 for row, key in found.items()} == {
                key: int(pool) for key, (pool, _) in model.items()
            }
            assert sizes == {
                int(pool): sum(size for other, size in model.values() if other is pool)
                for pool in SHARED
            }


def test_chance_stays_even_after_many_blocks_have_come_and_gone(rows: sqlite3.Connection) -> None:
    random = Random(2)
    for number in range(1_000):
        put(rows, f"{number}", Pool.REST, 1)
        if number >= 40:
            gone = victims.victim(rows.execute, 40, random)
            assert gone is not None
            rows.execute("DELETE FROM Cache WHERE rowid = ?", (gone.rowid,))

    chosen: Counter[str] = Counter()
    for _ in range(20_000):
        victim = victims.victim(rows.execute, 40, random)
        assert victim is not None
        chosen[victim.key] += 1

    assert len(chosen) == 40
    assert min(chosen.values()) > 400  # 500 each, and a deviation of 22
    assert max(chosen.values()) < 600


def test_a_block_within_its_share_is_never_chosen(rows: sqlite3.Connection) -> None:
    for number in range(10):
        put(rows, f"rest{number}", Pool.REST, 90)
        put(rows, f"small{number}", Pool.SMALL, 10)

    chosen = {victims.victim(rows.execute, 1000, Random(seed)) for seed in range(200)}

    assert len(chosen) == 10
    assert all(victim is not None and victim.key.startswith("rest") for victim in chosen)


def test_nothing_is_chosen_from_nothing(rows: sqlite3.Connection) -> None:
    assert victims.victim(rows.execute, 100, Random()) is None


def test_a_gap_that_should_not_be_there_does_not_stop_eviction(rows: sqlite3.Connection) -> None:
    for number in range(4):
        put(rows, f"{number}", Pool.REST, 1)
    rows.execute("DROP TRIGGER Places_delete")
    rows.execute("DELETE FROM Cache WHERE rowid < 4")

    victim = victims.victim(rows.execute, 1, Random())

    assert victim is not None
    assert victim.key == "3"


def test_a_walk_that_deletes_as_it_goes_misses_nothing(rows: sqlite3.Connection) -> None:
    for number in range(50):
        put(rows, f"{number}", Pool(number % 3), 1)
    seen = []
    rowid: int | None = None
    while batch := victims.rows_before(rows.execute, rowid, 7):
        for row in batch:
            seen.append(row.key)
            if int(row.key) % 2:
                rows.execute("DELETE FROM Cache WHERE key = ?", (row.key,))
        rowid = batch[-1].rowid

    assert sorted(seen, key=int) == [f"{number}" for number in range(50)]
