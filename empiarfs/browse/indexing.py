"""Learns a whole tree of the archive: every listing, and the exact size of every file.

What is learnt goes into the catalog as it comes, so an index that was ended goes on where it
was: a listing that may still be believed isn't fetched again, nor is a size that is known.

A file of the archive costs a HEAD and a directory a listing; both take a round trip, so many
are under way at a time:

    directories  a few listings at a time, the last that was found first, and none while enough
                 sizes are to be asked for: what is held in memory is some directories, and
                 the paths of those that are still to be visited
    sizes        in batches of some hundred files, for several directories at once

A failure of the network is waited out as long as a read would wait for it, counted from the
last answer; what the archive answers otherwise is final after the third time.

Threading: `Indexer.run` is called once, from any thread; it starts threads of its own and ends
them all before it returns or raises. `_condition` guards what they share, and is never held
while the archive is asked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from empiarfs import threads
from empiarfs.core import paths
from empiarfs.core.files import FileVersion
from empiarfs.errors import (
    EmpiarFSError,
    ForbiddenError,
    GaveUpError,
    InterruptedCallError,
    NotFoundError,
    OfflineError,
)
from empiarfs.patience import Patience
from empiarfs.tree import Directory, Tree

logger = logging.getLogger(__name__)

# As many as there are connections by default: those that wait for a listing leave theirs to
# those that ask for sizes.
_WORKERS = 12
_LISTINGS_AT_ONCE = 4
# Batches that wait while no further directory is listed.
_ENOUGH_BATCHES = 12
# Four lines of the connection budget work at one. At 250 files a second, twelve of them are
# what is lost if the process is killed: some ten seconds.
_ROWS_PER_BATCH = 256
_ATTEMPTS = 3
_TOLD_EVERY_S = 0.25
# How long a worker waits for an archive that can't be reached, before it looks again.
_OFFLINE_LOOK_S = 1.0
_LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """How to ask.

    Attributes:
        since_s: Listings from before this time, in seconds since 1970, are fetched anew.
        lookup_s: How long one listing may take, repetitions included.
        wait_s: How long an archive that can't be reached is waited for, and how long one
            batch of sizes may take.
    """

    since_s: float
    lookup_s: float = 90.0
    wait_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Unknown:
    """What couldn't be had: a listing or a size.

    Attributes:
        path: The directory's or the file's.
        is_directory: Whether it is the listing of a directory.
        error: Why.
    """

    path: str
    is_directory: bool
    error: EmpiarFSError


@dataclass(slots=True)
class Progress:
    """How far an index is.

    Attributes:
        directories: Directories listed.
        directories_left: Directories found and not listed yet.
        files: Files whose size is known.
        files_left: Files found whose size isn't known yet.
        known_before: Of `files`, those whose size nobody had to be asked for.
        size: Bytes of `files`.
        refused: Names of listings that can't be served.
        unknown: What couldn't be had, in the order in which that became certain.
    """

    directories: int = 0
    directories_left: int = 0
    files: int = 0
    files_left: int = 0
    known_before: int = 0
    size: int = 0
    refused: int = 0
    unknown: list[Unknown] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether all of it is known."""
        return not (self.unknown or self.directories_left or self.files_left)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Files whose sizes are to be asked for."""

    directory: Directory
    rows: Sequence[int]
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class _Unlisted:
    """A directory that is to be listed."""

    path: str
    attempt: int = 1


class Indexer:
    """Learns one tree of the archive.

    Args:
        tree: The archive's names.
        config: How to ask.
        wait_until_reachable: Returns when the archive may be asked, or after so many seconds.
    """

    def __init__(
        self,
        tree: Tree,
        config: IndexConfig,
        wait_until_reachable: Callable[[float], None],
    ) -> None:
        self._tree = tree
        self._config = config
        self._wait_until_reachable = wait_until_reachable
        self._condition = threading.Condition()
        self._progress = Progress()  # guarded by _condition
        self._unlisted: list[_Unlisted] = []  # guarded by _condition
        self._batches: deque[_Batch] = deque()  # guarded by _condition
        self._listing = 0  # directories being listed; guarded by _condition
        self._busy = 0  # workers that have something to do; guarded by _condition
        self._failure: BaseException | None = None  # guarded by _condition
        self._answered_s = time.monotonic()  # the last answer; guarded by _condition
        self._stopping = False  # set once

    def run(self, path: str, tell: Callable[[Progress], None] = lambda progress: None) -> Progress:
        """Learn everything below the directory `path`.

        Args:
            path: Of a directory.
            tell: Called several times a second and at the end, in this thread, with how far
                it is.

        Returns:
            How far it came, which is all unless something is in `unknown`.

        Raises:
            GaveUpError: No thread can be started.
            BaseException: What `tell` raised, such as KeyboardInterrupt.
        """
        self._unlisted.append(_Unlisted(path))
        self._progress.directories_left = 1
        workers = [
            worker
            for _ in range(_WORKERS)
            if (worker := threads.start("index", self._work)) is not None
        ]
        if not workers:
            raise GaveUpError("no thread to ask the archive with")
        try:
            over = False
            while not over:
                with self._condition:
                    self._condition.wait_for(self._is_over, _TOLD_EVERY_S)
                    # A worker that broke off without a word mustn't be waited for either.
                    over = self._is_over() or not any(each.is_alive() for each in workers)
                    progress = self._snapshot()
                tell(progress)
        finally:
            self._stopping = True
            with self._condition:
                self._condition.notify_all()
            for worker in workers:
                worker.join()
        if self._failure is not None:
            raise self._failure
        return self._snapshot()

    def _snapshot(self) -> Progress:
        return replace(self._progress, unknown=list(self._progress.unknown))

    def _is_over(self) -> bool:
        """Tell whether nothing is left to do; the caller holds `_condition`."""
        idle = not (self._busy or self._unlisted or self._batches)
        return idle or self._failure is not None

    # -- the workers ---------------------------------------------------------------------------

    def _work(self) -> None:
        while (task := self._take()) is not None:
            failure = self._done(task)
            with self._condition:
                self._failure = self._failure or failure
                self._busy -= 1
                self._listing -= isinstance(task, _Unlisted)
                self._condition.notify_all()

    def _done(self, task: _Batch | _Unlisted) -> BaseException | None:
        """Do a task; return what broke, if that is a mistake of ours."""
        try:
            if isinstance(task, _Batch):
                self._ask(task)
            else:
                self._list(task)
        except InterruptedCallError:
            logger.debug("ended: %s", task)
        except BaseException as exc:
            return exc
        return None

    def _take(self) -> _Batch | _Unlisted | None:
        """Return what is to be done next, once there is something; None at the end."""
        with self._condition:
            while not (self._stopping or self._is_over()):
                task = self._next()
                if task is not None:
                    self._busy += 1
                    return task
                self._condition.wait()
        return None

    def _next(self) -> _Batch | _Unlisted | None:
        """Return what is to be done next; the caller holds `_condition`."""
        may_list = self._unlisted and self._listing < _LISTINGS_AT_ONCE
        if may_list and len(self._batches) < _ENOUGH_BATCHES:
            self._listing += 1
            return self._unlisted.pop()
        return self._batches.popleft() if self._batches else None

    def _list(self, task: _Unlisted) -> None:
        try:
            if len(task.path) > _LONGEST_PATH:
                # A listing that leads into itself ends here.
                raise GaveUpError(f"its path is longer than {_LONGEST_PATH} characters")
            directory = self._directory(task.path)
        except InterruptedCallError:
            raise
        except EmpiarFSError as exc:
            self._list_later(task, exc)
            return
        below, unknown, known = [], [], []
        for row, item in enumerate(directory.items):
            version = directory.versions[row]
            if item.is_directory:
                below.append(_Unlisted(paths.join(task.path, item.name)))
            elif version is None:
                unknown.append(row)
            else:
                known.append(version)
        with self._condition:
            self._answered_s = time.monotonic()
            progress = self._progress
            progress.directories += 1
            progress.directories_left += len(below) - 1
            progress.files_left += len(unknown)
            progress.known_before += len(known)
            progress.refused += directory.refused_count
            self._note(known)
            self._unlisted += reversed(below)
            self._batches.extend(
                _Batch(directory, unknown[start : start + _ROWS_PER_BATCH])
                for start in range(0, len(unknown), _ROWS_PER_BATCH)
            )
            self._condition.notify_all()

    def _directory(self, path: str) -> Directory:
        patience = self._patience(self._config.lookup_s)
        return self._tree.listings.renewed(path, self._config.since_s, patience)

    def _list_later(self, task: _Unlisted, error: EmpiarFSError) -> None:
        attempt = self._attempt_after(task.attempt, error)
        with self._condition:
            if attempt is None:
                self._progress.directories_left -= 1
                self._progress.unknown.append(Unknown(task.path, True, error))
            else:
                self._unlisted.append(_Unlisted(task.path, attempt))

    def _ask(self, batch: _Batch) -> None:
        directory = batch.directory
        failed = self._tree.ask_versions(
            directory, batch.rows, self._patience(self._config.wait_s)
        )
        came = [
            version
            for row in batch.rows
            if row not in failed and (version := directory.versions[row]) is not None
        ]
        with self._condition:
            if came:
                self._answered_s = time.monotonic()
            self._progress.files_left -= len(came)
            self._note(came)
        if len(came) < len(batch.rows):
            self._ask_later(batch, failed)

    def _ask_later(self, batch: _Batch, failed: dict[int, EmpiarFSError]) -> None:
        """Ask again for what a batch didn't bring, or give it up."""
        directory = batch.directory
        missing = [row for row in batch.rows if directory.versions[row] is None or row in failed]
        # Another caller's question was under way, which nobody makes here.
        unsaid = GaveUpError("no answer")
        last = next((e for e in failed.values() if not _is_final(e)), unsaid)
        attempt = self._attempt_after(batch.attempt, last)
        again = [
            row for row in missing if attempt is not None and not _is_final(failed.get(row, last))
        ]
        given_up = set(missing).difference(again)
        with self._condition:
            self._progress.files_left -= len(given_up)
            self._progress.unknown += (
                Unknown(
                    paths.join(directory.path, directory.items[row].name),
                    False,
                    failed.get(row, unsaid),
                )
                for row in sorted(given_up)
            )
            if again and attempt is not None:
                self._batches.append(_Batch(directory, again, attempt))

    def _attempt_after(self, attempt: int, error: EmpiarFSError) -> int | None:
        """Return the number of the next attempt, when it is time for it; None for no other.

        Raises:
            InterruptedCallError: It ends.
        """
        if _is_final(error):
            return None
        if not isinstance(error, OfflineError):
            return attempt + 1 if attempt < _ATTEMPTS else None
        with self._condition:
            waited_s = time.monotonic() - self._answered_s
        if waited_s >= self._config.wait_s:
            return None
        # It doesn't count: nothing was asked.
        self._wait_until_reachable(min(_OFFLINE_LOOK_S, self._config.wait_s - waited_s))
        if self._stopping:
            raise InterruptedCallError("interrupted")
        return attempt

    def _note(self, versions: Sequence[FileVersion]) -> None:
        """Count files whose size is known; the caller holds `_condition`."""
        self._progress.files += len(versions)
        self._progress.size += sum(version.size for version in versions)

    def _patience(self, seconds: float) -> Patience:
        return Patience(seconds, lambda: self._stopping)


def _is_final(error: EmpiarFSError) -> bool:
    """Tell whether to ask again would bring the same answer."""
    return isinstance(error, (NotFoundError, ForbiddenError))
