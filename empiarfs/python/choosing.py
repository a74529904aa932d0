"""Finds the files of an entry that are meant, by the selectors of the commands.

What can't be looked into is an error, never a gap. Nothing is asked for but listings, and for
roles and image sets what EMPIAR says of the entry.

Threading: used from one thread.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from empiarfs.browse import Browser, Item
from empiarfs.core.entries.values import Entry
from empiarfs.core.selection import Selection
from empiarfs.core.selectors import Described, Selectors, stated_by
from empiarfs.errors import EmpiarFSError, NoSuchNameError
from empiarfs.mount.entries import PATIENCE_S, known_entries
from empiarfs.patience import Patience
from empiarfs.python.session import Live, Session
from empiarfs.selectors import SelectorError

# What is only an addition is not waited for as long as an answer is.
_ADDITION_S = 15.0


def metadata_of(session: Session, number: int, patience_s: float = PATIENCE_S) -> Entry:
    """Return what EMPIAR says of an entry, from the store if it is young enough.

    Raises:
        OSError: There is no such entry, or it can't be had.
    """

    def ask(live: Live) -> Entry:
        with known_entries(live.config) as entries:
            answer = entries.entry(number, patience=Patience(patience_s))
        if answer.problem is not None:
            warnings.warn(
                f"what is known of EMPIAR-{number} is not up to date: {answer.problem}",
                stacklevel=2,
            )
        return answer.known.entry

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
        entry = metadata_of(session, number, PATIENCE_S if means.image_set else _ADDITION_S)
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


def matching(
    browser: Browser, root: str, selection: Selection, means: Selectors, known: Described
) -> Iterator[str]:
    """Yield the paths below the archive's root of the files that are meant.

    They come in the order in which the archive lists them, directory by directory.

    Args:
        browser: Looks.
        root: The directory in which they are looked for.
        selection: By names.
        means: By what they are.
        known: What `described` returned.

    Raises:
        EmpiarFSError: A directory can't be looked into.
    """
    start = browser.look(root)
    skip = len(root) + 1

    def enters(item: Item) -> bool:
        return known.leads_on(item.path)

    for _, children in browser.walk(start, enters, _raise):
        for item in children:
            if (
                not item.is_directory
                and selection.names(item.path[skip:], is_directory=False)
                and known.holds(item.path, means.roles)
            ):
                yield item.path


def _raise(item: Item, error: EmpiarFSError) -> None:
    raise error
