"""What an error of SQLite means."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from empiarfs.cache.database_errors import (
    DamagedDatabaseError,
    FullDiskError,
    is_full,
    translated,
)
from empiarfs.cache.locks import BusyError


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (sqlite3.OperationalError("database is locked"), BusyError),
        (sqlite3.OperationalError("database or disk is full"), FullDiskError),
        (sqlite3.OperationalError("disk I/O error"), OSError),
        (sqlite3.OperationalError("no such table: Cache"), DamagedDatabaseError),
        (sqlite3.DatabaseError("database disk image is malformed"), DamagedDatabaseError),
    ],
)
def test_each_error_has_a_meaning(error: sqlite3.Error, meaning: type[Exception]) -> None:
    with pytest.raises(meaning), translated():
        raise error


def test_a_rollback_that_fails_hides_no_cause() -> None:
    def write() -> None:
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError:
            rollback = "cannot rollback - no transaction is active"
            raise sqlite3.OperationalError(rollback)  # noqa: B904 - as diskcache does

    with pytest.raises(OSError, match="quota") as caught, translated():
        write()

    assert is_full(caught.value)
