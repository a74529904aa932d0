"""Whether a block database can be believed: its sums, and its pages after a crash.

The byte limit rests on a sum that triggers keep up to date. If that were wrong, a cache would
grow without end; so it is compared with the rows when a database is opened and at each sweep,
which takes 20 ms for 100,000 blocks.

The database isn't forced to the disk at each change (`synchronous = OFF`), since that would
force the blocks before it, too. When a process is killed nothing is lost by that. When the
machine is, what is on the disk may be a mixture of old and new pages; so the number of the
machine's start is kept beside the database, and after another one all pages are looked at.

Threading: functions of a connection, for the thread that owns it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from empiarfs.cache.database_errors import DamagedDatabaseError
from empiarfs.cache.small_files import read_small, write_small
from empiarfs.cache.victims import SHIFT

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SUMS = """
    SELECT (SELECT ifnull(sum(size), 0) FROM Cache), (SELECT count(*) FROM Cache),
           (SELECT value FROM Settings WHERE key = 'size'),
           (SELECT value FROM Settings WHERE key = 'count')
"""
_POOLS = f"""
    SELECT count(*) FROM Pools WHERE size != (
        SELECT ifnull(sum(size), 0) FROM Cache
        WHERE rowid > pool << {SHIFT} AND rowid < (pool + 1) << {SHIFT})
"""


def check_sums(sql: Callable[[str], sqlite3.Cursor]) -> None:
    """Compare what is kept of all rows together with the rows.

    Args:
        sql: Executes a statement.

    Raises:
        DamagedDatabaseError: It doesn't fit.
    """
    ((size, count, kept_size, kept_count),) = sql(_SUMS).fetchall()
    ((wrong_pools,),) = sql(_POOLS).fetchall()
    if (size, count, 0) != (kept_size, kept_count, wrong_pools):
        raise DamagedDatabaseError(f"{count} blocks, {kept_count} counted; or their bytes")


def check_after_restart(sql: Callable[[str], sqlite3.Cursor], folder: Path) -> None:
    """Look at all pages, if the machine was started since the database was last opened.

    Raises:
        DamagedDatabaseError: A page isn't sound.
        OSError: The folder can't be used.
    """
    place, boot = folder / "boot", _boot_id()
    try:
        if read_small(place, 64) == boot:
            return
    except FileNotFoundError:
        pass
    found = sql("PRAGMA quick_check(1)").fetchall()
    if found != [("ok",)]:
        raise DamagedDatabaseError(f"after a restart of the machine: {found[0][0]:.100}")
    write_small(place, boot)


def _boot_id() -> bytes:
    try:
        return _BOOT_ID.read_bytes().strip()
    except OSError:
        return b"unknown"
