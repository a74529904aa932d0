"""One entry: from the store while it is young, from EMPIAR after that, stale if need be.

    stored            EMPIAR answers   what is given
    ----------------  ---------------  ---------------------------------------
    younger than      not asked        what is stored
    `max_age_s`
    older, or not     with the entry   that, and it is stored
    older             that it is gone  NotFoundError
    older             not              what is stored, and why it is no younger
    not               not              the error

Threading: as its store and its source.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from empiarfs.archive.entries import Fetched
from empiarfs.catalog.entry_rows import Known
from empiarfs.catalog.entry_search import Hit
from empiarfs.catalog.entry_store import EntryStore
from empiarfs.core.entries.query import Query
from empiarfs.entries.gathering import Gathered, Gatherer, GathererConfig, Progress, nobody
from empiarfs.entries.source import EntrySource
from empiarfs.errors import ArchiveError, CacheError, GaveUpError, NotFoundError, OfflineError
from empiarfs.patience import Patience

logger = logging.getLogger(__name__)

# Released entries practically never change; new ones come by the dozen a week.
MAX_AGE_S = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an entry.

    Attributes:
        known: The description.
        problem: Why it is no younger, if it is older than was wanted; else None.
    """

    known: Known
    problem: str | None = None


class Entries:
    """Knows EMPIAR's entries; see the module for what comes from where.

    Args:
        store: Where they are kept.
        source: Returns what is asked, made when it is first needed; None to ask nobody.
        now: Wall-clock seconds since 1970.
    """

    def __init__(
        self,
        store: EntryStore,
        source: Callable[[], EntrySource] | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._source = source
        self._now = now

    def entry(self, number: int, *, patience: Patience, max_age_s: float = MAX_AGE_S) -> Answer:
        """Return what is known of an entry.

        Raises:
            NotFoundError: There is no such entry.
            ArchiveError: It isn't stored, and can't be had.
            GaveUpError: It isn't stored, and the patience ended.
        """
        stored = self._store.get(number)
        if stored is not None and 0 <= self._now() - stored.fetched_s < max_age_s:
            return Answer(stored)
        try:
            known = self._asked(number, patience)
        except NotFoundError:
            raise
        except (ArchiveError, GaveUpError) as exc:
            if stored is None:
                raise
            return Answer(stored, str(exc))
        self._keep(known)
        return Answer(known)

    def search(self, query: Query, limit: int) -> list[Hit]:
        """Return what fits of what is stored, the best first.

        Raises:
            CacheError: The store can't be read.
        """
        return self._store.search(query, limit)

    def gather(
        self,
        progress: Progress = nobody,
        *,
        max_age_s: float = MAX_AGE_S,
        config: GathererConfig | None = None,
    ) -> Gathered:
        """Fetch all entries that aren't stored, or are older; see `Gatherer.run`."""
        gatherer = Gatherer(self._store, self._source, config or GathererConfig(), self._now)
        return gatherer.run(progress, max_age_s)

    def _asked(self, number: int, patience: Patience) -> Known:
        if self._source is None:
            url = f"EMPIAR-{number}"
            raise OfflineError("not stored, and not to be asked for", url=url)
        return known_from(self._source().entry(number, patience=patience), self._now())

    def _keep(self, known: Known) -> None:
        try:
            self._store.put([known])
        except CacheError as exc:
            # It was asked for once, and can be again.
            logger.info("entries: not stored: %s", exc)


def known_from(fetched: Fetched, now_s: float) -> Known:
    """Return what was fetched at `now_s`, for the store."""
    return Known(fetched.entry, fetched.source, fetched.document, now_s)
