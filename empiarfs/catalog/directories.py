"""Reads and writes directories on a connection: the statements, and nothing else.

Each listing has a *generation*, a random number under which its pages are stored. A new
listing is written beside the old one, in as many short transactions as it takes, and
becomes visible when the directory's row is exchanged, in one step. What is half written or
replaced is named in the table `garbage`, and removed in slices; so a killed process leaves
nothing for good.

A reader takes no long transaction either: it fetches a few pages at a time. If the listing
is replaced meanwhile, its pages are missing and it begins again.

Threading: none here; each function is for the thread that uses the connection.
"""

from __future__ import annotations

import sqlite3
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

import xxhash

from empiarfs.catalog.known import KnownDirectory, KnownRow
from empiarfs.catalog.pages import (
    ITEMS,
    VERSIONS,
    DamagedPageError,
    name_bytes,
    pack_versions,
    pages_of,
    sealed,
    sift_items,
    unpack_items,
    unpack_names,
    unpack_versions,
    unsealed,
)
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem

# 16 pages are some 200 KB, and 8,192 rows.
PAGES_PER_FETCH = 16
# Removing 64 pages takes a few milliseconds.
_PAGES_PER_REMOVAL = 64
# What an unfinished listing may be old before another process takes it for abandoned.
_ABANDONED_AFTER_S = 3600.0

_HEAD = struct.Struct("<qdqq")


@dataclass(frozen=True, slots=True)
class Head:
    """A directory's own row, checked.

    Attributes:
        generation: Under which its pages are stored.
        fetched_s: When the listing was sent, in wall-clock seconds.
        refused_count: Rows of the listing that were refused.
        row_count: Rows in the pages.
    """

    generation: int
    fetched_s: float
    refused_count: int
    row_count: int

    def checksum(self, path: bytes, archive_url: bytes) -> bytes:
        """Return what is stored beside the row to tell that it is what was written."""
        fields = _HEAD.pack(self.generation, self.fetched_s, self.refused_count, self.row_count)
        digest: bytes = xxhash.xxh3_64_digest(fields + archive_url + b"\0" + path)
        return digest


@dataclass(frozen=True, slots=True)
class Page:
    """A page's blobs as stored; `versions` is None while none is known."""

    first: bytes
    items: object
    versions: object


@dataclass(frozen=True, slots=True)
class NewPage:
    """A page to store, sealed; `versions` is None if none is known."""

    first: bytes
    items: bytes
    versions: bytes | None


# -- reading ---------------------------------------------------------------------------


def read_head(connection: sqlite3.Connection, path: str, archive_url: bytes) -> Head | None:
    """Return a directory's own row, or None if the directory isn't known.

    Raises:
        DamagedPageError: The row isn't what was written.
    """
    key = name_bytes(path)
    row = connection.execute(
        "SELECT generation, fetched_s, refused_count, row_count, checksum"
        " FROM directory WHERE path = ?",
        (key,),
    ).fetchone()
    if row is None:
        return None
    head = Head(*row[:4])
    try:
        expected = head.checksum(key, archive_url)
    except struct.error as exc:
        raise DamagedPageError(f"the directory's row holds {row[:4]}") from exc
    if row[4] != expected:
        raise DamagedPageError("the checksum of the directory's row differs")
    return head


def read_pages(connection: sqlite3.Connection, generation: int, after: bytes) -> list[Page]:
    """Return the next few pages behind the one that begins with `after` (b"": the first)."""
    rows = connection.execute(
        "SELECT items.first, items.body, versions.body FROM items LEFT JOIN versions"
        " ON versions.generation = items.generation AND versions.first = items.first"
        " WHERE items.generation = ? AND items.first > ? ORDER BY items.first LIMIT ?",
        (generation, after, PAGES_PER_FETCH),
    ).fetchall()
    return [Page(*row) for row in rows]


