"""Looks around in the archive for commands: names, directories, many exact sizes.

It asks the tree (`empiarfs.tree`) as a mount does, so what it learns is in the catalog for
all mounts and commands. Nothing is opened or read.

What is held in memory is one directory at a time, apart from what the tree keeps within its
own bound, and the names of directories that are still to be visited.

Threading: used from one thread; sizes and listings are fetched ahead by the tree's own.
"""

from __future__ import annotations

import calendar
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from empiarfs.core import paths
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.errors import EmpiarFSError, GaveUpError, NotDirectoryError, OfflineError
from empiarfs.patience import Patience
from empiarfs.tree import Directory, Tree

# Sizes asked for together: four seconds' worth from afar, and the next are asked for while
# these are printed.
_BATCH = 1_000
# As many as leave most of the connections to sizes.
_LISTINGS_AHEAD = 4
# The kernel's limit for a path.
_LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True)
class Item:
    """Something in the archive.

    Attributes:
        path: Below the archive's root; "" for the root.
        is_directory: Whether it is a directory; else a file.
        size_text: The listing's rounded size, or "".
        modified_text: The listing's minute, `YYYY-MM-DD HH:MM`, or "".
    """

    path: str
    is_directory: bool
    size_text: str = ""
    modified_text: str = ""

    @property
    def name(self) -> str:
        """The last component of the path."""
        return paths.split(self.path)[1]

    @property
    def listed_s(self) -> int | None:
        """The listing's minute in seconds since 1970, taken as UTC; None if it shows none."""
        try:
            return calendar.timegm(time.strptime(self.modified_text, "%Y-%m-%d %H:%M"))
        except ValueError:
            return None


# Tells of a file's name whether the file is wanted.
Wanted = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Exact:
    """A file's size and time, or why they can't be had.

    Attributes:
        item: The file, or a directory.
        version: None for a directory, and after a failure.
        error: The failure, or None.
    """

    item: Item
    version: FileVersion | None = None
    error: EmpiarFSError | None = None


