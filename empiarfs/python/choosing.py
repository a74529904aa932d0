"""Finds the files of an entry that are meant, by the selectors of the commands.

What can't be looked into is an error, never a gap. Nothing is asked for but listings, and for
roles and image sets what EMPIAR says of the entry.

Threading: used from one thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from empiarfs.browse import Browser, Item
from empiarfs.catalog.entry_rows import Known
from empiarfs.core.entries.values import Entry
from empiarfs.core.named import NamedFiles
from empiarfs.core.selection import Selection
from empiarfs.core.selectors import Described, Selectors, stated_by
from empiarfs.errors import ConfigError, EmpiarFSError, NoSuchNameError
from empiarfs.formats import FormatError, Window
from empiarfs.mount.entries import PATIENCE_S, known_entries
from empiarfs.patience import Patience
from empiarfs.python.file import opened_file
from empiarfs.python.places import located
from empiarfs.python.session import Live, Session
from empiarfs.selectors import (
    Place,
    SelectorError,
    Table,
    find_named,
    find_series,
    read_table,
)

# What is only an addition is not waited for as long as an answer is.
ADDITION_S = 15.0
"""Seconds that an addition to an answer is waited for."""
# A table of three million particles.
_MOST = 1024**3


def metadata_of(session: Session, number: int, patience_s: float = PATIENCE_S) -> Entry:
    """Return what EMPIAR says of an entry, from the store if it is young enough.

    Raises:
        OSError: There is no such entry, or it can't be had.
    """
    return known_of(session, number, patience_s).entry


def known_of(session: Session, number: int, patience_s: float = PATIENCE_S) -> Known:
    """Return the same with the document that says it; see `metadata_of`."""

    def ask(live: Live) -> Known:
        with known_entries(live.config) as entries:
            answer = entries.entry(number, patience=Patience(patience_s))
        if answer.problem is not None:
            warnings.warn(
                f"what is known of EMPIAR-{number} is not up to date: {answer.problem}",
                stacklevel=2,
            )
        return answer.known

    return session.ask(f"EMPIAR-{number}", ask)


def described(session: Session, number: int, means: Selectors) -> Described:
    """Return what the selectors need to know of the entry.

    Without EMPIAR's description roles are told by names alone, with a warning.

    Raises:
        OSError: An image set is wanted, and there is none, or it isn't known.
    """
    if not means.roles and not means.image_set:
        return Described()
    try:
        entry = metadata_of(session, number, PATIENCE_S if means.image_set else ADDITION_S)
    except FileNotFoundError:
        if means.image_set:
            raise
        return Described()
    except OSError as exc:
        if means.image_set:
            raise
        warnings.warn(f"roles are told by names alone: {exc}", stacklevel=2)
        return Described()
    places = None
    if means.image_set:
        places = tuple(_place(session, entry, nth) for nth in means.image_set)
    return Described({str(number): stated_by(entry.image_sets)}, places)


def _place(session: Session, entry: Entry, nth: int) -> str:
    """Return the directory of an image set, below the archive's root."""

    def ask(live: Live) -> str:
        sets = entry.image_sets
        if not 1 <= nth <= len(sets):
            raise SelectorError(f"{entry.accession} has {len(sets)} image sets, no number {nth}")
        directory = sets[nth - 1].directory
        path = f"{entry.number}/{directory}"
        if not directory:
            raise SelectorError(f"EMPIAR doesn't say where image set {nth} is")
        try:
            live.browser.look(path)
        except NoSuchNameError as exc:
            raise SelectorError(
                f"image set {nth} is said to be in {directory}, which isn't in the archive"
            ) from exc
        return path

    return session.ask(entry.accession, ask)


def tables_of(session: Session, means: Selectors) -> list[Table]:
    """Return the tables that the selectors name, in the archive or on a local disk.

    Raises:
        OSError: One isn't there, or can't be read.
        SelectorError: One isn't what it should be.
    """
    return [
        read_table(word, f"from-{kind}", kind, partial(opened_window, session, word))
        for kind, words in (("star", means.from_star), ("cs", means.from_cs))
        for word in words
    ]


@contextmanager
def opened_window(session: Session, word: str) -> Iterator[Window]:
    """Lend the bytes of a table, in the archive or on a local disk."""
    try:
        session, path = located(word, session)
    except ConfigError:
        # What is no place in the archive is a local file; a pipe would wait for its writer.
        if Path(word).exists() and not Path(word).is_file():
            raise FormatError("is no file") from None
        with Path(word).open("rb") as local:
            yield Window(Path(word).stat().st_size, partial(_local_bytes, local), _MOST)
        return
    with opened_file(session, path) as file:
        yield Window(file.size, lambda offset, size: file.pread(size, offset), _MOST)


def _local_bytes(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise FormatError("became shorter while it was read")
    return data


def matching(
    browser: Browser,
    session: Session,
    root: str,
    selection: Selection,
    means: Selectors,
    known: Described,
    tables: Sequence[Table],
) -> Iterator[str]:
    """Yield the paths below the archive's root of the files that are meant.

    They come in the order in which the archive lists them, directory by directory.

    Args:
        browser: Looks.
        session: Reads the mdoc files of tilt series.
        root: The directory in which they are looked for.
        selection: By names.
        means: By what they are.
        known: What `described` returned.
        tables: What `tables_of` returned.

    Raises:
        EmpiarFSError: A directory can't be looked into, or there is no such tilt series.
    """
    start = browser.look(root)
    skip = len(root) + 1

    def walk() -> Iterator[list[Item]]:
        for _, children in browser.walk(start, lambda item: known.leads_on(item.path), _raise):
            yield children

    lists = walk()
    if means.names_files:
        place = Place(
            walk, lambda path: partial(opened_window, session, path), lambda item: item.path
        )
        lists = iter([_named(place, means, tables)])
    for items in lists:
        for item in items:
            if (
                not item.is_directory
                and selection.names(item.path[skip:], is_directory=False)
                and known.holds(item.path, means.roles)
            ):
                yield item.path


def named_files(session: Session, root: str, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return which files below a directory of the archive are meant by names in a table.

    Raises:
        OSError: A directory can't be looked into.
    """

    def ask(live: Live) -> dict[str, tuple[str, ...]]:
        files, browser = NamedFiles([names]), live.browser
        for _, items in browser.walk(browser.look(root), lambda item: True, _raise):
            for item in items:
                if not item.is_directory:
                    files.note(item.path)
        return files.of_each()[0]

    return session.ask(root, ask)


def _named(place: Place, means: Selectors, tables: Sequence[Table]) -> list[Item]:
    """Return the files that tables name; of what isn't there, a warning tells."""
    series = find_series(means.tilt_series, [place]) if means.tilt_series else []
    mdocs = [
        read_table(item.path, "tilt-series", "mdoc", place.opener(item.path)) for _, item in series
    ]
    named = find_named([place], [*tables, *mdocs], series)
    for table, column, found in named.answers:
        if found.missing:
            more = f" and {len(found.missing) - 1} more" * (len(found.missing) > 1)
            warnings.warn(
                f"{table.spelt}: {column} names {found.missing[0]}{more}, "
                "which the entry doesn't have",
                stacklevel=2,
            )
    return list(named.items[0])


def _raise(item: Item, error: EmpiarFSError) -> None:
    raise error