def read_start(
    connection: sqlite3.Connection, path: str, archive_url: bytes
) -> tuple[Head, list[Page]] | None:
    """Return a directory's own row and its first few pages, or None if it isn't known.

    Raises:
        DamagedPageError: The row isn't what was written.
    """
    head = read_head(connection, path, archive_url)
    return None if head is None else (head, read_pages(connection, head.generation, b""))


def sifted_of(
    generation: int, page: Page, wanted: Callable[[str], object], start: int
) -> tuple[int, list[tuple[int, ListingItem]]]:
    """Return how many rows a page has, and what `sift_items` leaves of them.

    Raises:
        DamagedPageError: The page isn't what was written.
    """
    return sift_items(unsealed(ITEMS, generation, page.first, page.items), wanted, start)


def rows_of(generation: int, page: Page) -> tuple[list[KnownRow], Sequence[int] | None]:
    """Return a page's rows, and their places in the listing if that has another order.

    Raises:
        DamagedPageError: The page isn't what was written.
    """
    items, places = unpack_items(unsealed(ITEMS, generation, page.first, page.items))
    versions: list[FileVersion | None] = [None] * len(items)
    if page.versions is not None:
        packed = unsealed(VERSIONS, generation, page.first, page.versions)
        versions = unpack_versions(packed, len(items))
    return list(map(KnownRow, items, versions)), places


# -- writing ---------------------------------------------------------------------------


def new_pages(generation: int, directory: KnownDirectory) -> Iterator[NewPage]:
    """Pack the rows of a directory, page by page.

    Raises:
        ValueError: A row can't be stored.
    """
    items: list[ListingItem] = [row.item for row in directory.rows]
    for first, places, packed in pages_of(items):
        versions = [directory.rows[place].version for place in places]
        known = any(version is not None for version in versions)
        yield NewPage(
            first,
            sealed(ITEMS, generation, first, packed),
            _sealed_versions(generation, first, versions) if known else None,
        )


def add_pages(
    connection: sqlite3.Connection, generation: int, pages: Sequence[NewPage], now_s: float
) -> None:
    """Store pages of a listing, which stays garbage until `finish_listing`."""
    _discard(connection, generation, now_s)
    connection.executemany(
        "INSERT OR REPLACE INTO items VALUES (?, ?, ?)",
        [(generation, page.first, page.items) for page in pages],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO versions VALUES (?, ?, ?)",
        [(generation, page.first, page.versions) for page in pages if page.versions],
    )


def finish_listing(
    connection: sqlite3.Connection, path: str, head: Head, archive_url: bytes, now_s: float
) -> int | None:
    """Make a listing the directory's, unless another process has stored a later one.

    Returns:
        The generation that is garbage then: the listing before, this one, or None.
    """
    key = name_bytes(path)
    found = connection.execute(
        "SELECT generation, fetched_s FROM directory WHERE path = ?", (key,)
    ).fetchone()
    # A time in the future was taken from a clock that was wrong.
    if found is not None and isinstance(found[1], float) and head.fetched_s < found[1] <= now_s:
        return head.generation
    garbage = None if found is None else _discard(connection, found[0], now_s)
    connection.execute(
        "INSERT OR REPLACE INTO directory VALUES (?, ?, ?, ?, ?, ?)",
        (
            key,
            head.generation,
            head.fetched_s,
            head.refused_count,
            head.row_count,
            head.checksum(key, archive_url),
        ),
    )
    connection.execute("DELETE FROM garbage WHERE generation = ?", (head.generation,))
    return garbage if garbage != head.generation else None


def forget(connection: sqlite3.Connection, path: str, now_s: float) -> int | None:
    """Remove a directory; return the generation that is garbage then."""
    key = name_bytes(path)
    found = connection.execute(
        "SELECT generation FROM directory WHERE path = ?", (key,)
    ).fetchone()
    if found is None:
        return None
    connection.execute("DELETE FROM directory WHERE path = ?", (key,))
    return _discard(connection, found[0], now_s)