class Browser:
    """Names and sizes of one archive.

    Args:
        tree: The archive's names.
        lookup_s: How long one question may take, in seconds.
        waiting: Asked a few times a second while something is waited for; it may tell the
            user so, and returns whether to give up.
    """

    def __init__(
        self, tree: Tree, lookup_s: float, waiting: Callable[[], bool] = lambda: False
    ) -> None:
        self._tree = tree
        self._lookup_s = lookup_s
        self._waiting = waiting
        self.oldest_s = float("inf")

    def look(self, path: str) -> Item:
        """Return what is at `path`.

        Raises:
            NoSuchNameError: There is nothing.
            EmpiarFSError: It isn't known and the archive can't tell now.
        """
        node = self._tree.lookup(path, self._patience())
        if node.is_directory or not path:
            return Item(path, True, "", node.modified_text)
        parent, name = paths.split(path)
        directory = self._tree.listings.in_memory(parent)
        row = None if directory is None else directory.rows.get(name)
        size_text = "" if directory is None or row is None else directory.items[row].size_text
        return Item(path, False, size_text, node.modified_text)

    def children(self, item: Item) -> list[Item]:
        """Return what is in a directory, in the listing's order.

        Raises:
            EmpiarFSError: It isn't known and the archive can't tell now.
        """
        _check_directory(item)
        directory = self._tree.listings.directory(item.path, self._patience())
        directory.note_listed()
        self.oldest_s = min(self.oldest_s, directory.fetched_s)
        return _items(item.path, directory.items)

    def _sifted(self, item: Item, wanted: Wanted | None) -> list[Item] | None:
        """Return what is in a directory, as far as it is wanted, if that is known at once."""
        if wanted is None:
            return None
        _check_directory(item)
        found = self._tree.listings.sift(item.path, wanted)
        if found is None:
            return None
        self.oldest_s = min(self.oldest_s, found.fetched_s)
        return _items(item.path, found.items)

    def walk(
        self,
        start: Item,
        enters: Callable[[Item], bool],
        failed: Callable[[Item, EmpiarFSError], None],
        wanted: Wanted | None = None,
    ) -> Iterator[tuple[Item, list[Item]]]:
        """Yield a directory and those below it, each with what is in it.

        A directory comes before those in it. The listings of the next few are fetched
        meanwhile.

        Args:
            start: Where to begin.
            enters: Tells whether a directory is to be visited.
            failed: Called for a directory that can't be read; the walk goes on.
            wanted: Tells of a name whether a file of that name is; others may be left out.
        """
        todo, foreseen = [start], {start.path}
        while todo:
            item = todo.pop()
            foreseen.discard(item.path)
            try:
                sifted = self._sifted(item, wanted)
                children = self.children(item) if sifted is None else sifted
            except EmpiarFSError as exc:
                failed(item, exc)
                continue
            below = [child for child in children if child.is_directory and enters(child)]
            todo += reversed(below)
            if sifted is not None:
                # Where one was known, so are the next, most likely.
                yield item, children
                continue
            ahead = [child for child in todo[-_LISTINGS_AHEAD:] if child.path not in foreseen]
            foreseen.update(child.path for child in ahead)
            self.foresee(ahead)
            yield item, children

    def foresee(self, directories: Sequence[Item]) -> None:
        """Fetch the listings of the first few of these directories, and wait for none."""
        for item in directories[:_LISTINGS_AHEAD]:
            self._tree.listings.foresee(item.path)

    def exact(self, items: Sequence[Item]) -> Iterator[Exact]:
        """Yield each item with its exact size and time, in their order.

        The sizes of files of one directory are asked for together, `_BATCH` at a time. Once
        the archive is known to be out of reach, those that aren't known fail at once.
        """
        offline: OfflineError | None = None
        for start in range(0, len(items), _BATCH):
            if offline is None:
                if start == 0:
                    self._foresee(items[:_BATCH])
                self._foresee(items[start + _BATCH : start + 2 * _BATCH])
            for item in items[start : start + _BATCH]:
                if offline is not None and not (item.is_directory or self._is_known(item)):
                    yield Exact(item, error=offline)
                    continue
                exact = self._exact(item)
                if isinstance(exact.error, OfflineError):
                    offline = exact.error
                yield exact

    def with_known(self, found: Iterable[Exact]) -> Iterator[Exact]:
        """Yield the same, with exact sizes and times where they are known; asks for none."""
        last: tuple[str, Directory | None] | None = None
        for exact in found:
            item = exact.item
            if item.is_directory or exact.version is not None or exact.error is not None:
                yield exact
                continue
            parent, name = paths.split(item.path)
            if last is None or last[0] != parent:
                last = parent, self._in_memory(parent)
            directory = last[1]
            row = None if directory is None else directory.rows.get(name)
            known = None if directory is None or row is None else directory.versions[row]
            yield Exact(item, known)

    def _exact(self, item: Item) -> Exact:
        if item.is_directory:
            return Exact(item)
        try:
            return Exact(item, self._tree.version(item.path, self._patience()))
        except EmpiarFSError as exc:
            return Exact(item, error=exc)

    def _is_known(self, item: Item) -> bool:
        """Tell whether a file's version is in memory, where its listing's rows are."""
        parent, name = paths.split(item.path)
        directory = self._tree.listings.in_memory(parent)
        row = None if directory is None else directory.rows.get(name)
        return directory is not None and row is not None and directory.versions[row] is not None

    def _foresee(self, items: Sequence[Item]) -> None:
        rows: dict[str, list[int]] = {}
        directories: dict[str, Directory] = {}
        for item in items:
            parent, name = paths.split(item.path)
            if item.is_directory:
                continue
            directory = directories.get(parent) or self._in_memory(parent)
            if directory is None:
                continue
            directories[parent] = directory
            row = directory.rows.get(name)
            if row is not None:
                rows.setdefault(parent, []).append(row)
        for parent, wanted in rows.items():
            self._tree.foresee_versions(directories[parent], wanted)

    def _in_memory(self, path: str) -> Directory | None:
        """Return a directory that is known, and of which a walk may have needed names only."""
        directory = self._tree.listings.in_memory(path)
        if directory is None:
            with contextlib.suppress(EmpiarFSError):
                return self._tree.listings.directory(path, self._patience())
        return directory

    def _patience(self) -> Patience:
        return Patience(self._lookup_s, self._waiting)


def _check_directory(item: Item) -> None:
    if not item.is_directory:
        raise NotDirectoryError(item.path)
    if len(item.path) > _LONGEST_PATH:
        # No tool could open what is in there; a listing that leads into itself ends here.
        raise GaveUpError(f"its path is longer than {_LONGEST_PATH} characters")


def _items(path: str, rows: Iterable[ListingItem]) -> list[Item]:
    prefix = f"{path}/" if path else ""
    return [
        Item(prefix + row.name, row.is_directory, row.size_text, row.modified_text) for row in rows
    ]
