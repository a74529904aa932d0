"""Which files are meant: one, or some of a directory.

Of a directory, those are taken that may hold images by their names; what is for something else
(tables, coordinates, text) isn't looked at.

Threading: used from one thread.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from empiarfs.browse import Browser, Item
from empiarfs.core import paths
from empiarfs.core.entries.values import Entry
from empiarfs.core.globs import path_glob
from empiarfs.core.roles import role_of
from empiarfs.core.samples import sample
from empiarfs.core.selectors import Described, Selectors, stated_by
from empiarfs.core.targets import entry_number
from empiarfs.errors import ConfigError, EmpiarFSError, NoSuchNameError
from empiarfs.python.choosing import described, metadata_of
from empiarfs.python.places import located
from empiarfs.python.session import Live, Session

_IMAGES = (
    ".mrc", ".mrcs", ".map", ".ccp4", ".st", ".rec", ".ali", ".preali", ".tif", ".tiff", ".eer",
    ".gain", ".dm3", ".dm4", ".h5", ".hdf", ".hdf5", ".em", ".spi", ".img", ".png", ".jpg",
)  # fmt: skip
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_NO_IMAGES = ("metadata", "picks")
# What is only an addition to a picture isn't waited for for long.
_ADDITION_S = 5.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be shown.

    Attributes:
        files: By which settings, and at which path below the archive's root.
        count: Of how many.
        is_single: A file was named, and no other; its picture stands alone.
        failed: Words of several that couldn't be looked up, and why.
    """

    files: tuple[tuple[Session, str], ...]
    count: int
    is_single: bool
    failed: tuple[tuple[str, OSError], ...] = ()


def chosen(
    session: Session,
    words: Sequence[str | os.PathLike[str]],
    means: Selectors,
    number: int,
    seed: int,
) -> Chosen:
    """Return which files are meant by words.

    Args:
        session: Whose archive is meant by words that name no other.
        words: Targets: files, directories, entries, paths with wildcards.
        means: Roles and image sets.
        number: How many files are to be shown at most.
        seed: Which, if there are more.

    Raises:
        OSError: What is meant isn't there, or can't be listed; of several words, all of them.
        ValueError: There is no file that may hold images.
        ConfigError: A word names nothing that could be in the archive, or all of it.
    """
    found: list[tuple[Session, str]] = []
    failed: list[tuple[str, OSError]] = []
    is_single = len(words) == 1
    for word in words:
        place, path = located(word, session)
        if not path:
            raise ConfigError("that is the whole archive; name an entry, such as EMPIAR-10934")
        try:
            files, is_file = _files_at(place, path, means)
        except OSError as exc:
            failed.append((os.fspath(word), exc))
            continue
        is_single = is_single and is_file
        found += [(place, each) for each in files]
    if failed and not found:
        raise failed[0][1]
    if not found:
        raise ValueError(f"{os.fspath(words[0])}: no file that may hold images")
    some = sample(dict.fromkeys(found), number, seed, lambda each: each[1])
    return Chosen(tuple(some), len(found), is_single, tuple(failed))


def _files_at(session: Session, path: str, means: Selectors) -> tuple[list[str], bool]:
    """Return the files that a path means, and whether it is a file by itself."""
    number = entry_number(path)
    known = Described() if number is None else described(session, number, means)

    def ask(live: Live) -> tuple[list[str], bool]:
        browser = live.browser
        try:
            item = browser.look(path)
        except NoSuchNameError:
            if path_glob(path) is None:
                raise
            return list(_matching(browser, path)), False
        if not item.is_directory:
            return [item.path], True
        return list(_below(browser, item, means, known)), False

    return session.ask(path, ask)


def _matching(browser: Browser, path: str) -> Iterator[str]:
    """Yield the files that a path with wildcards means; those in directories it means, too."""
    glob = path_glob(path)
    assert glob is not None
    skip = len(glob.base) + bool(glob.base)
    if not glob.base:
        raise ConfigError("that is the whole archive; name an entry, such as EMPIAR-10934")
    start = browser.look(glob.base)
    for _, items in browser.walk(
        start, lambda item: glob.may_lead_to_one(item.path[skip:]), _raise
    ):
        for item in items:
            if glob.matches(item.path[skip:]) and not item.is_directory:
                yield item.path


def _below(browser: Browser, start: Item, means: Selectors, known: Described) -> Iterator[str]:
    for _, items in browser.walk(start, lambda item: known.leads_on(item.path), _raise):
        for item in items:
            if item.is_directory or not known.holds(item.path, means.roles):
                continue
            if means.roles or may_be_image(item.path):
                yield item.path


def may_be_image(path: str) -> bool:
    """Tell by its name whether a file may hold images.

    >>> may_be_image("10934/data/x.tif.bz2"), may_be_image("10934/data/x.star")
    (True, False)
    """
    name = paths.split(path)[1].lower()
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return name.endswith(_IMAGES) and role_of(path.partition("/")[2]) not in _NO_IMAGES


def _raise(item: Item, error: EmpiarFSError) -> None:
    raise error


class Told:
    """What EMPIAR says of files: their role and pixel size. Asked for once for each entry."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Session, int], Entry | None] = {}

    def role(self, session: Session, path: str) -> str:
        """Return what a file is for, one of `empiarfs.core.roles.ROLES`."""
        entry = self._entry(session, path)
        sets = () if entry is None else stated_by(entry.image_sets)
        return role_of(path.partition("/")[2], sets)

    def pixel_size(self, session: Session, path: str, columns: int) -> float | None:
        """Return Å of a pixel, for images of that width; None if EMPIAR doesn't say."""
        entry = self._entry(session, path)
        if entry is None:
            return None
        below, best, found = path.partition("/")[2], -1, None
        for each in entry.image_sets:
            fits = each.image_width in (None, columns) and each.pixel_width is not None
            lies_in = not each.directory or below.startswith(f"{each.directory}/")
            if fits and lies_in and len(each.directory) > best:
                best, found = len(each.directory), each.pixel_width
        return found

    def _entry(self, session: Session, path: str) -> Entry | None:
        number = entry_number(path)
        if number is None:
            return None
        if (session, number) not in self._entries:
            with warnings.catch_warnings():
                # How old that is says nothing of a picture.
                warnings.simplefilter("ignore")
                try:
                    entry = metadata_of(session, number, _ADDITION_S)
                except OSError:
                    entry = None
            self._entries[session, number] = entry
        return self._entries[session, number]
