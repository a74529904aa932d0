"""Writes listings and versions to the catalog's file, in short transactions.

A transaction lasts about 50 ms at the most, since other processes wait for it; packing is
done outside. The file's bound is kept by forgetting the directories that were fetched
longest ago.

Threading: none; the writer's thread owns a recorder and its session.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from empiarfs.catalog import directories
from empiarfs.catalog.database import FullError, UnwellError
from empiarfs.catalog.directories import Head, NewPage
from empiarfs.catalog.known import KnownDirectory
from empiarfs.catalog.pages import DamagedPageError, sorted_names
from empiarfs.catalog.session import Session
from empiarfs.core.files import FileVersion
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

_TRANSACTION_S = 0.04
# Pages packed before a transaction is opened for them: 16,384 rows, 20 ms of writing.
_PAGES_PER_TRANSACTION = 32
_LOOKED_UP_AT_ONCE = 256
# Room is made at 90 % of the bound, down to 80 %, so that it isn't made at every write.
_FULL_SHARE, _ROOMY_SHARE = 0.9, 0.8


class Recorder:
    """Writes to the catalog; for one thread. Every method may raise what `Session` raises.

    Args:
        session: The connection.
        archive_url: Base URL of the archive, as stored in the file.
        max_pages: The file's bound, in pages.
        counters: Where damage is counted.
        now: Wall-clock seconds since 1970.
    """

    def __init__(
        self,
        session: Session,
        archive_url: bytes,
        max_pages: int,
        counters: Counters,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._archive_url = archive_url
        self._max_pages = max_pages
        self._counters = counters
        self._now = now

    def record_listing(self, directory: KnownDirectory, generation: int) -> None:
        """Store a listing, unless another process has stored a later one.

        Args:
            directory: The listing, and the versions known beside it.
            generation: A number that no other listing has. Calling again with the same one
                goes on where a failed call ended.

        Raises:
            ValueError: A row can't be stored; nothing of the listing is.
        """
        if not math.isfinite(directory.fetched_s):
            raise ValueError(f"fetched at {directory.fetched_s}")
        pages = directories.new_pages(generation, directory)
        head = Head(
            generation, float(directory.fetched_s), directory.refused_count, len(directory.rows)
        )
        try:
            garbage = self._record_pages(directory.path, head, pages)
        except (ValueError, FullError):
            with contextlib.suppress(UnwellError):
                self._collect(generation)
            raise
        self._collect(garbage)
        if self._used_share() > _FULL_SHARE:
            self._make_room()

    def record_versions(
        self, path: str, generation: int | None, versions: Mapping[str, FileVersion | None]
    ) -> None:
        """Store versions beside the listing that they were learnt beside.

        Args:
            path: The directory.
            generation: That listing's, or None to take the stored one. If another is
                stored, nothing is done.
            versions: Version by name; None forgets one. Names that aren't listed are left
                out.

        Raises:
            ValueError: A version can't be stored.
        """
        names = list(versions)
        updates = [(key, versions[names[place]]) for key, place in sorted_names(names)]
        start = 0
        try:
            while start < len(updates):
                start = self._record_some(path, generation, updates, start)
        except DamagedPageError as exc:
            logger.warning("catalog: %r is damaged and forgotten: %s", path, exc)
            self._counters.add("catalog_rejects")
            self.forget(path)

    def forget(self, path: str) -> None:
        """Remove a directory."""
        with self._transaction() as connection:
            generation = directories.forget(connection, path, self._now())
        self._collect(generation)

    def collect_abandoned(self) -> None:
        """Remove what killed processes left half written."""
        with self._session.using() as connection:
            generations = directories.abandoned(connection, self._now())
        for generation in generations:
            self._collect(generation)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _record_pages(self, path: str, head: Head, pages: Iterator[NewPage]) -> int | None:
        """Store pages in several transactions; return the generation that is garbage then."""
        chunk = list(islice(pages, _PAGES_PER_TRANSACTION))
        while following := list(islice(pages, _PAGES_PER_TRANSACTION)):
            with self._transaction() as connection:
                directories.add_pages(connection, head.generation, chunk, self._now())
            chunk = following
        with self._transaction() as connection:
            directories.add_pages(connection, head.generation, chunk, self._now())
            return directories.finish_listing(
                connection, path, head, self._archive_url, self._now()
            )

    def _record_some(
        self,
        path: str,
        generation: int | None,
        updates: Sequence[tuple[bytes, FileVersion | None]],
        start: int,
    ) -> int:
        """Store versions from `start` on for some 40 ms; return where to go on."""
        deadline_s = time.monotonic() + _TRANSACTION_S
        with self._transaction() as connection:
            head = directories.read_head(connection, path, self._archive_url)
            if head is None or generation not in (None, head.generation):
                return len(updates)
            while start < len(updates) and time.monotonic() < deadline_s:
                start = directories.update_versions(connection, head.generation, updates, start)
        return start

    def _collect(self, generation: int | None) -> None:
        """Remove the pages of a generation, slice by slice."""
        while generation is not None:
            with self._transaction() as connection:
                if directories.collect(connection, generation):
                    return

    def _make_room(self) -> None:
        """Forget the directories that were fetched longest ago, until there is room."""
        while True:
            with self._session.using() as connection:
                oldest = directories.oldest(connection, _LOOKED_UP_AT_ONCE)
            if not oldest:
                return
            for path in oldest:
                if self._used_share() <= _ROOMY_SHARE:
                    return
                self.forget(path)

    def _used_share(self) -> float:
        with self._session.using() as connection:
            return directories.used_pages(connection) / self._max_pages

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._session.using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