def update_versions(
    connection: sqlite3.Connection,
    generation: int,
    updates: Sequence[tuple[bytes, FileVersion | None]],
    start: int,
) -> int:
    """Store versions in the one page that holds the name `updates[start][0]`.

    Args:
        connection: Inside a transaction.
        generation: The listing's.
        updates: Names and versions, in the order of the names; None forgets a version.
            Names that the listing lacks are left out.
        start: Index of the first update that isn't stored yet.

    Returns:
        The index of the next one, for the next call.

    Raises:
        DamagedPageError: The page isn't what was written.
        ValueError: A version can't be stored.
    """
    row = connection.execute(
        "SELECT items.first, items.body, versions.body FROM items LEFT JOIN versions"
        " ON versions.generation = items.generation AND versions.first = items.first"
        " WHERE items.generation = ? AND items.first <= ? ORDER BY items.first DESC LIMIT 1",
        (generation, updates[start][0]),
    ).fetchone()
    if row is None:  # before the first name of all
        return start + 1
    page = Page(*row)
    names = unpack_names(unsealed(ITEMS, generation, page.first, page.items))
    stop = max(bisect_right(updates, names[-1], start, key=itemgetter(0)), start + 1)
    wanted = dict(updates[start:stop])
    here = [index for index, name in enumerate(names) if name in wanted]
    if here:
        versions: list[FileVersion | None] = [None] * len(names)
        if page.versions is not None:
            packed = unsealed(VERSIONS, generation, page.first, page.versions)
            versions = unpack_versions(packed, len(names))
        for index in here:
            versions[index] = wanted[names[index]]
        body = _sealed_versions(generation, page.first, versions)
        connection.execute(
            "INSERT OR REPLACE INTO versions VALUES (?, ?, ?)", (generation, page.first, body)
        )
    return stop


def _sealed_versions(
    generation: int, first: bytes, versions: Sequence[FileVersion | None]
) -> bytes:
    return sealed(VERSIONS, generation, first, pack_versions(versions))


def _discard(connection: sqlite3.Connection, generation: object, now_s: float) -> int | None:
    """Name a generation as garbage; return it, or None if a damaged row gave no number."""
    if not isinstance(generation, int):
        return None
    connection.execute("INSERT OR IGNORE INTO garbage VALUES (?, ?)", (generation, now_s))
    return generation


# -- garbage ---------------------------------------------------------------------------


def abandoned(connection: sqlite3.Connection, now_s: float) -> list[int]:
    """Return generations that nobody is still writing or removing, most likely."""
    rows = connection.execute(
        "SELECT generation FROM garbage WHERE NOT since_s BETWEEN ? AND ?",
        (now_s - _ABANDONED_AFTER_S, now_s),
    ).fetchall()
    return [row[0] for row in rows]


def collect(connection: sqlite3.Connection, generation: int) -> bool:
    """Remove a slice of the pages of `generation`, inside a transaction.

    Returns:
        True if none is left, so that `generation` isn't garbage any more.
    """
    left = 0
    for table in ("items", "versions"):
        removed = connection.execute(
            f"DELETE FROM {table} WHERE generation = ?1 AND first IN"
            f" (SELECT first FROM {table} WHERE generation = ?1 LIMIT ?2)",
            (generation, _PAGES_PER_REMOVAL),
        ).rowcount
        left += removed == _PAGES_PER_REMOVAL
    if left:
        return False
    connection.execute("DELETE FROM garbage WHERE generation = ?", (generation,))
    return True


def oldest(connection: sqlite3.Connection, count: int) -> list[str]:
    """Return the paths of the `count` directories that were fetched longest ago."""
    rows = connection.execute(
        "SELECT path FROM directory ORDER BY fetched_s LIMIT ?", (count,)
    ).fetchall()
    return [key.decode("utf-8", "surrogateescape") for (key,) in rows if isinstance(key, bytes)]


def used_pages(connection: sqlite3.Connection) -> int:
    """Return how many of the file's 4 KiB pages hold something."""
    total = int(connection.execute("PRAGMA page_count").fetchone()[0])
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    return total - free
