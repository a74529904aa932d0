"""Which files are never evicted: a table in the block database, and triggers that heed it.

A pin is for one version of a file. Whoever stores a block of it, be it a mount, a command or
an older release, stores it in the pool `PINNED`, since the triggers look the file up; victims
come from the other pools (`empiarfs.cache.victims`). So all who use the blocks agree at once,
and nobody has to be told.

What the file takes when it is whole is reserved when it is pinned, whether it is stored by
then or not, and all that is reserved stays below a share of the cache (`PIN_SHARE`): the rest
is for what others read. The sum is taken in the transaction that adds the pins, so that two
commands can't take the same room.

The table comes with the first pin, and with it another number of the layout: a release that
knows no pins leaves the cache alone from then on, instead of finding its sums wrong.

Blocks that are there move to their pool, and back, some at a time, as others wait for the
lock meanwhile. A process that is killed in between leaves some in the wrong pool, where the
next `pin` or `unpin` finds them.

Threading: functions of a database, for the threads that may use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from empiarfs.cache.eviction import Pool, stored_size
from empiarfs.cache.victims import SHIFT, Sql, trigger_statements
from empiarfs.core.block_format import HEADER_STEP, encode_name
from empiarfs.core.blocks import BLOCK_SIZE
from empiarfs.core.files import RemoteFile
from empiarfs.errors import CacheError

LAYOUT = 4
"""The number of the layout of a database that has pins."""

_MOVED_AT_ONCE = 64
_IS_PINNED = "EXISTS (SELECT 1 FROM Pins WHERE file = substr(NEW.key, 1, 32))"
_STATEMENTS: Sequence[str] = (
    """CREATE TABLE Pins (
        file TEXT PRIMARY KEY, name BLOB NOT NULL, size INTEGER NOT NULL, since REAL NOT NULL
    ) WITHOUT ROWID""",
    f"INSERT OR IGNORE INTO Pools VALUES ({int(Pool.PINNED)}, 0)",
    *trigger_statements(_IS_PINNED),
    f"PRAGMA user_version = {LAYOUT}",
)

Transaction = Callable[[], AbstractContextManager[object]]


class TooMuchError(CacheError):
    """What is to be pinned doesn't fit beside what is pinned already.

    Attributes:
        needed: Bytes that all pins together would take,
        most: and may take.
    """

    def __init__(self, needed: int, most: int) -> None:
        super().__init__(f"pins would take {needed} bytes, and may take {most}")
        self.needed = needed
        self.most = most


@dataclass(frozen=True, slots=True)
class Pin:
    """A file that is never evicted.

    Attributes:
        file: `RemoteFile.short_key`.
        name: `RemoteFile.name_key`, encoded by `encode_name`.
        size: Bytes on disk that are reserved for it.
        since_s: When it was pinned, in seconds since 1970.
    """

    file: str
    name: bytes
    size: int
    since_s: float

    @property
    def url(self) -> str:
        """The file's URL, without escapes."""
        return self.name.decode("utf-8", "surrogateescape").rpartition("@")[0]


def pin_of(file: RemoteFile) -> Pin:
    """Return the pin of a file.

    >>> from empiarfs.core.files import FileVersion
    >>> pin_of(RemoteFile("https://host/", "1/a", FileVersion(BLOCK_SIZE + 1, 5))).size
    1060864
    """
    whole, rest = divmod(file.size, BLOCK_SIZE)
    size = whole * (BLOCK_SIZE + HEADER_STEP)
    if rest or not whole:
        size += stored_size(rest + HEADER_STEP)
    return Pin(file.short_key, encode_name(file.name_key), size, time.time())


def has_pins(sql: Sql) -> bool:
    """Tell whether anything was ever pinned in this database."""
    return bool(sql("SELECT 1 FROM sqlite_master WHERE name = 'Pins'").fetchall())


def all_pins(sql: Sql) -> Iterator[Pin]:
    """Yield what is pinned."""
    if has_pins(sql):
        for file, name, size, since_s in sql("SELECT file, name, size, since FROM Pins"):
            yield Pin(str(file), bytes(name), int(size), float(since_s))


