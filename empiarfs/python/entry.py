"""An entry of EMPIAR: what it says of itself, and its files by what they are.

Nothing is asked for before an answer is wanted; what was asked is kept.

Threading: an entry and its files may be shared; two threads that ask first ask both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import overload

from empiarfs.core.entries.values import Entry, ImageSet
from empiarfs.core.samples import sample
from empiarfs.core.selection import Selection, sorted_globs
from empiarfs.core.selectors import MOST, Selectors, parse_roles
from empiarfs.core.targets import entry_number
from empiarfs.errors import ConfigError, EmpiarFSError
from empiarfs.python.choosing import described, matching, metadata_of, tables_of
from empiarfs.python.failures import as_python_error
from empiarfs.python.places import located
from empiarfs.python.session import Live, Session, default_session

Word = str | os.PathLike[str]


class ArchiveEntry:
    """One entry. Made by `empiarfs.entry`.

    Attributes:
        number: Of the accession code, and name of the entry's directory.
    """

    def __init__(self, session: Session, number: int) -> None:
        self.number = number
        self._session = session
        self._metadata: Entry | None = None

    def __repr__(self) -> str:
        return f"<empiarfs.ArchiveEntry {self.accession}>"

    @property
    def accession(self) -> str:
        """The accession code, such as "EMPIAR-10934"."""
        return f"EMPIAR-{self.number}"

    @property
    def metadata(self) -> Entry:
        """All that EMPIAR says of it.

        Raises:
            OSError: There is no such entry, or it can't be had.
        """
        if self._metadata is None:
            self._metadata = metadata_of(self._session, self.number)
        return self._metadata

    @property
    def title(self) -> str:
        """The title; see `metadata`."""
        return self.metadata.title

    @property
    def doi(self) -> str:
        """The DOI, such as "10.6019/EMPIAR-10934"; see `metadata`."""
        return self.metadata.doi

    @property
    def image_sets(self) -> tuple[ImageSet, ...]:
        """The image sets, as EMPIAR orders them; see `metadata`."""
        return self.metadata.image_sets

    def files(
        self,
        *globs: str,
        role: str | Iterable[str] = (),
        image_set: int | Iterable[int] = (),
        tilt_series: str | Iterable[str] = (),
        from_star: Word | Iterable[Word] = (),
        from_cs: Word | Iterable[Word] = (),
        ignore_case: bool = False,
    ) -> Files:
        """Return which files are meant; they are looked for when they are needed.

        Args:
            globs: Patterns of which one has to match: the name, or with a slash the path below
                the entry, where `**` stands for any number of directories. All if there is none.
            role: What files are for: "movies", "micrographs", "particles", "gain", …; one of
                several.
            image_set: Numbers of image sets, from 1, in one of which they lie.
            tilt_series: Names of tilt series: their mdoc files, and what those name.
            from_star: Tables of RELION, in the archive or on a local disk, that name files.
            from_cs: Tables of cryoSPARC, likewise.
            ignore_case: For the patterns.

        Raises:
            ValueError: It is no role, no number of an image set, or no pattern.
        """
        names, path_globs = sorted_globs(globs, ignore_case=ignore_case)
        numbers = (image_set,) if isinstance(image_set, int) else tuple(image_set)
        if any(number < 1 for number in numbers):
            raise ValueError("image sets are counted from 1")
        means = Selectors(
            roles=parse_roles((role,) if isinstance(role, str) else role),
            image_set=numbers,
            tilt_series=_words(tilt_series),
            from_star=_words(from_star),
            from_cs=_words(from_cs),
        )
        selection = Selection(globs=names, path_globs=path_globs, kind="f")
        return Files(lambda number: self._find(selection, means, number))

    def _find(self, selection: Selection, means: Selectors, number: int | None) -> tuple[str, ...]:
        """Return the paths of the first files that are meant, or of all."""
        known = described(self._session, self.number, means)
        try:
            tables = tables_of(self._session, means)
        except EmpiarFSError as exc:
            raise as_python_error(exc, self.accession) from exc
        root = str(self.number)

        def ask(live: Live) -> tuple[str, ...]:
            found = matching(live.browser, self._session, root, selection, means, known, tables)
            return tuple(islice(found, number))

        return self._session.ask(root, ask)


def _words(given: Word | Iterable[Word]) -> tuple[str, ...]:
    words = (given,) if isinstance(given, (str, os.PathLike)) else tuple(given)
    return tuple(os.fspath(word) for word in words)


class Files(Sequence[str]):
    """Paths of files below the archive's root, as `empiarfs.open` takes them.

    The order is that of the archive's listings, directory by directory. To ask for how many
    there are, for one, or for all has them looked for, once; what is wrong then is an OSError.
    Pickled they are those that were found.
    """

    def __init__(self, find: Callable[[int | None], tuple[str, ...]]) -> None:
        # Returns the first so many of them, or all.
        self._find = find
        self._found: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        known = "" if self._found is None else f", {len(self._found)} of them"
        return f"<empiarfs.Files{known}>"

    def first(self, number: int) -> Files:
        """Return the first `number` of them, or all if there are fewer.

        No more listings are fetched than that takes.
        """
        _check(number)
        return Files(lambda _: self._first(number))

    def sample(self, number: int, seed: int = 0) -> Files:
        """Return `number` of them by chance, or all if there are fewer.

        The same seed gives the same files, on any machine, as `empiarfs find --sample`.
        """
        _check(number)
        return Files(lambda _: tuple(sample(self._paths, number, seed, str)))

    def _first(self, number: int) -> tuple[str, ...]:
        return self._find(number)[:number] if self._found is None else self._found[:number]

    @property
    def _paths(self) -> tuple[str, ...]:
        if self._found is None:
            self._found = self._find(None)
        return self._found

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        return self._paths[index]

    def __contains__(self, value: object) -> bool:
        return value in self._paths

    def __reduce__(self) -> tuple[object, ...]:
        return _listed, (self._paths,)


def _listed(paths: tuple[str, ...]) -> Files:
    """Return files that were found in another process."""
    return Files(lambda number: paths[:number])


def _check(number: int) -> None:
    if not 1 <= number <= MOST:
        raise ValueError(f"{number} isn't between 1 and {MOST}")


def entry(number: int | str) -> ArchiveEntry:
    """Return an entry; nothing is asked for yet.

    Args:
        number: 10934, "EMPIAR-10934", its DOI, or anything else that `empiarfs.open` takes.

    Raises:
        ConfigError: It names no entry.
    """
    if isinstance(number, int):
        return ArchiveEntry(default_session(), number)
    session, path = located(number)
    found = entry_number(path)
    if found is None:
        raise ConfigError(f"{number!r} is no entry; write it as EMPIAR-10934")
    return ArchiveEntry(session, found)
