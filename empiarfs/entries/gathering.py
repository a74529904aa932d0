"""Gathers the descriptions of all entries, a hundred at a time, one request after the other.

Which entries there are is what the archive's root lists; if it can't be had, numbers are tried
by the hundred from EMPIAR's first on, until five hundred in a row bring nothing. Each batch is
stored as it comes, so that whoever breaks off keeps what has come, and the next one goes on
there. An answer that can't be read is asked for in halves, until the entry is alone whose
description is broken; that one is left out.

Threading: one thread at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from empiarfs.catalog.entry_rows import Known
from empiarfs.catalog.entry_store import EntryStore
from empiarfs.entries.source import EntrySource
from empiarfs.errors import ArchiveError, BadResponseError, GaveUpError
from empiarfs.patience import Patience

logger = logging.getLogger(__name__)

# Called with how many of how many entries are known; the second is None if not known.
Progress = Callable[[int, "int | None"], None]

_FIRST = 10_000
_LISTED_AGAIN_S = 86400.0
_EMPTY_IN_A_ROW = 5


def nobody(done: int, total: int | None) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class GathererConfig:
    """How entries are gathered.

    Attributes:
        batch: Numbers that one request asks for.
        batch_s: How long one batch may take, in seconds, repeats included.
        listing_s: How long the archive's root listing may take.
        pause_s: Pause between two batches.
    """

    # A mean description has some 10 KB, so this is 1 MB and, on a slow link, 10 s.
    batch: int = 100
    batch_s: float = 120.0
    listing_s: float = 60.0
    # The API works for each of them; nobody waits for a whole catalog by the second.
    pause_s: float = 0.25


@dataclass(slots=True)
class Gathered:
    """How it went.

    Attributes:
        fetched: Descriptions that came.
        broken: Numbers of entries whose descriptions can't be read.
        problem: Why it ended early, or None.
    """

    fetched: int = 0
    broken: list[int] = field(default_factory=list)
    problem: str | None = None


class Gatherer:
    """Fetches what the store lacks.

    Args:
        store: What is completed.
        source: Returns what is asked; None to ask nobody.
        config: How.
        now: Wall-clock seconds since 1970.
    """

    def __init__(
        self,
        store: EntryStore,
        source: Callable[[], EntrySource] | None,
        config: GathererConfig,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._source = source
        self._config = config
        self._now = now
        self._result = Gathered()

    def run(self, progress: Progress, max_age_s: float) -> Gathered:
        """Fetch what is not stored, or was fetched more than `max_age_s` ago.

        An archive that can't be reached ends it early, with `problem` saying why.

        Raises:
            CacheError: What came can't be stored.
            InterruptedCallError: The source was closed.
        """
        if self._source is None:
            return self._result
        try:
            numbers = self._numbers(max_age_s)
            if numbers is None:
                self._try_all(progress, max_age_s)
            else:
                self._fetch_all(numbers, progress, max_age_s)
        except (ArchiveError, GaveUpError) as exc:
            self._result.problem = str(exc)
        return self._result

    def is_due(self, max_age_s: float) -> bool:
        """Tell whether `run` would ask for anything.

        Raises:
            CacheError: The store can't be read.
        """
        known = self._store.numbers()
        if known is None or not self._is_young(known[1], max_age_s):
            return True
        return bool(self._lacking(known[0], max_age_s))

    def _numbers(self, max_age_s: float) -> list[int] | None:
        """Return which entries there are, or None if nobody says."""
        known = self._store.numbers()
        if known is not None and self._is_young(known[1], min(max_age_s, _LISTED_AGAIN_S)):
            return known[0]
        try:
            numbers = self._asked().numbers(patience=Patience(self._config.listing_s))
        except (ArchiveError, GaveUpError) as exc:
            logger.info("entries: which there are isn't known: %s", exc)
            return None if known is None else known[0]
        if numbers:
            self._store.put_numbers(numbers, self._now())
        return numbers or None

    def _fetch_all(self, numbers: list[int], progress: Progress, max_age_s: float) -> None:
        lacking = self._lacking(numbers, max_age_s)
        done = len(numbers) - len(lacking)
        progress(done, len(numbers))
        for number, batch in enumerate(_batches(lacking, self._config.batch)):
            self._pause(after=number)
            self._fetch(batch)
            done += len(batch)
            progress(done, len(numbers))

    def _try_all(self, progress: Progress, max_age_s: float) -> None:
        empty = asked = 0
        first = _FIRST
        while empty < _EMPTY_IN_A_ROW:
            hundred = range(first, first + self._config.batch)
            if self._lacking(list(hundred), max_age_s):
                self._pause(after=asked)
                self._fetch(list(hundred))
                asked += 1
            fetched = self._store.count_between(hundred[0], hundred[-1])
            empty = 0 if fetched else empty + 1
            first += self._config.batch
            progress(self._store.count(), None)
        if not self._result.broken:
            # Else the archive would be asked for its list again at each search.
            self._store.put_numbers(self._store.known_numbers(), self._now())

    def _pause(self, *, after: int) -> None:
        """Leave the API alone for a moment, after so many batches; not before the first."""
        if after:
            time.sleep(self._config.pause_s)

    def _fetch(self, numbers: list[int]) -> None:
        """Fetch and store one batch, in halves if the answer can't be read."""
        try:
            found = self._asked().entries(
                _as_question(numbers), patience=Patience(self._config.batch_s)
            )
        except BadResponseError as exc:
            if len(numbers) == 1:
                logger.info("entries: EMPIAR-%d is left out: %s", numbers[0], exc)
                self._result.broken.append(numbers[0])
                self._store.note_absent(numbers, self._now())
                return
            if self._is_hopeless(numbers):
                raise
            middle = len(numbers) // 2
            self._fetch(numbers[:middle])
            self._fetch(numbers[middle:])
            return
        now_s = self._now()
        self._store.put(Known(each.entry, each.source, each.document, now_s) for each in found)
        missing = set(numbers) - {each.entry.number for each in found}
        self._store.note_absent(sorted(missing), now_s)
        self._result.fetched += len(found)

    def _is_hopeless(self, numbers: list[int]) -> bool:
        """Tell whether halves would only multiply the requests: nothing has come so far."""
        return not self._result.fetched and len(self._result.broken) >= 2

    def _lacking(self, numbers: list[int], max_age_s: float) -> list[int]:
        fetched = self._store.fetched()
        return [
            number
            for number in numbers
            if number not in fetched or not self._is_young(fetched[number], max_age_s)
        ]

    def _is_young(self, at_s: float, max_age_s: float) -> bool:
        # A clock that was ahead must not make it young for ever.
        return 0 <= self._now() - at_s < max_age_s

    def _asked(self) -> EntrySource:
        assert self._source is not None
        return self._source()


def _batches(numbers: list[int], most: int) -> Iterator[list[int]]:
    for start in range(0, len(numbers), most):
        yield numbers[start : start + most]


def _as_question(numbers: list[int]) -> range | list[int]:
    """Return a range if most of it is wanted, since that is what the API is made for."""
    span = range(numbers[0], numbers[-1] + 1)
    return span if len(numbers) > 1 and len(span) <= 2 * len(numbers) else numbers
