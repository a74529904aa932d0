"""What SQLite and diskcache raise, and what it means for a cache.

Their errors stop here: whoever uses the database sees one of four, and knows whether to try
again, to give the database up, to make room, or to leave the disk alone.

Threading: no state.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator

import diskcache

from empiarfs.cache.locks import BusyError
from empiarfs.errors import CacheError


class DamagedDatabaseError(CacheError):
    """The database can't be used any more, by anybody."""


class FullDiskError(OSError):
    """There is no room: on the disk, under a quota, or below what is to stay free."""


_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(exc: OSError) -> bool:
    """Tell whether removing something may help."""
    return isinstance(exc, FullDiskError) or exc.errno in _FULL


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn what SQLite and diskcache raise into what it means for us.

    Raises:
        DamagedDatabaseError: The database is damaged, or isn't ours.
        BusyError: It is locked.
        FullDiskError: Its disk is full.
        OSError: Its disk is read-only, or fails.
    """
    try:
        yield
    except diskcache.Timeout as exc:
        # diskcache takes whatever BEGIN raises for a timeout, a read-only disk for example.
        raise _translation(exc.__context__ or exc) from exc
    except sqlite3.Error as exc:
        cause = _cause(exc)
        raise (cause if isinstance(cause, OSError) else _translation(cause)) from exc


def _cause(exc: BaseException) -> BaseException:
    """Return what went wrong first: diskcache rolls back what SQLite has rolled back itself."""
    while "cannot rollback" in str(exc) and exc.__context__ is not None:
        exc = exc.__context__
    return exc


def _translation(exc: BaseException) -> Exception:
    text = str(exc) or "the database is locked"
    if "locked" in text or "busy" in text:
        return BusyError(text)
    if not isinstance(exc, sqlite3.OperationalError):
        return DamagedDatabaseError(text)
    if text.startswith(("no such", "near", "table ")):
        return DamagedDatabaseError(text)
    return FullDiskError(text) if "full" in text else OSError(text)
