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
from dataclasses import asdict, dataclass

from empiarfs.catalog.entry_outlines import Outline
from empiarfs.catalog.entry_rows import Known
from empiarfs.catalog.entry_search import Hit, Kinds
from empiarfs.catalog.entry_store import EntryStore
from empiarfs.core.entries.acquisition import Acquisition, acquisition_from_header
from empiarfs.core.entries.from_json import UnreadableError
from empiarfs.core.entries.names import page_url
from empiarfs.core.entries.query import Query
from empiarfs.core.entries.values import Entry, Fetched
from empiarfs.entries.gathering import Gathered, Gatherer, GathererConfig, Progress, nobody
from empiarfs.entries.source import EntrySource
from empiarfs.errors import ArchiveError, CacheError, GaveUpError, NotFoundError, OfflineError
from empiarfs.patience import Patience

logger = logging.getLogger(__name__)

# Released entries practically never change; new ones come by the dozen a week.
MAX_AGE_S = 7 * 86400.0
# An archive that can't be reached takes up to half a minute to find that out.
_TRY_AGAIN_S = 600.0
# Some entries name dozens of maps, of the same sessions.
_MOST_HEADERS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an entry.

    Attributes:
        known: The description.
        problem: Why it is no younger, if it is older than was wanted; else None.
    """

    known: Known
    problem: str | None = None

    def to_json(self) -> dict[str, object]:
        """Return it as values that JSON can hold."""
        entry = self.known.entry
        return {
            "type": "entry",
            "accession": entry.accession,
            "url": page_url(entry.number),
            **asdict(entry),
            "source": self.known.source,
            "fetched_s": self.known.fetched_s,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class HowMany:
    """How much of EMPIAR is known.

    Attributes:
        known: Entries whose description is stored.
        listed: Entries that the archive has; None if it never said.
        listed_s: When it said so, in wall-clock seconds since 1970, or None.
    """

    known: int
    listed: int | None
    listed_s: float | None


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
        young = self.at_hand(number, max_age_s=max_age_s)
        if young is not None:
            return Answer(young)
        stored = self._store.get(number)
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

    def at_hand(self, number: int, *, max_age_s: float = MAX_AGE_S) -> Known | None:
        """Return what `entry` would without asking, or None where it would ask first."""
        stored = self._store.get(number)
        if stored is not None and 0 <= self._now() - stored.fetched_s < max_age_s:
            return stored
        return None

    def acquisitions(
        self, entry: Entry, *, patience: Patience, max_age_s: float = MAX_AGE_S
    ) -> list[Acquisition]:
        """Return how the related maps were recorded, as far as that is known or can be had.

        What can't is left out: it is no part of the entry.
        """
        names = entry.references.emdb[:_MOST_HEADERS]
        found = (self._acquisition(name, patience, max_age_s) for name in names)
        return [each for each in found if each is not None]

    def _acquisition(self, emdb: str, patience: Patience, max_age_s: float) -> Acquisition | None:
        stored = self._store.header(emdb)
        document = None if stored is None else stored[0]
        is_young = stored is not None and 0 <= self._now() - stored[1] < max_age_s
        if not is_young and self._source is not None and patience.remaining_s():
            try:
                document = self._source().header(emdb, patience=patience)
                self._store.put_header(emdb, document, self._now())
            except (ArchiveError, GaveUpError, CacheError) as exc:
                logger.info("entries: the header of %s: %s", emdb, exc)
        try:
            return None if document is None else acquisition_from_header(emdb, document)
        except UnreadableError:
            return None

    def search(self, query: Query, limit: int) -> list[Hit]:
        """Return what fits of what is stored, the best first.

        Raises:
            CacheError: The store can't be read.
        """
        return self._store.search(query, limit)

    def outlines(self) -> list[Outline]:
        """Return by which names each stored entry may be looked for, by number.

        Raises:
            CacheError: The store can't be read.
        """
        return self._store.outlines()

    def how_many(self) -> HowMany:
        """Return how much of EMPIAR is known.

        Raises:
            CacheError: The store can't be read.
        """
        listed = self._store.numbers()
        return HowMany(
            self._store.count(),
            None if listed is None else len(listed[0]),
            None if listed is None else listed[1],
        )

    def is_due(self, max_age_s: float = MAX_AGE_S) -> bool:
        """Tell whether `gather` would ask for anything.

        Raises:
            CacheError: The store can't be read.
        """
        return self._gatherer(GathererConfig()).is_due(max_age_s)

    def kinds(self) -> Kinds:
        """Return which types, formats and categories occur.

        Raises:
            CacheError: The store can't be read.
        """
        return self._store.kinds()

    def gather(
        self,
        progress: Progress = nobody,
        *,
        max_age_s: float = MAX_AGE_S,
        config: GathererConfig | None = None,
    ) -> Gathered:
        """Fetch all entries that aren't stored, or are older; see `Gatherer.run`."""
        gathered = self._gatherer(config or GathererConfig()).run(progress, max_age_s)
        if gathered.problem is not None:
            self._store.note_failure(self._now())
        return gathered

    def failed_ago_s(self) -> float | None:
        """Return how long ago `gather` failed, if so lately that it isn't worth another try.

        Raises:
            CacheError: The store can't be read.
        """
        failed_s = self._store.failed_s()
        if failed_s is None or not self._store.count():
            return None
        ago_s = self._now() - failed_s
        return ago_s if 0 <= ago_s < _TRY_AGAIN_S else None

    def _gatherer(self, config: GathererConfig) -> Gatherer:
        return Gatherer(self._store, self._source, config, self._now)

    def _asked(self, number: int, patience: Patience) -> Known:
        if self._source is None:
            url = f"EMPIAR-{number}"
            raise OfflineError("not known here, and nobody is to be asked", url=url)
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
