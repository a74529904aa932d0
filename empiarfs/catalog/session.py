"""One connection to the catalog's file, and the border where SQLite's errors stop.

A session opens its connection at first use, and again whenever another file has taken the
place of the one it has. It raises `DamagedFileError` after it has set a damaged file aside,
`BusyError` while another process holds the lock, `FullError` without room, and
`UnwellError` for anything else; all of them stay inside the catalog.

Threading: one thread at a time uses a session; `unwell` may be read from any.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator

from empiarfs.catalog.database import (
    BusyError,
    CatalogFile,
    DamagedFileError,
    FullError,
    UnwellError,
    inode_of,
    is_damage,
)

logger = logging.getLogger(__name__)

_SAY_AGAIN_S = 600.0


class Session:
    """One connection, opened when it is needed; for one thread at a time.

    Args:
        file: The file to open.
        retry_after_s: How long a failed opening is answered from memory.
        clock: Monotonic seconds.
    """

    def __init__(
        self, file: CatalogFile, retry_after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = file
        self._retry_after_s = retry_after_s
        self._clock = clock
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._failed_at_s = float("-inf")
        self._say_again_at_s = float("-inf")
        self.unwell: str | None = None

    @contextlib.contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to a `with` block and translate what SQLite raises in it.

        An exception rolls back what the block began. Cheap: one stat().

        Raises:
            DamagedFileError: The file was damaged; the next use gets a new one.
            UnwellError: The file can't be used at the moment.
        """
        connection = self._current()
        try:
            yield connection
        except sqlite3.Error as exc:
            raise self._translated(exc) from exc
        except BaseException:
            _roll_back(connection)
            raise
        if self.unwell is not None:
            logger.info("catalog: usable again")
            self.unwell = None

    def close(self) -> None:
        """Close the connection; the next use would open another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _roll_back(connection)
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _current(self) -> sqlite3.Connection:
        if self._connection is not None and inode_of(self._file.path) != self._inode:
            self.close()
        if self._connection is None:
            if self._clock() < self._failed_at_s + self._retry_after_s:
                raise UnwellError(self.unwell or "the catalog can't be opened")
            try:
                self._connection, self._inode = self._file.open()
            except UnwellError as exc:
                self._failed_at_s = self._clock()
                self._complain(str(exc))
                raise
        return self._connection

    def _translated(self, exc: sqlite3.Error) -> Exception:
        """Return our exception for SQLite's, and drop a connection that is of no more use."""
        text = str(exc)
        if self._connection is not None:
            _roll_back(self._connection)
        if is_damage(exc):
            self.close()
            self._file.set_aside(self._inode, text)
            return DamagedFileError(text)
        self._complain(text)
        if "locked" in text or "busy" in text:
            return BusyError(text)
        if "full" in text:
            return FullError(text)
        self.close()
        return UnwellError(text)

    def _complain(self, text: str) -> None:
        if self.unwell != text:
            # A disk that comes and goes must not fill the log.
            now = self._clock()
            is_news = now >= self._say_again_at_s
            if is_news:
                self._say_again_at_s = now + _SAY_AGAIN_S
            logger.log(logging.WARNING if is_news else logging.INFO, "catalog unwell: %s", text)
        self.unwell = text


def _roll_back(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
