"""A directory of which only some names are wanted: the same as all of it, sifted."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from empiarfs.catalog import KnownDirectory
from tests.support.fake_archive import FakeArchive
from tests.support.log_guard import ExpectLog
from tests.test_catalog import file, known, many, opened, row, stored
from tests.test_tree import Rig, patience

__all__ = ["file"]


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "in another order"])
def test_directories_and_wanted_files_are_left_in_order(file: Path, turned: bool) -> None:
    rows = [row(f"m{number:05}.tif", number) for number in range(3000)]
    rows += [row(f"raw{number}") for number in range(3)]
    if turned:
        rows.reverse()
    stored(file, known("10005/data", *rows, refused=2))
    with opened(file) as catalog:
        found = catalog.sift("10005/data", lambda name: name.endswith("7.tif"))

    assert found is not None
    expected = [each.item for each in rows if each.item.is_directory or "7.tif" in each.item.name]
    assert list(found.items) == expected
    assert (found.fetched_s, found.refused_count) == (1000.5, 2)


def test_an_empty_directory_and_one_that_is_not_known(file: Path) -> None:
    stored(file, known("10005/data"))
    with opened(file) as catalog:
        empty = catalog.sift("10005/data", lambda name: True)

        assert empty is not None
        assert empty.items == ()
        assert catalog.sift("10006", lambda name: True) is None


def test_what_is_not_written_yet_is_not_sifted(file: Path) -> None:
    with opened(file) as catalog:
        catalog.put_directory(known("10005/data", row("a", 1)))
        found = catalog.sift("10005/data", lambda name: True)
        assert found is None or len(found.items) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE items SET body = substr(body, 1, 40)",
        "UPDATE directory SET row_count = row_count - 1",
        "UPDATE items SET first = CAST(first || 'x' AS BLOB)",
    ],
)
def test_what_is_damaged_is_forgotten(file: Path, damage: str, expect_log: ExpectLog) -> None:
    expect_log("is damaged and forgotten")
    stored(file, many("10005/data", 2000))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(damage)
        connection.commit()
    with opened(file) as catalog:
        assert catalog.sift("10005/data", lambda name: True) is None


def test_a_listing_whose_rows_are_gone_is_no_answer(file: Path) -> None:
    stored(file, many("10005/data", 2000))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM items WHERE first = (SELECT max(first) FROM items)")
        connection.commit()
    with opened(file) as catalog:
        assert catalog.sift("10005/data", lambda name: True) is None


def test_only_what_may_be_believed_is_sifted(tmp_path: Path) -> None:
    archive = FakeArchive({f"10934/data/{number}.mrc": b"x" for number in range(9)})
    rig = Rig(tmp_path, archive)
    rig.tree.listings.directory("10934/data", patience())
    assert rig.tree.listings.sift("10934/data", lambda name: True) is None  # it is in memory
    rig.catalog.close()

    other = Rig(tmp_path, archive)
    found = other.tree.listings.sift("10934/data", lambda name: name == "5.mrc")
    old = KnownDirectory("10934/old", 1.0, (), 0)
    other.catalog.put_directory(old)
    other.catalog.flush()
    try:
        assert found is not None
        assert [item.name for item in found.items] == ["5.mrc"]
        assert other.tree.listings.sift("10934/old", lambda name: True) is None
        assert archive.listed == ["10934/data"]
    finally:
        other.catalog.close()
