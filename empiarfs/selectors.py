"""Finds the files that selectors mean, where that takes more than their paths.

`empiarfs.core.selectors` is the grammar. Here the tables are read that name files (STAR, mdoc
and `.cs`), and looked for among the names of the archive, in one walk over all places; to find
the mdoc files of a tilt series takes a walk before that, whose listings are known to the
second. Nothing here prints, and nothing knows where a table's bytes come from.

What is held in memory is the names in the tables, and the files of the archive that have one
of those names.

Threading: used from one thread.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from empiarfs.browse import Item
from empiarfs.core.named import Found, NamedFiles
from empiarfs.errors import EmpiarFSError, IsDirectoryError, NoSuchNameError
from empiarfs.formats import FormatError, Window
from empiarfs.formats.cs import files_in_cs
from empiarfs.formats.mdoc import files_in_mdoc
from empiarfs.formats.names import Names
from empiarfs.formats.star import files_in_star

_READERS = {"star": files_in_star, "cs": files_in_cs, "mdoc": files_in_mdoc}
_MOST_SERIES = 10_000
_TOLD = 5

Opener = Callable[[], AbstractContextManager[Window]]


class SelectorError(EmpiarFSError):
    """A selector can't be followed; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where files are looked for.

    Attributes:
        walk: Yields what is there, directory by directory, each time from the beginning.
        opener: Returns what opens the file at a path below the archive's root.
        spell: Returns how a user would write an item.
    """

    walk: Callable[[], Iterator[list[Item]]]
    opener: Callable[[str], Opener]
    spell: Callable[[Item], str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table that names files.

    Attributes:
        spelt: As the user knows it.
        selector: The selector that asks for it; files of any of its tables are meant.
        names: The files that it names.
    """

    spelt: str
    selector: str
    names: Names


@dataclass(frozen=True, slots=True)
class Named:
    """What the tables mean.

    Attributes:
        items: The files of each place, in the order of its walk.
        answers: For each column of each table, what was found of it.
    """

    items: tuple[tuple[Item, ...], ...]
    answers: tuple[tuple[Table, str, Found], ...]


def read_table(spelt: str, selector: str, kind: str, opener: Opener) -> Table:
    """Return a table that names files.

    Args:
        spelt: As the user knows it.
        selector: The selector that asks for it.
        kind: "star", "cs" or "mdoc".
        opener: Opens it.

    Raises:
        SelectorError: It isn't there, or isn't what it should be.
        EmpiarFSError: It can't be read.
    """
    try:
        with opener() as window:
            return Table(spelt, selector, _READERS[kind](window))
    except NoSuchNameError as exc:
        raise SelectorError(f"{spelt}: there is no such file in the archive") from exc
    except IsDirectoryError as exc:
        raise SelectorError(f"{spelt}: is a directory") from exc
    except FormatError as exc:
        raise SelectorError(f"{spelt}: {exc}") from exc


def find_series(wanted: Sequence[str], places: Sequence[Place]) -> list[tuple[int, Item]]:
    """Return the mdoc files of tilt series, each with the number of its place.

    Raises:
        SelectorError: There is none of a series.
    """
    found: list[tuple[int, Item]] = []
    series, left, others = frozenset(wanted), set(wanted), set[str]()
    for number, place in enumerate(places):
        for items in place.walk():
            for item in items:
                names = () if item.is_directory else _series_of(item.name)
                if not series.isdisjoint(names):
                    found.append((number, item))
                    left.difference_update(names)
                elif names and len(others) < _MOST_SERIES:
                    others.add(names[-1])
    if left:
        raise SelectorError(_no_series(min(left), others | (series - left)))
    return found


def _series_of(name: str) -> tuple[str, ...]:
    """Return by which names the series of an mdoc file may be called; none for other files.

    >>> _series_of("TS_006.mrc.mdoc")
    ('TS_006.mrc.mdoc', 'TS_006.mrc', 'TS_006')
    """
    if not name.lower().endswith(".mdoc"):
        return ()
    stem = name[: -len(".mdoc")]
    short, dot, _ = stem.rpartition(".")
    return (name, stem, short) if dot else (name, stem)


def _no_series(name: str, others: set[str]) -> str:
    if not others:
        return f"no mdoc file of the tilt series {name} was found, nor of any other"
    near = difflib.get_close_matches(name, sorted(others), _TOLD, 0.5) or sorted(others)[:_TOLD]
    more = ", …" * (len(others) > len(near))
    return f"no mdoc file of the tilt series {name} was found; there are {', '.join(near)}{more}"


def find_named(
    places: Sequence[Place], tables: Sequence[Table], mdocs: Iterable[tuple[int, Item]] = ()
) -> Named:
    """Return the files that tables name, by one walk over all places.

    Args:
        places: Where to look.
        tables: What names files. Those of one selector are meant together; with several
            selectors, only files that each of them means.
        mdocs: Files that are meant with the tables of tilt series, by place.
    """
    lists = [(table, column) for table in tables for column in table.names.columns]
    files = NamedFiles(table.names.columns[column] for table, column in lists)
    also = {(number, item.path) for number, item in mdocs}
    held: list[list[Item]] = []
    for number, place in enumerate(places):
        held.append([])
        for items in place.walk():
            for item in items:
                if item.is_directory:
                    continue
                if files.note(item.path) or (number, item.path) in also:
                    held[-1].append(item)
    answers = [
        (table, column, found) for (table, column), found in zip(lists, files.found(), strict=True)
    ]
    meant = _meant(answers)
    if also:
        meant.setdefault("tilt-series", set()).update(path for _, path in also)
    kept = set.intersection(*meant.values()) if meant else set()
    chosen = tuple(tuple(item for item in each if item.path in kept) for each in held)
    return Named(chosen, tuple(answers))


def _meant(answers: Sequence[tuple[Table, str, Found]]) -> dict[str, set[str]]:
    """Return which paths each selector means."""
    meant: dict[str, set[str]] = {}
    for table, _, found in answers:
        meant.setdefault(table.selector, set()).update(found.files)
    return meant
