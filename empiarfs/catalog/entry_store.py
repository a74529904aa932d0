"""What is known of entries, on disk: put, got, searched; shared by processes, and checked.

It lies beside the catalog of names, in a file of its own, by the same rules
(`empiarfs.catalog.database`): what is damaged is set aside, a newer format is left alone, and
nothing is believed that fails its checksum.

It never asks the archive and decides nothing: how old a description may be is for its user to
say. Unlike the catalog of names it has no thread: its calls wait for the disk, up to about
three seconds where another process writes, so threads that answer the kernel may not use it.

Threading: safe from any thread; one lock, held during a statement.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from empiarfs.catalog import entry_outlines, entry_rows, entry_search
from empiarfs.catalog.database import BusyError, CatalogFile, DamagedFileError, UnwellError
from empiarfs.catalog.entry_outlines import Outline
from empiarfs.catalog.entry_rows import DamagedRowError, Known
from empiarfs.catalog.entry_search import Hit, Kinds
from empiarfs.catalog.session import Session
from empiarfs.core.entries.query import Query
from empiarfs.errors import CacheError
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

T = TypeVar("T")

# 3,000 entries take some 40 MB.
DEFAULT_LIMIT = 1024 * 1024 * 1024
_ATTEMPTS = 3
_NUMBERS, _NUMBERS_S, _FAILED_S = "numbers", "numbers_s", "failed_s"


class EntryStore:
    """Descriptions of entries; survives, and is shared by processes.

    Args:
        file: Where it is; its directory must exist.
        api_url: Root of the API that they come from. A file of another is set aside.
        counters: Where damage is counted.
        limit: Bytes that the file may take.
    """

    def __init__(
        self,
        file: Path,
        *,
        api_url: str,
        counters: Counters | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        self._counters = counters if counters is not None else Counters()
        self._file = CatalogFile(file, api_url, limit, entry_rows.LAYOUT)
        self._session = Session(self._file, retry_after_s=0.0)  # guarded by _lock
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """The file in use."""
        return self._file.path

    @property
    def rebuilt(self) -> str | None:
        """What was set aside, and why, if it had to be begun anew; else None."""
        return self._file.rebuilt

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._session.close()

    def get(self, number: int) -> Known | None:
        """Return what is known of an entry; None also if the file can't be read."""
        try:
            row = self._using(partial(_row, number=number))
        except CacheError as exc:
            logger.debug("entries: %s", exc)
            return None
        if row is None:
            return None
        try:
            return entry_rows.known_from(row)
        except DamagedRowError as exc:
            logger.warning("entries: EMPIAR-%d is damaged and forgotten: %s", number, exc)
            self._counters.add("entry_rejects")
        with contextlib.suppress(CacheError):
            self._changing(partial(_remove, number=number))
        return None

    def put(self, many: Iterable[Known]) -> None:
        """Store descriptions, in place of older ones of the same entries; all or none.

        Raises:
            CacheError: They can't be stored; the message says why.
        """
        listed = list(many)

        def write(connection: sqlite3.Connection, indexed: bool) -> None:
            for known in listed:
                entry_rows.write(connection, known, indexed=indexed)

        self._changing(write)

    def header(self, emdb: str) -> tuple[bytes, float] | None:
        """Return the header of an entry of EMDB and when it was fetched, or None."""
        try:
            row = self._using(partial(_header, emdb=emdb))
            return None if row is None else entry_rows.header_from(row)
        except (CacheError, DamagedRowError) as exc:
            # It will be fetched again, and written over.
            logger.debug("entries: %s: %s", emdb, exc)
        return None

    def put_header(self, emdb: str, document: bytes, fetched_s: float) -> None:
        """Store the header of an entry of EMDB.

        Raises:
            CacheError: It can't be stored.
        """

        def write(connection: sqlite3.Connection, indexed: bool) -> None:
            entry_rows.write_header(connection, emdb, document, fetched_s)

        self._changing(write)

    def note_absent(self, numbers: Iterable[int], asked_s: float) -> None:
        """Note that entries were asked for in vain, and when.

        Raises:
            CacheError: It can't be stored.
        """
        listed = [(number, asked_s) for number in numbers]

        def write(connection: sqlite3.Connection, indexed: bool) -> None:
            connection.executemany("INSERT OR REPLACE INTO absent VALUES (?, ?)", listed)

        self._changing(write)

    def put_numbers(self, numbers: Sequence[int], listed_s: float) -> None:
        """Store which entries the archive has, and when it said so.

        Raises:
            CacheError: It can't be stored.
        """
        text = ",".join(map(str, numbers)).encode("ascii")
        self._put_about({_NUMBERS: text, _NUMBERS_S: repr(listed_s).encode()})

    def numbers(self) -> tuple[list[int], float] | None:
        """Return which entries the archive has and when it said so; None if that isn't known.

        Raises:
            CacheError: The file can't be read.
        """
        try:
            found = self._using(_about)
            return [int(word) for word in found[_NUMBERS].split(b",")], float(found[_NUMBERS_S])
        except (KeyError, ValueError):
            return None

    def note_failure(self, at_s: float) -> None:
        """Note when it was last tried in vain to fetch all entries.

        Raises:
            CacheError: It can't be stored.
        """
        self._put_about({_FAILED_S: repr(at_s).encode()})

    def failed_s(self) -> float | None:
        """Return when it was last tried in vain to fetch all entries, or None.

        Raises:
            CacheError: The file can't be read.
        """
        try:
            return float(self._using(_about)[_FAILED_S])
        except (KeyError, ValueError):
            return None

    def fetched(self) -> dict[int, float]:
        """Return when each known entry was fetched, and each absent one asked for.

        Raises:
            CacheError: The file can't be read.
        """
        return self._using(_fetched)

    def count(self) -> int:
        """Return how many entries are known.

        Raises:
            CacheError: The file can't be read.
        """
        return int(self._using(_count))

    def count_between(self, first: int, last: int) -> int:
        """Return how many entries with these numbers, both included, are known.

        Raises:
            CacheError: The file can't be read.
        """
        return sum(first <= number <= last for number in self.known_numbers())

    def known_numbers(self) -> list[int]:
        """Return the numbers of all entries that are known, ascending.

        Raises:
            CacheError: The file can't be read.
        """
        return sorted(self._using(_known_numbers))

    def all_known(self) -> Iterator[Known]:
        """Yield what is known of each entry, by number; damaged ones are left out.

        Raises:
            CacheError: The file can't be read.
        """
        for number in self.known_numbers():
            known = self.get(number)
            if known is not None:
                yield known

    def search(self, query: Query, limit: int) -> list[Hit]:
        """Return what fits, the best first; without words, the last released first.

        Raises:
            CacheError: The file can't be read.
        """
        return self._using(
            partial(entry_search.search, query=query, limit=limit), indexing=bool(query.words)
        )

    def outlines(self) -> list[Outline]:
        """Return by which names each entry may be looked for, by number.

        Raises:
            CacheError: The file can't be read.
        """
        return self._using(entry_outlines.outlines)

    def kinds(self) -> Kinds:
        """Return which types, formats and categories occur.

        Raises:
            CacheError: The file can't be read.
        """
        return self._using(entry_search.kinds)

    def _put_about(self, values: Mapping[str, bytes]) -> None:
        def write(connection: sqlite3.Connection, indexed: bool) -> None:
            connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values.items())

        self._changing(write)

    def _using(self, statement: Callable[[sqlite3.Connection], T], *, indexing: bool = False) -> T:
        return self._attempted(lambda connection: self._read(connection, statement, indexing))

    def _read(
        self,
        connection: sqlite3.Connection,
        statement: Callable[[sqlite3.Connection], T],
        indexing: bool,
    ) -> T:
        if indexing:
            entry_search.catch_up(connection)
        return statement(connection)

    def _changing(self, write: Callable[[sqlite3.Connection, bool], None]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            write(connection, entry_search.prepare(connection))
            connection.execute("COMMIT")

        self._attempted(change)

    def _attempted(self, use: Callable[[sqlite3.Connection], T]) -> T:
        """Return `use(connection)`, called again where that helps."""
        for _ in range(_ATTEMPTS - 1):
            # Damage was set aside, and who was busy is done: the next attempt may do it.
            with contextlib.suppress(DamagedFileError, BusyError):
                return self._once(use)
        try:
            return self._once(use)
        except (DamagedFileError, BusyError) as exc:
            raise CacheError(f"{self._file.path} can't be used: {exc}") from exc

    def _once(self, use: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._lock, self._session.using() as connection:
                return use(connection)
        except BusyError:
            raise
        except DamagedFileError:
            self._counters.add("entry_rejects")
            raise
        except UnwellError as exc:
            raise CacheError(f"{self._file.path} can't be used: {exc}") from exc


def _row(
    connection: sqlite3.Connection, number: int
) -> tuple[int, float, str, bytes, bytes] | None:
    found: tuple[int, float, str, bytes, bytes] | None = connection.execute(
        "SELECT number, fetched_s, source, checksum, document FROM entry"
        " JOIN document USING (number) WHERE number = ?",
        (number,),
    ).fetchone()
    return found


def _header(connection: sqlite3.Connection, emdb: str) -> tuple[str, float, bytes, bytes] | None:
    found: tuple[str, float, bytes, bytes] | None = connection.execute(
        "SELECT emdb, fetched_s, checksum, document FROM header WHERE emdb = ?", (emdb,)
    ).fetchone()
    return found


def _remove(connection: sqlite3.Connection, indexed: bool, number: int) -> None:
    entry_rows.remove(connection, number, indexed=indexed)


def _about(connection: sqlite3.Connection) -> Mapping[str, bytes]:
    return dict(connection.execute("SELECT key, value FROM about").fetchall())


def _fetched(connection: sqlite3.Connection) -> dict[int, float]:
    rows = connection.execute("SELECT number, asked_s FROM absent").fetchall()
    rows += connection.execute("SELECT number, fetched_s FROM entry").fetchall()
    return dict(rows)


def _count(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT count(*) FROM entry").fetchone()
    return int(row[0])


def _known_numbers(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT number FROM entry").fetchall()]