def holds(sql: Sql, file: str) -> bool:
    """Tell whether a file is pinned, by its `RemoteFile.short_key`."""
    found = has_pins(sql) and sql("SELECT 1 FROM Pins WHERE file = ?", (file,)).fetchall()
    return bool(found)


def stored(sql: Sql) -> int:
    """Return the bytes that blocks of pinned files take."""
    rows = sql("SELECT size FROM Pools WHERE pool = ?", (int(Pool.PINNED),)).fetchall()
    return int(rows[0][0]) if rows else 0


def reserved(sql: Sql) -> int:
    """Return the bytes that are reserved for pinned files."""
    return sum(pin.size for pin in all_pins(sql))


def add(sql: Sql, transaction: Transaction, pins: Sequence[Pin], most: int) -> None:
    """Pin files; other versions of them are unpinned.

    Args:
        sql: Executes a statement.
        transaction: Begins one, for a `with` block.
        pins: The files.
        most: Bytes that all pins together may take.

    Raises:
        TooMuchError: They would take more; nothing was changed.
    """
    wanted, urls = {pin.file for pin in pins}, {pin.url for pin in pins}
    with transaction():
        if not has_pins(sql):
            for statement in _STATEMENTS:
                sql(statement)
        kept, older = 0, []
        for pin in all_pins(sql):
            if pin.url in urls:
                older += [] if pin.file in wanted else [pin.file]
            else:
                kept += pin.size
        needed = kept + sum(pin.size for pin in pins)
        if needed > most:
            raise TooMuchError(needed, most)
        for file in older:
            sql("DELETE FROM Pins WHERE file = ?", (file,))
        for pin in pins:
            sql(
                "INSERT OR REPLACE INTO Pins VALUES (?, ?, ?, ?)",
                (pin.file, pin.name, pin.size, pin.since_s),
            )
    for pin in pins:
        _move(sql, transaction, _keys_of(sql, pin.file))
    if older:
        _release(sql, transaction)


def remove(sql: Sql, transaction: Transaction, chosen: Callable[[Pin], bool]) -> list[Pin]:
    """Unpin the files that are chosen, and return them; their blocks stay, like all others."""
    if not has_pins(sql):
        return []
    with transaction():
        gone = [pin for pin in all_pins(sql) if chosen(pin)]
        for pin in gone:
            sql("DELETE FROM Pins WHERE file = ?", (pin.file,))
    _release(sql, transaction)
    return gone


def _keys_of(sql: Sql, file: str) -> list[str]:
    # "/" is what comes behind ".".
    select = "SELECT key FROM Cache WHERE key > ? AND key < ? AND rowid < ?"
    rows = sql(select, (f"{file}.", f"{file}/", int(Pool.PINNED) << SHIFT)).fetchall()
    return [str(key) for (key,) in rows]


def _release(sql: Sql, transaction: Transaction) -> None:
    """Move blocks out of the pool whose files aren't pinned."""
    start, bound = int(Pool.PINNED) << SHIFT, (int(Pool.PINNED) + 1) << SHIFT
    select = """
        SELECT rowid, key, EXISTS (SELECT 1 FROM Pins WHERE file = substr(key, 1, 32))
        FROM Cache WHERE rowid > ? AND rowid < ? ORDER BY rowid DESC LIMIT ?"""
    # Downwards: what fills a gap comes from further up, and was looked at.
    while rows := sql(select, (start, bound, 1024)).fetchall():
        bound = rows[-1][0]
        _move(sql, transaction, [str(key) for _, key, is_pinned in rows if not is_pinned])


def _move(sql: Sql, transaction: Transaction, keys: Sequence[str]) -> None:
    """Have the triggers put blocks into the pools where they belong."""
    for some in _parts(keys):
        with transaction():
            for key in some:
                sql("UPDATE Cache SET value = value WHERE key = ?", (key,))


def _parts(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    return (keys[i : i + _MOVED_AT_ONCE] for i in range(0, len(keys), _MOVED_AT_ONCE))
