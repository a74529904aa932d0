"""What has changed in the archive since a tree of it was indexed.

Each directory is listed anew, several at a time; of files only those are asked for singly
whose rows differ, so that it costs a request for each directory and each change. A name that
a listing lacks is gone only if the archive says so, as a listing may lack a row.

Nothing of what is found is stored: the next comparison tells the same.

Threading: used from one thread; listings are fetched by threads of its own, which end with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from empiarfs.archive.client import ArchiveClient
from empiarfs.catalog import Catalog, KnownRow
from empiarfs.core import paths
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.errors import CacheError, EmpiarFSError, FileChangedError, NotFoundError
from empiarfs.patience import Patience

_LISTINGS_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between the index and the archive.

    Attributes:
        path: Below the archive's root.
        is_directory: Whether it is a directory.
        kind: "added", "removed" or "changed".
        before: What the index says; None for what was added, and where it knew no size.
        after: What the archive says; None for what was removed, and for directories.
    """

    path: str
    is_directory: bool
    kind: str
    before: FileVersion | None = None
    after: FileVersion | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """What couldn't be compared, and why."""

    path: str
    is_directory: bool
    error: EmpiarFSError


class Comparer:
    """Compares trees; for one thread.

    Args:
        client: The archive.
        catalog: The index.
        lookup_s: How long one listing, or the sizes of one directory, may take.

    Attributes:
        directories: Directories compared so far.
        oldest_s: When the oldest listing of the index was fetched, in seconds since 1970.
        unknown: Directories that aren't in the index, though their names are.
    """

    def __init__(self, client: ArchiveClient, catalog: Catalog, lookup_s: float) -> None:
        self._client = client
        self._catalog = catalog
        self._lookup_s = lookup_s
        self._stopping = False
        self.directories = 0
        self.oldest_s = float("inf")
        self.unknown: list[str] = []

    def compare(self, top: str) -> Iterator[Change | Failure]:
        """Yield what differs below the directory `top`.

        Raises:
            CacheError: It isn't in the index.
        """
        if self._catalog.directory(top) is None:
            raise CacheError("it isn't indexed: run `empiarfs index` on it first")
        with ThreadPoolExecutor(_LISTINGS_AT_ONCE, "empiarfs-compare") as pool:
            try:
                yield from self._walk(top, pool)
            finally:
                self._stopping = True

    def _walk(self, top: str, pool: ThreadPoolExecutor) -> Iterator[Change | Failure]:
        todo = [(top, False)]
        asked: deque[tuple[str, bool, Future[tuple[ListingItem, ...] | None]]] = deque()
        while todo or asked:
            while todo and len(asked) < _LISTINGS_AT_ONCE:
                path, is_new = todo.pop()
                if not is_new and self._catalog.fetched_s(path) is None:
                    self.unknown.append(path)
                    continue
                asked.append((path, is_new, pool.submit(self._listed, path)))
            if not asked:
                break
            path, is_new, future = asked.popleft()
            try:
                items = future.result()
                if items is None:
                    yield from self._removed(path)
                    continue
                below: list[tuple[str, bool]] = []
                yield from self._compared(path, items, is_new, below)
            except EmpiarFSError as exc:
                yield Failure(path, True, exc)
                continue
            todo += reversed(below)

    def _listed(self, path: str) -> tuple[ListingItem, ...] | None:
        """Return what the archive lists; None if there is no such directory."""
        try:
            return self._client.listing(path, patience=self._patience()).items
        except NotFoundError:
            return None

    def _compared(
        self,
        path: str,
        items: Sequence[ListingItem],
        is_new: bool,
        below: list[tuple[str, bool]],
    ) -> Iterator[Change | Failure]:
        """Yield what differs in a directory; add those in it to `below`, and which are new."""
        known = None if is_new else self._catalog.directory(path)
        self.directories += 1
        before: dict[str, KnownRow] = {}
        if known is not None:
            self.oldest_s = min(self.oldest_s, known.fetched_s)
            before = {row.item.name: row for row in known.rows}
        doubtful: list[ListingItem] = []
        for item in items:
            row = before.get(item.name)
            if row is None or row.item.is_directory != item.is_directory:
                if item.is_directory:
                    yield Change(paths.join(path, item.name), True, "added")
                else:
                    doubtful.append(item)
            elif not item.is_directory:
                del before[item.name]
                if row.item != item:
                    doubtful.append(item)
                    before[item.name] = row
            if item.is_directory:
                is_known = row is not None and row.item.is_directory
                below.append((paths.join(path, item.name), not is_known))
                if is_known:
                    del before[item.name]
        yield from self._asked(path, doubtful, before)

    def _asked(
        self, path: str, doubtful: Sequence[ListingItem], before: dict[str, KnownRow]
    ) -> Iterator[Change | Failure]:
        """Ask the archive about files that differ, and about what is listed no more.

        Args:
            path: The directory's.
            doubtful: Files whose row differs from the index, or isn't in it.
            before: What the index has, without what is the same.
        """
        listed = {item.name: item for item in doubtful}
        gone = [row for name, row in before.items() if name not in listed]
        files = [*doubtful, *(row.item for row in gone if not row.item.is_directory)]
        found: dict[str, FileVersion] = {}
        failed = {}
        if files:
            failed = self._client.heads(
                path, files, patience=self._patience(), answered=found.__setitem__
            )
        for item in files:
            error = failed.get(item.name)
            if error is not None and not isinstance(error, (NotFoundError, FileChangedError)):
                yield Failure(paths.join(path, item.name), False, error)
            else:
                change = _change(
                    paths.join(path, item.name), before.get(item.name), found.get(item.name)
                )
                if change is not None:
                    yield change
        for row in before.values():
            if row.item.is_directory and row.item.name in listed:
                # A file has its name by now.
                yield from self._removed(paths.join(path, row.item.name))
            elif row.item.is_directory:
                yield from self._perhaps_removed(paths.join(path, row.item.name))

    def _perhaps_removed(self, path: str) -> Iterator[Change | Failure]:
        """Yield what is gone of a directory that isn't listed any more."""
        try:
            self._client.head(path, patience=self._patience())
        except NotFoundError:
            yield from self._removed(path)
        except EmpiarFSError as exc:
            yield Failure(path, True, exc)

    def _removed(self, top: str) -> Iterator[Change]:
        """Yield a directory that is gone, and all that the index knows below it."""
        todo = [top]
        while todo:
            path = todo.pop()
            yield Change(path, True, "removed")
            known = self._catalog.directory(path)
            for row in known.rows if known is not None else ():
                below = paths.join(path, row.item.name)
                if row.item.is_directory:
                    todo.append(below)
                else:
                    yield Change(below, False, "removed", row.version)

    def _patience(self) -> Patience:
        return Patience(self._lookup_s, lambda: self._stopping)


def _change(path: str, row: KnownRow | None, after: FileVersion | None) -> Change | None:
    """Return how a file differs: from its row in the index, and from what the archive says."""
    if row is None or row.item.is_directory:
        # Listed, and gone by the time it was asked for.
        return None if after is None else Change(path, False, "added", None, after)
    if after is None:
        return Change(path, False, "removed", row.version)
    return None if after == row.version else Change(path, False, "changed", row.version, after)
