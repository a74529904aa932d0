"""Asks for exact sizes and modification times of listed files, many at a time.

A caller waits for its own file only: a batch asks for its neighbours too, in a thread of its
own, and each answer is handed out as it comes. `empiarfs.core.siblings` says how many, and
when the next batch begins without anybody waiting for it.

Threading: safe from any thread; what is shared lies in the `Directory` and is guarded by its
condition.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from empiarfs import threads
from empiarfs.archive.client import ArchiveClient
from empiarfs.catalog import Catalog
from empiarfs.core import paths, sizes
from empiarfs.core.files import FileVersion
from empiarfs.errors import (
    BadResponseError,
    EmpiarFSError,
    ForbiddenError,
    GaveUpError,
    InterruptedCallError,
    NotFoundError,
    without_frames,
)
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from empiarfs.tree.directory import Directory

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VersionAskerConfig:
    """How to ask for sizes.

    Attributes:
        failure_ttl_s: How long a size that couldn't be had is not asked for again.
        batch_s: How long one batch may take; shorter than a look-up's deadline of 90 s.
    """

    failure_ttl_s: float = 30.0
    batch_s: float = 85.0


class VersionAsker:
    """Asks the archive which versions of files it holds.

    Args:
        client: The archive.
        catalog: Keeps the answers.
        counters: Counts what was saved.
        config: How to ask.
        changed: Called with the path of a file whose answer differs from what was known.
        learnt: Called with the path and the version of each file that was answered.
    """

    def __init__(
        self,
        client: ArchiveClient,
        catalog: Catalog,
        counters: Counters,
        config: VersionAskerConfig,
        changed: Callable[[str], None],
        learnt: Callable[[str, FileVersion], None],
    ) -> None:
        self._client = client
        self._catalog = catalog
        self._counters = counters
        self._config = config
        self._tell_changed = changed
        self._tell_learnt = learnt

    def wait_for(self, directory: Directory, index: int, patience: Patience) -> FileVersion:
        """Return the version of a listed file, asking the archive if need be.

        Raises:
            EmpiarFSError: It couldn't be had, now or a moment ago.
        """
        if directory.versions[index] is None:
            self._take_over(directory)
        with directory.condition:
            directory.wanted[index] = directory.wanted.get(index, 0) + 1
            try:
                while True:
                    version = directory.versions[index]
                    if version is not None:
                        return version
                    failure = directory.failure(index)
                    if failure is not None:
                        raise failure
                    if index not in directory.asked:
                        self._start_asking(directory, index)
                    elif directory.window.is_due(index):
                        self.ask_ahead(directory, index)
                    patience.wait_for(
                        directory.condition,
                        lambda: (
                            index not in directory.asked or directory.versions[index] is not None
                        ),
                    )
            finally:
                directory.wanted[index] -= 1
                if not directory.wanted[index]:
                    del directory.wanted[index]

    def _take_over(self, directory: Directory) -> None:
        """Take over what other processes have learnt beside the same listing meanwhile.

        Such as an index: a mount that has the directory in memory would ask for all of it.
        """
        if not directory.may_be_known_elsewhere():
            return
        known = self._catalog.directory(directory.path)
        # The same listing has the same rows in the same order.
        if known is None or known.fetched_s != directory.fetched_s:
            return
        if len(known.rows) != len(directory.items):
            return
        with directory.condition:
            for index, row in enumerate(known.rows):
                is_open = directory.versions[index] is None and index not in directory.previous
                if row.version is not None and is_open and row.item == directory.items[index]:
                    directory.versions[index] = row.version
            directory.condition.notify_all()

    def _start_asking(self, directory: Directory, index: int) -> None:
        """Ask for the size of a row and of some that follow; the caller holds the condition."""
        is_first = not directory.window.size
        directory.window, batch = directory.window.after_miss(
            index, len(directory.items), listed=directory.was_just_listed()
        )
        if is_first:
            # On its own it needs no connection for pipelining, which has yet to be opened.
            self._ask(directory, range(index, index + 1), index)
            batch = range(index + 1, batch.stop)
        self._ask(directory, batch, index)

    def ask_ahead(self, directory: Directory, index: int) -> None:
        """Ask for what follows, as a size asked for was wanted; the caller holds the condition."""
        directory.window, batch = directory.window.after_hit(index, len(directory.items))
        self._ask(directory, batch)

    def foresee(self, directory: Directory, rows: Iterable[int]) -> None:
        """Ask for those of the sizes of `rows` that aren't known, and wait for none."""
        with directory.condition:
            self._ask(directory, rows)

    def ask(
        self, directory: Directory, rows: Iterable[int], patience: Patience
    ) -> dict[int, EmpiarFSError]:
        """Ask for those of the sizes of `rows` that aren't known, and wait for all of them.

        Returns:
            Why a size couldn't be had, by row.

        Raises:
            InterruptedCallError: The caller stopped waiting; what came is kept.
        """
        with directory.condition:
            unknown = self._unknown(directory, rows)
            directory.asked.update(unknown)
        failed = self._ask_sizes(directory, unknown, patience) if unknown else {}
        if any(isinstance(error, InterruptedCallError) for error in failed.values()):
            raise InterruptedCallError("interrupted")
        names = {directory.items[row].name: row for row in unknown}
        return {names[name]: error for name, error in failed.items() if name in names}

    def _ask(self, directory: Directory, batch: Iterable[int], wanted: int = -1) -> None:
        rows = [
            row
            for row in self._unknown(directory, batch)
            if row == wanted or row not in directory.failures
        ]
        if not rows:
            return
        directory.asked.update(rows)
        patience = Patience(self._config.batch_s)
        if threads.start("sizes", self._ask_sizes, directory, rows, patience) is None:
            directory.asked.difference_update(rows)
            if wanted in rows:
                raise GaveUpError("no thread to ask the archive with")
            return
        self._counters.add("size_requests_saved", len(rows) - (wanted in rows))

    @staticmethod
    def _unknown(directory: Directory, rows: Iterable[int]) -> list[int]:
        """Return the files among `rows` whose size is neither known nor being asked for."""
        return [
            row
            for row in rows
            if not directory.items[row].is_directory
            and directory.versions[row] is None
            and row not in directory.asked
        ]

    def _ask_sizes(
        self, directory: Directory, rows: list[int], patience: Patience
    ) -> dict[str, EmpiarFSError]:
        """Ask for the sizes of `rows`, all noted as asked for; return what failed, by name."""
        items = [directory.items[row] for row in rows]
        came: dict[str, FileVersion] = {}
        failed: dict[str, EmpiarFSError] = {}
        try:
            answers = self._client.heads(
                directory.path,
                items,
                patience=patience,
                answered=lambda name, version: self._note_version(directory, name, version, came),
            )
            failed.update(answers)
        except EmpiarFSError as exc:
            failed.update((item.name, exc) for item in items)
        except Exception as exc:
            logger.exception("asking for sizes in %r failed unexpectedly", directory.path)
            error = BadResponseError(f"unexpected: {exc!r}", url=directory.path)
            failed.update((item.name, error) for item in items)
        finally:
            self._end_asking(directory, rows, failed)
            self._catalog.put_versions(directory.path, came)
        return failed

    def _note_version(
        self, directory: Directory, name: str, version: FileVersion, came: dict[str, FileVersion]
    ) -> None:
        index = directory.rows[name]
        item = directory.items[index]
        with directory.condition:
            came[name] = version
            directory.versions[index] = version
            directory.asked.discard(index)
            directory.failures.pop(index, None)
            previous = directory.previous.pop(index, version)
            if not sizes.fits(version, item.size_text, item.modified_text):
                # The file is newer than the listing, so the listing is no longer true.
                directory.outdated = True
            if directory.wanted:
                directory.condition.notify_all()
        path = paths.join(directory.path, name)
        if previous != version:
            self._tell_changed(path)
        self._tell_learnt(path, version)

    def _end_asking(
        self, directory: Directory, rows: Iterable[int], failed: dict[str, EmpiarFSError]
    ) -> None:
        until_s = time.monotonic() + self._config.failure_ttl_s
        with directory.condition:
            for row in rows:
                directory.asked.discard(row)
                if directory.versions[row] is not None:
                    continue
                name = directory.items[row].name
                failure = failed.get(name) or GaveUpError(f"no answer about {name!r}")
                # A neighbour's failure is forgotten unless it is final or somebody waits
                # for it: whoever wants it later has the right to a try.
                if row in directory.wanted or isinstance(failure, (NotFoundError, ForbiddenError)):
                    directory.failures[row] = (without_frames(failure), until_s)
            directory.condition.notify_all()
