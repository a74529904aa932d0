"""Takes the index of a tree out of the catalog as a table, and puts such a table back.

The archive is never asked. What is put back is checked wholly before any of it is stored
(`empiarfs.core.index_table`), and never takes the place of what was listed later.

Threading: one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from empiarfs.catalog import Catalog, KnownDirectory, KnownRow
from empiarfs.core import paths
from empiarfs.core.files import FileVersion
from empiarfs.core.index_table import (
    Fields,
    IndexedDirectory,
    IndexedRow,
    TableReader,
    TableWriter,
)
from empiarfs.core.listing import ListingItem
from empiarfs.errors import CacheError

# The writer of the catalog keeps a million rows at most before it has written some.
_ROWS_BETWEEN_WRITES = 100_000
_WRITE_S = 60.0
# How a table rounds the time of a listing.
_SAME_S = 0.01


@dataclass(slots=True)
class Taken:
    """What came of a table.

    Attributes:
        directories: Directories in it.
        files: Files in it.
        stored: Of the directories, those of which something was stored.
        oldest_s: When the oldest of its listings was fetched, in seconds since 1970.
    """

    directories: int = 0
    files: int = 0
    stored: int = 0
    oldest_s: float = float("inf")


def table_rows(catalog: Catalog, tops: Sequence[str], writer: TableWriter) -> Iterator[Fields]:
    """Yield the rows of all that is known below these directories.

    Args:
        catalog: What is known.
        tops: Paths of directories.
        writer: Makes the rows.

    Raises:
        CacheError: Nothing is known of one of them.
    """
    for top in _apart(tops):
        known = catalog.directory(top)
        if known is None:
            raise CacheError(f"nothing is known of {top}")
        yield writer.root(top, known.fetched_s)
        todo = [top]
        while todo:
            path = todo.pop()
            known = catalog.directory(path)
            if known is None:
                # A row of its own said that it would come; another process has forgotten it.
                raise CacheError(f"{path} isn't known any more")
            below = []
            for row in known.rows:
                listed_s = None
                if row.item.is_directory:
                    child = paths.join(path, row.item.name)
                    listed_s = catalog.fetched_s(child)
                    if listed_s is not None:
                        below.append(child)
                yield writer.row(path, IndexedRow(row.item, row.version), listed_s)
            todo += reversed(below)


def take(catalog: Catalog, directories: Callable[[], Iterable[IndexedDirectory]]) -> Taken:
    """Store what a table says, as far as nothing younger is known.

    Args:
        catalog: Where to store it.
        directories: Reads the table from its beginning, each time that it is called.

    Raises:
        UnreadableTableError: The table can't be believed; nothing was stored.
        CacheError: It can't be stored.
    """
    taken = Taken()
    for directory in directories():
        taken.directories += 1
        taken.files += sum(not row.item.is_directory for row in directory.rows)
        taken.oldest_s = min(taken.oldest_s, directory.listed_s)
    rows = 0
    for directory in directories():
        taken.stored += _store(catalog, directory)
        rows += 1 + len(directory.rows)
        if rows >= _ROWS_BETWEEN_WRITES:
            rows = 0
            _write(catalog)
    _write(catalog)
    return taken


def read(
    reader: TableReader, rows: Iterable[Sequence[str]], check: str
) -> Iterator[IndexedDirectory]:
    """Yield the directories of a table.

    Args:
        reader: A new one.
        rows: The table's rows.
        check: The name of its last column.

    Raises:
        UnreadableTableError: It can't be believed.
    """
    for fields in rows:
        complete = reader.add(fields)
        if complete is not None:
            yield complete
    yield from reader.finish(check)


def _apart(tops: Sequence[str]) -> list[str]:
    """Return the directories without those that are, or lie below, another of them."""
    return [
        top
        for number, top in enumerate(tops)
        if top not in tops[:number] and not any(top.startswith(f"{each}/") for each in tops)
    ]


def _store(catalog: Catalog, found: IndexedDirectory) -> bool:
    """Store a directory, or what is new in it; tell whether there was anything."""
    known = catalog.directory(found.path)
    if known is None or known.fetched_s < found.listed_s - _SAME_S:
        versions = _versions(known.rows if known is not None else ())
        rows = tuple(
            KnownRow(row.item, row.version or versions.get(row.item)) for row in found.rows
        )
        catalog.put_directory(KnownDirectory(found.path, found.listed_s, rows, 0))
        return True
    versions = _versions(found.rows)
    new = {
        row.item.name: version
        for row in known.rows
        if row.version is None and (version := versions.get(row.item)) is not None
    }
    catalog.put_versions(found.path, new)
    return bool(new)


def _versions(
    rows: Iterable[KnownRow] | Iterable[IndexedRow],
) -> dict[ListingItem, FileVersion]:
    return {row.item: row.version for row in rows if row.version is not None}


def _write(catalog: Catalog) -> None:
    if not catalog.flush(_WRITE_S) or catalog.dropped:
        why = catalog.unwell or "its disk is too slow"
        raise CacheError(f"not all could be written to {catalog.path}: {why}")
