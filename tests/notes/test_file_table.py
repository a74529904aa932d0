"""files.tsv, from a real catalog of names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.catalog import Catalog, KnownDirectory, KnownRow
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.notes.file_table import file_table
from empiarfs.patience import Patience

URL = "http://archive/"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(tmp_path / "names.db", archive_url=URL)
    yield made
    made.close()


def put(catalog: Catalog, path: str, *rows: KnownRow) -> None:
    catalog.put_directory(KnownDirectory(path, 1000.0, rows, 0))


def directory(name: str) -> KnownRow:
    return KnownRow(ListingItem(name, True, "", "2022-02-07 10:31"), None)


def file(name: str, size: int | None = None) -> KnownRow:
    version = None if size is None else FileVersion(size, 1_600_000_000)
    return KnownRow(ListingItem(name, False, "1K", "2022-02-07 10:31"), version)


def lines(catalog: Catalog, most: int = 10_000) -> list[str]:
    text = file_table(catalog, 10934, URL, Patience(5.0), most)
    return text.data.decode().splitlines()


def test_what_was_never_listed_is_said(catalog: Catalog) -> None:
    assert lines(catalog) == [
        "# EMPIAR-10934: 0 files, the sizes of 0 of them; 1 directories have never been listed"
        " here",
        "path\tsize\tmodified\turl",
    ]


def test_files_stand_in_the_order_of_a_walk(catalog: Catalog) -> None:
    put(catalog, "10934", directory("data"), file("10934.xml", 7))
    put(catalog, "10934/data", directory("a"), directory("b"), file("z"))
    put(catalog, "10934/data/a", file("x y.mrc", 5))

    head, _, *rows = lines(catalog)
    assert head == (
        "# EMPIAR-10934: 3 files, the sizes of 2 of them; 1 directories have never been listed"
        " here"
    )
    assert rows == [
        "10934.xml\t7\t2020-09-13T12:26:40Z\thttp://archive/10934/10934.xml",
        "data/z\t\t2022-02-07T10:31\thttp://archive/10934/data/z",
        "data/a/x y.mrc\t5\t2020-09-13T12:26:40Z\thttp://archive/10934/data/a/x%20y.mrc",
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\tb", "a\\tb"), ("a\nb", "a\\nb"), ("a\\b", "a\\\\b"), ("\udcff", "\\xff"), ("µ", "µ")],
)
def test_a_row_is_a_line_whatever_its_name(catalog: Catalog, name: str, shown: str) -> None:
    put(catalog, "10934", file(name, 1))

    [row] = lines(catalog)[2:]
    assert row.split("\t")[0] == shown
    assert len(row.split("\t")) == 4


def test_a_long_list_is_cut_off_with_a_word(catalog: Catalog) -> None:
    put(catalog, "10934", *(file(f"{number:05}.mrc", number) for number in range(1000)))

    found = lines(catalog, most=10_000)

    assert found[0].endswith("files; there are more")
    assert found[-1].startswith("# cut off here")
    assert 100 < len(found) < 200
