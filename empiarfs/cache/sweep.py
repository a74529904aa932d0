"""The sweep: what nobody would ever find again is removed in the background, slowly.

After a crash of the machine the database may lack its last rows, whose files are there; a
folder tidied by somebody may lack files, whose rows are there; and of a damaged generation
everything is left. A pass removes

* files of old generations, and their databases when nobody has them open;
* files older than ten minutes that have no row: a younger one may be in writing;
* rows whose file is gone,

and ends with a look at the sums that the limit rests on.

One pass begins a minute after the store was first used, and one every six hours from then
on; commands that end sooner never sweep. One process of the machine sweeps at a time. In
between, what else is to be done now and then is done every ten seconds.

Threading: `Sweeper` has a thread of its own, started by `start`; it asks the database on
the cache threads.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from empiarfs import threads
from empiarfs.cache.block_disk import key_of
from empiarfs.cache.database import BlockDatabase
from empiarfs.cache.generations import Generations
from empiarfs.cache.locks import try_lock
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

T = TypeVar("T")

ORPHAN_AGE_S = 600.0
_FIRST_DELAY_S = 60.0
_INTERVAL_S = 6 * 3600.0
_TEND_S = 10.0
# 256 folders and a row batch each take this long: a pass over 100,000 blocks half a minute.
_PAUSE_S = 0.05
_ROWS = 256
_FOLDER = re.compile(r"[0-9a-f]{2}\Z")


class RunOnDatabase(Protocol):
    """Has work done on the cache threads, with the current database."""

    def __call__(self, work: Callable[[BlockDatabase], T], /) -> T:
        """Return what `work` returns; raises what it raises, and if it takes too long."""
        ...


class Sweeper:
    """Sweeps the folders of one store.

    Args:
        generations: The folders.
        run: Has work done with the database.
        counters: Counts `orphans_removed`.
        tend: Called every ten seconds; what it raises is logged.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        generations: Generations,
        run: RunOnDatabase,
        counters: Counters,
        tend: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._generations = generations
        self._run = run
        self._counters = counters
        self._tend = tend
        self._clock = clock
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None  # guarded by _lock

    def start(self) -> None:
        """Start the thread, unless it runs."""
        with self._lock:
            if self._thread is None and not self._ended.is_set():
                self._thread = threads.start("cache-sweep", self._passes)

    def hurry(self) -> None:
        """Have a pass made now: an old generation is to be removed."""
        self._wake.set()

    def close(self, timeout_s: float) -> None:
        """End the thread after the folder that it is at."""
        with self._lock:
            self._ended.set()
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(timeout_s)

    def sweep(self, age_s: float = ORPHAN_AGE_S, pause_s: float = 0.0) -> int | None:
        """Make one pass.

        Args:
            age_s: Files younger than this many seconds are left alone.
            pause_s: Seconds to rest between folders.

        Returns:
            The number of files removed, or None if another process is sweeping.

        Raises:
            CacheError: The database can't be asked.
            OSError: The folders can't be read.
        """
        lock = try_lock(os.fspath(self._generations.directory / "sweep.lock"))
        if lock is None:
            return None
        try:
            self._generations.remove_outdated()
            removed = self._sweep_files(age_s, pause_s)
            self._sweep_rows(pause_s)
            self._run(BlockDatabase.check)
        finally:
            os.close(lock)
        return removed

    def _passes(self) -> None:
        due_at = self._clock() + _FIRST_DELAY_S
        while not self._ended.is_set():
            is_hurried = self._wake.wait(_TEND_S)
            self._wake.clear()
            if self._ended.is_set():
                return
            self._attempt("tending", self._tend)
            if is_hurried or self._clock() >= due_at:
                due_at = self._clock() + _INTERVAL_S
                self._attempt("the sweep", self._sweep_slowly)

    def _attempt(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as exc:
            # Not a warning: the store itself has said what is wrong with the disk.
            logger.info("%s of %s ended: %s", what, self._generations.directory, exc)

    def _sweep_slowly(self) -> None:
        removed = self.sweep(pause_s=_PAUSE_S)
        if removed:
            logger.info("removed %d files without a row from the cache", removed)

    def _sweep_files(self, age_s: float, pause_s: float) -> int:
        folder = self._run(lambda database: Path(database.directory))
        removed = 0
        for name in sorted(os.listdir(folder)):
            if _FOLDER.match(name) and not self._ended.is_set():
                removed += self._sweep_folder(folder, name, time.time() - age_s)
                # A rest, since its looks ask the threads that others wait for.
                self._ended.wait(pause_s)
        return removed

    def _sweep_folder(self, folder: Path, name: str, before_s: float) -> int:
        with os.scandir(folder / name) as found:
            old = [f"{name}/{item.name}" for item in found if _is_older(item, before_s)]
        blocks = [filename for filename in old if key_of(filename) is not None]
        orphans = self._run(lambda database: database.without_row(blocks)) if blocks else []
        # What has another name than a block's isn't ours; it is left, since a wrong guess
        # about whose it is can't be taken back.
        for filename in orphans:
            os.unlink(folder / filename)
        self._counters.add("orphans_removed", len(orphans))
        return len(orphans)

    def _sweep_rows(self, pause_s: float) -> None:
        rowid: int | None = None
        while not self._ended.is_set():
            rowid = self._run(partial(_sweep_rows_before, rowid))
            if rowid is None:
                return
            self._ended.wait(pause_s)  # as between folders


def _sweep_rows_before(rowid: int | None, database: BlockDatabase) -> int | None:
    """Remove dead rows among the next ones; return the last one looked at, or None."""
    rows = database.rows_before(rowid, _ROWS)
    for row in rows:
        if key_of(row.filename) != row.key or not os.path.lexists(database.path_of(row.filename)):
            database.forget(row.key, row.filename)
    return rows[-1].rowid if rows else None


def _is_older(item: os.DirEntry[str], before_s: float) -> bool:
    try:
        return item.stat(follow_symlinks=False).st_mtime <= before_s
    except FileNotFoundError:
        return False
