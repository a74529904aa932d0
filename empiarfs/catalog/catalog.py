"""The catalog itself: what the rest of the program sees of this package."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from empiarfs.cache.threads import CacheThreads, TooSlowError
from empiarfs.catalog import directories
from empiarfs.catalog.database import CatalogFile, DamagedFileError, UnwellError
from empiarfs.catalog.directories import Head, Page
from empiarfs.catalog.known import KnownDirectory, KnownRow, SiftedDirectory
from empiarfs.catalog.pages import DamagedPageError
from empiarfs.catalog.recorder import Recorder
from empiarfs.catalog.session import Session
from empiarfs.catalog.writer import Writer
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.errors import CacheError
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Every file of EMPIAR (3,000 entries with 7,000 each) would take some 750 MB.
DEFAULT_LIMIT = 1024 * 1024 * 1024
# How often a directory is read again because it was replaced while it was read.
_READINGS = 3
# A statement takes 0.1 ms, or 10 where a disk has to turn. One that takes longer is left to
# end when it may, and what it asked for counts as not known.
# More than the 2 s and 1 s that opening waits for locks.
_STATEMENT_TIMEOUT_S = 4.0
_HANGS_S = 10.0
_CLOSE_TIMEOUT_S = 2.0


class Catalog:
    """What is known of names, sizes and versions; survives, and is shared by processes.

    No method raises because of the file or the disk: what can't be read isn't known, and
    what can't be written is forgotten. Safe to use from several threads. Nothing is opened
    and no thread is started before the first use.

    Args:
        file: Where it is; its directory must exist.
        archive_url: Base URL of the archive, without credentials. A catalog of another
            archive is set aside.
        counters: Where damage is counted.
        limit: Bytes that the file may take; beyond, the directories that were fetched
            longest ago are forgotten.
        retry_after_s: How long a file that couldn't be opened isn't tried again.
        now: Wall-clock seconds since 1970.
    """

    def __init__(
        self,
        file: Path,
        *,
        archive_url: str,
        counters: Counters | None = None,
        limit: int = DEFAULT_LIMIT,
        retry_after_s: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._counters = counters if counters is not None else Counters()
        self._file = CatalogFile(file, archive_url, limit)
        self._reading = Session(self._file, retry_after_s)  # the reading thread only
        # One: SQLite would take memory for each. It may hang with the disk, callers may not.
        self._reader = CacheThreads("catalog-read", 1, self._reading.close)
        # Monotonic seconds until which nobody asks; set and read by any thread.
        self._hangs_until_s = float("-inf")
        self._writing = Session(self._file, retry_after_s)  # the writer's thread only
        self._writer = Writer(
            Recorder(
                self._writing, self._file.archive_url, self._file.max_pages, self._counters, now
            )
        )
        self._closed = False

    @property
    def path(self) -> Path:
        """The file in use; another name than the one given if that has a newer format."""
        return self._file.path

    @property
    def rebuilt(self) -> str | None:
        """What was set aside, and why, if the catalog had to be begun anew; else None."""
        return self._file.rebuilt

    @property
    def unwell(self) -> str | None:
        """Why the catalog can't be used at the moment, or None."""
        if time.monotonic() < self._hangs_until_s:
            return "the disk takes too long"
        return self._reading.unwell or self._writing.unwell

    @property
    def dropped(self) -> int:
        """How often something that was put couldn't be written, by this process."""
        return self._writer.dropped

    def directory(self, path: str) -> KnownDirectory | None:
        """Return what is known of a directory, or None.

        Includes what was put a moment ago and isn't written yet. Takes about 4 µs a row, in
        which other threads can run.
        """
        waiting = self._writer.waiting_for(path)
        known: KnownDirectory | None = None
        generation: int | None = None
        if not any(work.replaces for work in waiting):
            known, generation = self._stored(path)
        for work in waiting:
            if work.replaces:
                known, generation = work.directory, work.generation
            if known is not None and work.generation in (None, generation):
                known = work.over(known)
        return known

    def sift(self, path: str, wanted: Callable[[str], object]) -> SiftedDirectory | None:
        """Return what is known of a directory, with those of its files that are wanted only.

        Takes 1 µs a row where few are wanted. What isn't written yet isn't looked at: None
        then.

        Args:
            path: Of the directory.
            wanted: Tells of a name whether a file of that name is.
        """
        if any(work.replaces for work in self._writer.waiting_for(path)):
            return None
        return self._checked(path, partial(self._sift, wanted=wanted))

    def fetched_s(self, path: str) -> float | None:
        """Return when a directory's listing was fetched, in wall-clock seconds, or None."""
        for work in reversed(self._writer.waiting_for(path)):
            if work.replaces:
                return work.directory.fetched_s if work.directory else None
        head = self._checked(path, self._head)
        return None if head is None else head.fetched_s

    def put_directory(self, directory: KnownDirectory) -> None:
        """Store a listing, in the background; it replaces the one before wholly.

        A later listing that another process has stored meanwhile stays.
        """
        self._writer.put_directory(directory)

    def put_versions(self, path: str, versions: Mapping[str, FileVersion | None]) -> None:
        """Store versions of files, in the background; None forgets one.

        They are kept only beside the listing that this catalog last returned or got of
        `path`; names that it lacks are left out.
        """
        self._writer.put_versions(path, versions)

    def forget(self, path: str) -> None:
        """Forget a directory, in the background: the archive says that it is gone."""
        self._writer.forget(path)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until what was put is written; False if not all of it could be in time."""
        return self._writer.flush(timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what was put, for about `timeout_s` at most, and close the file."""
        self._closed = True
        self._writer.close(timeout_s)
        self._reader.close(_CLOSE_TIMEOUT_S)

    def _stored(self, path: str) -> tuple[KnownDirectory | None, int | None]:
        """Return what the file says of a directory, and the number of the listing."""
        found = self._checked(path, self._read)
        if found is None:
            return None, None
        known, generation = found
        self._writer.note_seen(path, generation)
        return known, generation

    def _checked(self, path: str, read: Callable[[str], T | None]) -> T | None:
        """Return `read(path)`, or None if the file can't be read or believed."""
        if self._closed:
            return None
        try:
            return read(path)
        except DamagedPageError as exc:
            logger.warning("catalog: %r is damaged and forgotten: %s", path, exc)
            self._counters.add("catalog_rejects")
            self._writer.forget_damaged(path)
        except DamagedFileError:
            self._counters.add("catalog_rejects")
        except UnwellError as exc:
            logger.debug("catalog: %s", exc)
        return None

    def _ask(self, statement: Callable[[sqlite3.Connection], T]) -> T:
        """Return what a statement returns, which the reading thread carries out.

        Raises:
            DamagedPageError: The statement raised it.
            DamagedFileError: The file was damaged.
            UnwellError: The file can't be read at the moment.
        """
        if time.monotonic() < self._hangs_until_s:
            raise UnwellError("the disk takes too long")
        try:
            answer = self._reader.call(partial(self._use, statement), _STATEMENT_TIMEOUT_S)
        except TooSlowError as exc:
            if self._hangs_until_s < 0:
                logger.warning("catalog unwell: the disk takes too long")
            self._hangs_until_s = time.monotonic() + _HANGS_S
            raise UnwellError(str(exc)) from exc
        except CacheError as exc:
            raise UnwellError(str(exc)) from exc  # it is closed
        self._hangs_until_s = float("-inf")
        return answer

    def _use(self, statement: Callable[[sqlite3.Connection], T]) -> T:
        with self._reading.using() as connection:
            return statement(connection)

    def _read(self, path: str) -> tuple[KnownDirectory, int] | None:
        """Read a directory; again, if it is replaced meanwhile."""
        missed: int | None = None
        for _ in range(_READINGS):
            head = self._head(path)
            if head is None:
                return None
            if head.generation == missed:
                raise DamagedPageError("rows are missing")
            rows = self._rows(head)
            if rows is not None:
                known = KnownDirectory(path, head.fetched_s, rows, head.refused_count)
                return known, head.generation
            missed = head.generation
        return None

    def _sift(self, path: str, wanted: Callable[[str], object]) -> SiftedDirectory | None:
        found = self._ask(
            partial(directories.read_start, path=path, archive_url=self._file.archive_url)
        )
        if found is None:
            return None
        head, pages = found
        left: list[tuple[int, ListingItem]] = []
        count = 0
        while pages:
            for page in pages:
                rows, some = directories.sifted_of(head.generation, page, wanted, count)
                count += rows
                left += some
            pages = self._pages(head, pages[-1].first) if count < head.row_count else []
        if count > head.row_count:
            raise DamagedPageError("too many rows")
        if count < head.row_count:
            return None  # it was replaced meanwhile
        items = tuple(item for _, item in sorted(left, key=itemgetter(0)))
        return SiftedDirectory(path, head.fetched_s, items, head.refused_count)

    def _pages(self, head: Head, after: bytes) -> list[Page]:
        return self._ask(partial(directories.read_pages, generation=head.generation, after=after))

    def _head(self, path: str) -> Head | None:
        return self._ask(
            partial(directories.read_head, path=path, archive_url=self._file.archive_url)
        )

    def _rows(self, head: Head) -> tuple[KnownRow, ...] | None:
        """Return the rows of a listing, or None if not all are there."""
        rows: list[KnownRow] = []
        places: list[int] = []
        after = b""
        while len(rows) < head.row_count:
            pages = self._pages(head, after)
            if not pages:
                return None
            for page in pages:
                found, found_places = directories.rows_of(head.generation, page)
                rows += found
                places += found_places or ()
            after = pages[-1].first
        if len(rows) > head.row_count:
            raise DamagedPageError("too many rows")
        return _in_order(rows, places) if places else tuple(rows)


def _in_order(rows: list[KnownRow], places: list[int]) -> tuple[KnownRow, ...]:
    """Return `rows`, each at its place."""
    ordered: list[KnownRow | None] = [None] * len(rows)
    try:
        for place, row in zip(places, rows, strict=True):
            ordered[place] = row
    except (ValueError, IndexError) as exc:
        raise DamagedPageError("the order of the rows is lost") from exc
    complete = tuple(row for row in ordered if row is not None)
    if len(complete) != len(rows):
        raise DamagedPageError("the order of the rows is lost")
    return complete
