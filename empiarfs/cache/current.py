"""The database that is current, opened when first needed and again when it is no longer.

Everything that uses the database goes through `CurrentDatabase.use`: it compares the
generation once a second, closes the connections of threads that come from an older one,
translates errors once, and leaves a damaged database for the next generation.

Threading: `use` belongs on the cache threads, since it may wait for the disk. One lock is
held while the database is opened, so that it is opened once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from empiarfs.cache.database import BlockDatabase
from empiarfs.cache.database_errors import DamagedDatabaseError, translated
from empiarfs.cache.generations import Generation, Generations
from empiarfs.cache.locks import BusyError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_COMPARE_S = 1.0
# A database whose lock nobody lets go of is given up: its holder was stopped, or is another
# program. Only where it couldn't be opened, so that nothing could be read from it either.
_LOCKED_LIMIT_S = 120.0


class CurrentDatabase:
    """Hands out the database of the current generation.

    Args:
        generations: Where the generations are.
        limit: Bytes that the whole cache may take, asked anew when a database is opened.
        replaced: Called after a generation was left because it is damaged.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        generations: Generations,
        limit: Callable[[], int],
        replaced: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._generations = generations
        self._limit = limit
        self._replaced = replaced
        self._clock = clock
        self._lock = threading.Lock()
        self._database: BlockDatabase | None = None  # guarded by _lock
        self._compared_at = 0.0  # guarded by _lock
        self._locked_since: float | None = None  # guarded by _lock
        self._of_thread = threading.local()

    def use(self, work: Callable[[BlockDatabase], T]) -> T:
        """Return what `work` returns, given the current database.

        Raises:
            DamagedDatabaseError: It was damaged; the next call uses a new one.
            BusyError: Another process held a lock.
            CorruptBlockError: `work` raised it.
            OSError: The disk failed.
        """
        with self._lock:
            database = self._opened()
        self._enter(database)
        try:
            with translated():
                return work(database)
        except DamagedDatabaseError as exc:
            database.close_thread()
            self._leave(database, exc)
            raise
        except BaseException:
            database.close_thread()
            raise

    def end_thread(self) -> None:
        """Close the calling thread's connection; to be called before the thread ends."""
        database: BlockDatabase | None = getattr(self._of_thread, "database", None)
        if database is not None:
            database.close_thread()
            self._of_thread.database = None

    def forget(self) -> None:
        """Let go of the database, so that the next use opens it anew."""
        with self._lock:
            self._database = None

    def _opened(self) -> BlockDatabase:
        now = self._clock()
        if self._database is not None and now - self._compared_at >= _COMPARE_S:
            self._compared_at = now
            if not self._generations.is_current(self._database.generation):
                self._database = None
        if self._database is None:
            self._database = self._open()
            self._compared_at = now
        return self._database

    def _open(self) -> BlockDatabase:
        generation = self._generations.open()
        try:
            database = self._open_one(generation)
        except DamagedDatabaseError as exc:
            self._give_up(generation, exc)
            database = self._open_one(self._generations.open())
        self._locked_since = None
        return database

    def _open_one(self, generation: Generation) -> BlockDatabase:
        try:
            database = BlockDatabase(generation, self._limit())
        except BusyError as exc:
            now = self._clock()
            if self._locked_since is None:
                self._locked_since = now
            if now - self._locked_since < _LOCKED_LIMIT_S:
                raise
            raise DamagedDatabaseError(f"locked for {_LOCKED_LIMIT_S:g} s") from exc
        # The thread that opened it isn't known to `_enter` yet.
        database.close_thread()
        return database

    def _enter(self, database: BlockDatabase) -> None:
        """Close this thread's connection to another database than the current one."""
        if getattr(self._of_thread, "database", None) is not database:
            self.end_thread()
            self._of_thread.database = database

    def _leave(self, database: BlockDatabase, exc: DamagedDatabaseError) -> None:
        with self._lock:
            if self._database is database:
                self._database = None
                self._give_up(database.generation, exc)

    def _give_up(self, generation: Generation, exc: DamagedDatabaseError) -> None:
        logger.warning(
            "the block database in %s can't be used (%s); starting with an empty cache",
            generation.path,
            str(exc),  # not itself: a handler that keeps it would keep the generation locked
        )
        self._generations.succeed(generation)
        generation.close()
        self._replaced()
