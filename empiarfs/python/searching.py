"""Finds entries by words and filters, as `empiarfs search` does.

What EMPIAR says of all entries is fetched at the first search, which takes a minute or two, and
again when it is a week old; it is kept in the cache directory, for commands and mounts, too. A
search that is broken off there goes on where it was, the next time.

Threading: no state; what was found never changes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from empiarfs.catalog.entry_search import Hit
from empiarfs.config import parse_size
from empiarfs.core.entries import query, tidy
from empiarfs.core.entries.names import page_url
from empiarfs.entries import Entries
from empiarfs.entries.asking import MAX_AGE_S
from empiarfs.errors import CacheError
from empiarfs.mount.entries import known_entries
from empiarfs.python.entry import ArchiveEntry
from empiarfs.python.session import Live, Session, default_session

_MOST = 100_000
_LONGEST_LINE = 100


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that fits, as far as lists of entries tell of it.

    Attributes:
        number: Of the accession code.
        title: Its title.
        released: As "2022-02-07", or None.
        size: Bytes, as exact as EMPIAR says; None if it doesn't.
        size_text: The same in EMPIAR's words.
        experiment_type: In EMPIAR's words, such as "EMDB".
        session: By which it was found.
    """

    number: int
    title: str
    released: str | None
    size: int | None
    size_text: str
    experiment_type: str
    session: Session

    def __repr__(self) -> str:
        return f"<empiarfs.Found {self.accession}: {self.title}>"

    @property
    def accession(self) -> str:
        """The accession code, such as "EMPIAR-10934"."""
        return f"EMPIAR-{self.number}"

    @property
    def url(self) -> str:
        """Its page."""
        return page_url(self.number)

    @property
    def entry(self) -> ArchiveEntry:
        """The entry, of which nothing more is asked for yet."""
        return ArchiveEntry(self.session, self.number)


class SearchResult(Sequence[Found]):
    """What was found, the best first; notebooks show it as a table.

    Attributes:
        known: How many entries were searched.
        listed: How many the archive has; None if it never said.
        problem: Why there is no more, or nothing younger, or None.
    """

    def __init__(
        self, found: tuple[Found, ...], known: int, listed: int | None, problem: str | None
    ) -> None:
        self._found = found
        self.known = known
        self.listed = listed
        self.problem = problem

    def __repr__(self) -> str:
        if not self._found:
            return f"none of {self.known} entries fits"
        rows = [
            (each.accession, each.released or "-", each.size_text or "-", each.title)
            for each in self._found
        ]
        one, two, three = (max(map(len, each)) for each in list(zip(*rows, strict=True))[:3])
        return "\n".join(
            _cut(f"{code:<{one}}  {released:<{two}}  {size:>{three}}  {title}")
            for code, released, size, title in rows
        )

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Found]:
        return iter(self._found)

    @overload
    def __getitem__(self, index: int) -> Found: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Found, ...]: ...
    def __getitem__(self, index: int | slice) -> Found | tuple[Found, ...]:
        return self._found[index]


def search(
    *words: str,
    emdb: str | None = None,
    experiment_type: str | None = None,
    data_format: str | None = None,
    category: str | None = None,
    min_size: int | str | None = None,
    max_size: int | str | None = None,
    released: str | None = None,
    pixel: str | float | None = None,
    limit: int = 50,
    offline: bool = False,
    refresh: bool = False,
) -> SearchResult:
    """Return the entries in which all words occur, and which fit all filters.

    The best come first; without words, the last released.

    Args:
        words: Each must occur in what EMPIAR says of the entry, or begin a word there.
        emdb: A related entry of EMDB, as "EMD-12602".
        experiment_type: Such as "EMDB" or "FIB-SEM".
        data_format: Of an image set, such as "EER", "TIFF", "MRC".
        category: Of an image set, or a part of it, such as "tilt series".
        min_size: Bytes at least, or such as "500G".
        max_size: Bytes at most.
        released: When: "2024", "2024-01..", "2022-03..2023-06".
        pixel: Of an image set, in Å: 1.06, "0.5..1.2".
        limit: At most so many.
        offline: Ask nobody; search what is known here.
        refresh: Ask for all entries, however young what is known is.

    Raises:
        ValueError: A filter isn't written so.
        OSError: Nothing is known and nothing can be had.
        ConfigError: The cache directory can't be used.
    """
    if not 1 <= limit <= _MOST:
        raise ValueError(f"limit is {limit}, and has to be from 1 to {_MOST}")
    if offline and refresh:
        raise ValueError("offline and refresh contradict each other")
    wanted = query.Query(
        words=tuple(word for each in words if (word := tidy.text_of(each))),
        emdb=None if emdb is None else query.parse_emdb(emdb),
        experiment_type=experiment_type,
        data_format=data_format,
        category=category,
        min_size=None if min_size is None else parse_size(str(min_size), least=0),
        max_size=None if max_size is None else parse_size(str(max_size), least=0),
        released=None if released is None else query.parse_dates(released),
        pixel=None if pixel is None else query.parse_numbers(str(pixel)),
    )
    session = default_session()

    def ask(live: Live) -> SearchResult:
        with known_entries(live.config, offline=offline) as entries:
            problem = None if offline else _completed(entries, refresh=refresh)
            return _result(session, entries, wanted, limit, problem)

    result = session.ask("EMPIAR", ask)
    if result.problem is not None:
        warnings.warn(f"searched {result.known} entries: {result.problem}", stacklevel=2)
    return result


def _result(
    session: Session, entries: Entries, wanted: query.Query, limit: int, problem: str | None
) -> SearchResult:
    how_many = entries.how_many()
    if not how_many.known:
        why = problem or "a search that isn't offline would ask for them"
        raise CacheError(f"nothing is known of EMPIAR's entries here: {why}")
    hits = entries.search(wanted, limit)
    found = tuple(_found(session, hit) for hit in hits)
    return SearchResult(found, how_many.known, how_many.listed, problem)


def _found(session: Session, hit: Hit) -> Found:
    return Found(
        hit.number,
        hit.title,
        hit.release_date,
        hit.size,
        hit.size_text,
        hit.experiment_type,
        session,
    )


def _completed(entries: Entries, *, refresh: bool) -> str | None:
    """Fetch what is due, and return why not all of it could be, or None."""
    max_age_s = 0.0 if refresh else MAX_AGE_S
    if not entries.is_due(max_age_s):
        return None
    failed_ago_s = None if refresh else entries.failed_ago_s()
    if failed_ago_s is not None:
        return f"EMPIAR didn't answer {failed_ago_s / 60:.0f} minutes ago; refresh=True asks again"
    return entries.gather(max_age_s=max_age_s).problem


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"
