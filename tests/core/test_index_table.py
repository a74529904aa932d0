"""The table of an index: what is written comes back, and nothing else is believed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from empiarfs.core import paths
from empiarfs.core.files import FileVersion
from empiarfs.core.index_table import (
    CHECK,
    Fields,
    IndexedDirectory,
    IndexedRow,
    TableReader,
    TableWriter,
    UnreadableTableError,
    escaped,
    seconds_of,
    time_text,
    unescaped,
)
from empiarfs.core.listing import ListingItem
from empiarfs.core.sizes import LARGEST_SIZE, size_text

URL = "https://archive.test/empiar/"
NOW_S = 2_000_000_000.0
MODIFIED_S = 1_636_197_555

names = st.binary(min_size=1, max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
names = names.filter(lambda name: paths.name_problem(name) is None)


def file(name: str, size: int = 5) -> IndexedRow:
    item = ListingItem(name, False, size_text(size), "2021-11-06 11:19")
    return IndexedRow(item, FileVersion(size, MODIFIED_S))


def directory(name: str) -> IndexedRow:
    return IndexedRow(ListingItem(name, True, "", "2021-11-06 12:00"), None)


def written(*directories: IndexedDirectory) -> tuple[list[Fields], str]:
    """Return the rows of a table of these, the first of which is the top, and its check."""
    writer = TableWriter(URL)
    listed = {each.path: each.listed_s for each in directories}
    rows = [writer.root(directories[0].path, directories[0].listed_s)]
    rows += (
        writer.row(each.path, row, listed.get(paths.join(each.path, row.item.name)))
        for each in directories
        for row in each.rows
    )
    return rows, writer.check


def read(rows: Sequence[Sequence[str]], check: str) -> list[IndexedDirectory]:
    reader = TableReader(URL, NOW_S)
    found = [reader.add(fields) for fields in rows]
    return [each for each in found if each is not None] + list(reader.finish(check))


ENTRY = (
    IndexedDirectory("10934", 1000.5, (file("10934.xml"), directory("data"))),
    IndexedDirectory("10934/data", 1001.25, (directory("empty"), file("a.mrc"), file("b#\t.mrc"))),
    IndexedDirectory("10934/data/empty", 1002.0, ()),
)


def test_a_table_comes_back_as_it_was() -> None:
    assert read(*written(*ENTRY)) == list(ENTRY)


def test_a_directory_that_was_not_listed_is_a_name_only() -> None:
    assert read(*written(*ENTRY[:2])) == list(ENTRY[:2])


def test_two_tops_may_stand_in_one_table() -> None:
    writer = TableWriter(URL)
    rows = [
        writer.root("10934", 1.0),
        writer.row("10934", file("a"), None),
        writer.root("10935", 2.0),
        writer.row("10935", file("b"), None),
    ]

    found = read(rows, writer.check)
    assert [(each.path, each.rows[0].item.name) for each in found] == [
        ("10934", "a"),
        ("10935", "b"),
    ]


@given(names, st.integers(0, LARGEST_SIZE), st.integers(0, 250_000_000_000))
@example("\\x41", 0, 0)
@example("a\nb", 1, 1)
def test_any_name_size_and_time_come_back(name: str, size: int, modified_s: int) -> None:
    row = IndexedRow(ListingItem(name, False, "", ""), FileVersion(size, modified_s))
    rows, check = written(IndexedDirectory("1", 1.0, (row,)))

    assert "\n" not in "".join(itertools.chain(*rows))
    assert read(rows, check) == [IndexedDirectory("1", 1.0, (row,))]
    assert unescaped(escaped(name)) == name
    assert seconds_of(time_text(modified_s)) == modified_s


def test_a_size_that_does_not_fit_its_listing_is_not_taken() -> None:
    odd = IndexedRow(ListingItem("a", False, "5.0K", "2021-11-06 11:19"), FileVersion(7, 0))
    [found] = read(*written(IndexedDirectory("1", 1.0, (odd,))))

    assert found.rows == (IndexedRow(odd.item, None),)


def changed(row: int, field: int, text: str) -> list[list[str]]:
    rows = [list(fields) for fields in written(*ENTRY)[0]]
    rows[row][field] = text
    return rows


@pytest.mark.parametrize(
    ("row", "field", "text"),
    [
        (1, 0, "10934/../etc/passwd"),
        (1, 0, "10934//x"),
        (1, 0, "/etc/passwd"),
        (1, 0, "10934/\\x2f"),
        (1, 0, "10934/a\\"),
        (1, 0, "10934/" + "x" * 256),
        (1, 0, "10935/10934.xml"),
        (1, 1, "-1"),
        (1, 1, "9999999999999999999"),
        (1, 1, "5.0"),
        (1, 1, "٣"),
        (1, 2, "2021-13-01T00:00:00Z"),
        (1, 2, "yesterday"),
        (1, 3, "https://elsewhere.test/10934/10934.xml"),
        (1, 4, "\x1b[2J"),
        (1, 5, "9" * 33),
        (0, 6, "nan"),
        (0, 6, "1e9"),
        (0, 6, str(NOW_S + 301)),
        (4, 0, "10934/data/empty/"),
    ],
)
def test_a_row_that_cannot_be_is_refused(row: int, field: int, text: str) -> None:
    with pytest.raises(UnreadableTableError, match=r"^(?!its checksum)"):
        read(changed(row, field, text), CHECK)


def test_rows_that_were_changed_moved_or_lost_are_refused() -> None:
    rows, check = written(*ENTRY)
    for other in (
        rows[:-1],
        [*rows, written(IndexedDirectory("1", 1.0, ()))[0][0]],
        [rows[0], rows[2], rows[1], *rows[3:]],
        changed(4, 1, "6"),
    ):
        with pytest.raises(UnreadableTableError):
            read(other, check)
    with pytest.raises(UnreadableTableError):
        read(rows, CHECK + "0" * 64)


def test_rows_of_one_directory_stand_together() -> None:
    rows, check = written(*ENTRY)
    for other in ([*rows, rows[1]], rows[1:], [rows[0], rows[3], rows[1]], [["a"]]):
        with pytest.raises(UnreadableTableError):
            read(other, check)
