"""Fetches ahead of programs that go through a directory, file by file.

`Foresight` makes the reader of each file that is opened, and tells the planner of its
directory (`empiarfs.core.neighbours`). What that wants of files to come is carried out here:
their versions are asked for, all at once, and as soon as one is known its bytes are
prefetched. So the program's look-up, its open and its first read find what they need.

It also shares the link out: readers that wait for the archive divide the window between
them. And it remembers, for a while, what was learnt of a file that is closed, since some
programs open a stack anew for each image.

Threading: safe from any thread. `_lock` guards planners and tables; it is never held while
the tree or the fetcher is called.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from cachetools import LRUCache

from empiarfs.core import paths
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.manners import Footprint, Manner
from empiarfs.core.neighbours import Budget, Foreseen, Neighbours, NeighboursConfig
from empiarfs.core.orders import Names
from empiarfs.core.readahead import Expectation, ReadAhead, ReadAheadConfig, split
from empiarfs.core.walks import Wish
from empiarfs.fetcher import Source
from empiarfs.reader import Reader
from empiarfs.tree import Directory, Tree

# Directories with a planner. One in which nothing was opened for so long has none: who was
# there has stopped, and what was planned for him was in vain.
_DIRECTORIES = 64
_LEFT_ALONE_S = 30.0
# Closed files of which is remembered how they were read; some kilobytes each at most.
_CLOSED = 256
# Planned files whose version isn't known yet, or whose fetching may have to be undone.
_PLANNED = 1024
# A reader that waited for the archive within this time takes its share of the link.
_SHARING_S = 2.0
_SHARED_ANEW_S = 0.2
_SMALLEST_SHARE = 2 * 1024 * 1024
# What keeps ten connections at work, with some requests waiting for the first that is free.
_REQUESTS_UNDER_WAY = 16
_LEAST_ENOUGH = 8 * 1024 * 1024


class Foresight:
    """Makes readers, and foresees what they and their successors will read.

    Args:
        archive_url: URL of the archive's root.
        tree: Knows the directories.
        fetcher: Fetches.
        readahead: How far to read ahead in a file.
        neighbours: How far to go ahead in a directory.
    """

    def __init__(
        self,
        archive_url: str,
        tree: Tree,
        fetcher: Source,
        readahead: ReadAheadConfig | None = None,
        neighbours: NeighboursConfig | None = None,
    ) -> None:
        self._archive_url = archive_url
        self._tree = tree
        self._fetcher = fetcher
        self._readahead = readahead or ReadAheadConfig()
        self._config = neighbours or NeighboursConfig()
        self._lock = threading.Lock()
        self._budget = Budget(self._config)  # guarded by _lock
        # By directory, with the time of the last open; the last one last. Guarded by _lock.
        self._planners: OrderedDict[str, tuple[Neighbours, float]] = OrderedDict()
        self._readers: set[Reader] = set()  # guarded by _lock
        # Of the last big file whose end came near, by directory. Guarded by _lock.
        self._windows: LRUCache[str, int] = LRUCache(_DIRECTORIES)
        self._closed: LRUCache[str, Reader] = LRUCache(_CLOSED)  # guarded by _lock
        self._awaited: LRUCache[str, Wish] = LRUCache(_PLANNED)  # guarded by _lock
        self._fetched: LRUCache[str, RemoteFile] = LRUCache(_PLANNED)  # guarded by _lock
        self._share = (0.0, 0)  # until when it holds, and bytes
        tree.when_learnt(self._learnt)

    # -- readers ---------------------------------------------------------------------------

    def open(self, file: RemoteFile) -> Reader:
        """Return a reader of `file`, and fetch what will be read next."""
        parent, name = paths.split(file.path)
        directory = self._tree.listings.in_memory(parent)
        with self._lock:
            before = self._closed.pop(file.short_key, None)
            plan = before.plan if before else ReadAhead(file.size, self._readahead)
            footprint = before.footprint if before else Footprint(file.size)
            footprint.is_over = False
            window = self._windows.get(parent, 0)
            foreseen = Foreseen()
            if directory is not None and name in directory.rows:
                names = Names(directory.items, directory.rows)
                foreseen = self._planner(parent).opened(name, footprint, names)
            plan.reopened(_expectation(foreseen, file.size, window))
            reader = Reader(
                file,
                self._fetcher,
                plan=plan,
                footprint=footprint,
                limit=self._limit,
                ending=self._ending,
            )
            self._readers.add(reader)
            self._forget_left_alone()
        if directory is not None:
            directory.note_opened()
            self._give_up(parent, foreseen.given_up)
            self._carry_out(directory, foreseen.wishes)
        return reader

    def close(self, reader: Reader) -> None:
        """Close the reader, and remember how its file was read."""
        reader.close()
        manner = reader.footprint.manner()
        with self._lock:
            self._readers.discard(reader)
            reader.footprint.is_over = True
            self._closed[reader.file.short_key] = reader
            if manner is not None:
                self._budget.note_read(manner.size)

    def _planner(self, path: str) -> Neighbours:
        planner, _ = self._planners.pop(path, (None, 0.0))
        planner = planner or Neighbours(self._budget, self._config)
        self._planners[path] = (planner, time.monotonic())
        return planner

    def _forget_left_alone(self) -> None:
        """Forget directories in which nothing was opened for a while."""
        due_s = time.monotonic() - _LEFT_ALONE_S
        while self._planners:
            path, (planner, opened_s) = next(iter(self._planners.items()))
            if opened_s >= due_s and len(self._planners) <= _DIRECTORIES:
                return
            del self._planners[path]
            planner.end()

    def _limit(self) -> int:
        """Return the largest window that a reader may have now, in bytes."""
        now_s = time.monotonic()
        until_s, share = self._share
        if now_s >= until_s:
            with self._lock:
                hungry = sum(r.hungry_s > now_s - _SHARING_S for r in self._readers)
            enough = max(_REQUESTS_UNDER_WAY * self._fetcher.worthwhile_size, _LEAST_ENOUGH)
            share = min(enough, self._readahead.maximum) // max(1, hungry)
            share = max(share, _SMALLEST_SHARE)
            self._share = (now_s + _SHARED_ANEW_S, share)
        return share

    def _ending(self, reader: Reader) -> None:
        """Fetch what comes after a file that is planned to its end."""
        parent, name = paths.split(reader.file.path)
        directory = self._tree.listings.in_memory(parent)
        if directory is None:
            return
        window = max(reader.window, _SMALLEST_SHARE)
        with self._lock:
            self._windows[parent] = window
            planner, _ = self._planners.get(parent, (None, 0.0))
            if planner is None:
                return
            names = Names(directory.items, directory.rows)
            wishes = planner.ending(name, names, window)
        self._carry_out(directory, wishes)

    def usage(self) -> dict[str, int]:
        """Return what is foreseen now, for `status`."""
        with self._lock:
            return {
                "directories": len(self._planners),
                "files_awaited": len(self._awaited),
                "vain_bytes": self._budget.vain,
            }

    # -- plans -----------------------------------------------------------------------------

    def _carry_out(self, directory: Directory, wishes: tuple[Wish, ...]) -> None:
        unknown: dict[str, int] = {}
        for wish in wishes:
            row = directory.rows.get(wish.name)
            version = directory.versions[row] if row is not None else None
            path = paths.join(directory.path, wish.name)
            if version is not None:
                self._prefetch(path, wish, version)
            elif row is not None:
                unknown[path] = row
                with self._lock:
                    self._awaited[path] = wish
        if unknown:
            self._ask_for(directory, unknown, wishes[-1].name)

    def _ask_for(self, directory: Directory, unknown: dict[str, int], last: str) -> None:
        """Ask for versions that are wanted, and for those that will be wanted after `last`."""
        names = Names(directory.items, directory.rows)
        with self._lock:
            planner, _ = self._planners.get(directory.path, (None, 0.0))
            coming = planner.coming(last, names) if planner is not None else []
        rows = [*unknown.values(), *(directory.rows[name] for name in coming)]
        self._tree.foresee_versions(directory, rows)
        for path, row in unknown.items():
            # It may have come between the look and the question.
            version = directory.versions[row]
            if version is not None:
                self._learnt(path, version)

    def _learnt(self, path: str, version: FileVersion) -> None:
        if not self._awaited:
            return
        with self._lock:
            wish = self._awaited.pop(path, None)
        if wish is not None:
            self._prefetch(path, wish, version)

    def _prefetch(self, path: str, wish: Wish, version: FileVersion) -> None:
        file = RemoteFile(self._archive_url, path, version)
        with self._lock:
            self._fetched[path] = file
        step = self._fetcher.worthwhile_size
        for part in wish.ranges(version.size):
            for piece in split(part.start, part.stop, step):
                self._fetcher.prefetch(file, piece)

    def _give_up(self, parent: str, names: tuple[str, ...]) -> None:
        for name in names:
            path = paths.join(parent, name)
            with self._lock:
                self._awaited.pop(path, None)
                file = self._fetched.pop(path, None)
            if file is not None:
                self._fetcher.drop_foreseen(file)


def _expectation(foreseen: Foreseen, file_size: int, window: int) -> Expectation | None:
    """Return what is known of a file that is opened, for its own planner."""
    manner = foreseen.expected
    if manner is None:
        return None
    planned_to = _head(foreseen.planned, file_size)
    if manner.is_whole:
        return Expectation(planned_to=planned_to, window=window)
    return Expectation(stop=_known_head(manner, file_size), planned_to=planned_to)


def _head(wish: Wish | None, file_size: int) -> int:
    """Return up to where the file's beginning is planned."""
    first = next(wish.ranges(file_size), None) if wish is not None else None
    return first.stop if first is not None and first.start == 0 else 0


def _known_head(manner: Manner, file_size: int) -> int:
    return min(manner.head, file_size)
