# mypy: disallow-subclassing-any=False
"""The database of the blocks of one generation: diskcache, with a `Disk` and victims of our own.

A row says which file holds which block, and how much room it takes; the bytes are in the
file (`empiarfs.cache.block_file`). What diskcache would do otherwise, and why it may not:

* Values and files: see `empiarfs.cache.block_disk`.
* Ten rows at most are culled for a write, so the size is no bound: culling is off, and
  `make_room` evicts before the write.
* Without a bound on its memory SQLite takes 95 MB for each thread: no mmap, 256 pages.
* With a write-ahead log all processes map a file into memory (`cache.db-shm`), and whoever
  truncates that file ends them by SIGBUS: the journal is of the older kind. It costs 5 %
  more for a block stored.

A file is unlinked *before* its row is deleted: what dies in between leaves a row without a
file, which is a miss and costs nothing, and not a file without a row.

Threading: diskcache keeps a connection for each thread. `close_thread` closes that of the
calling one, and must be called after any exception: a COMMIT that failed leaves its
transaction open, and with it the lock that everybody needs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import diskcache

from empiarfs.cache import eviction, pins, soundness, victims
from empiarfs.cache.block_disk import BlockDisk, BlockFile, key_of
from empiarfs.cache.database_errors import DamagedDatabaseError, translated
from empiarfs.cache.eviction import Candidate, Pool
from empiarfs.cache.generations import Generation
from empiarfs.errors import CacheError, CorruptBlockError

logger = logging.getLogger(__name__)

_TIMEOUT_S = 1.0
# Others wait for the lock meanwhile: a block of 1 MiB takes 0.2 ms to remove.
_EVICTED_AT_ONCE = 64
_APPLICATION_ID = 0x454D5046  # "EMPF"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Of tables, triggers and journal; 2 had a write-ahead log, `pins.LAYOUT` is that with pins.
_LAYOUT = 3


@dataclass(frozen=True, slots=True)
class StoredRow:
    """What the database knows of a stored block.

    Attributes:
        rowid: Its row.
        key: `BlockKey.short`.
        filename: Its file, relative to the generation's folder.
        size: Bytes that the file takes on disk.
        entry: The directory of the archive's root that the block's file lies in.
        stored_s: When it was stored, or added to, in seconds since 1970.
    """

    rowid: int
    key: str
    filename: str
    size: int
    entry: str
    stored_s: float

    @property
    def is_pinned(self) -> bool:
        """Whether it is never evicted."""
        return self.rowid >> victims.SHIFT == Pool.PINNED


@dataclass(frozen=True, slots=True)
class EntryUsage:
    """What is stored of one entry.

    Attributes:
        entry: Its directory.
        blocks: The number of blocks.
        size: Bytes that they take on disk.
        pinned: Of these, bytes of blocks that are never evicted.
        oldest_s: When the first of them was stored, in seconds since 1970,
        newest_s: and the last.
    """

    entry: str
    blocks: int
    size: int
    pinned: int
    oldest_s: float
    newest_s: float


class BlockDatabase(diskcache.Cache):
    """The rows of one generation; every method may raise what `sqlite3` and the system do.

    Args:
        generation: Where it is; the database keeps the shared lock for as long as it lives.
        limit: Bytes that the whole cache may take; for the size of the journal.

    Raises:
        DamagedDatabaseError: It isn't usable for anybody.
        BusyError: Another process holds its lock.
        CacheError: It is a newer release's.
    """

    def __init__(self, generation: Generation, limit: int) -> None:
        self.generation = generation
        self._random = Random()
        _prepare(generation)
        with translated():
            try:
                self._set_up(eviction.wal_pages(limit))
            except BaseException as exc:
                self.close_thread()
                if isinstance(exc, (TypeError, ValueError, AttributeError, LookupError)):
                    # diskcache takes its table of settings at its word.
                    raise DamagedDatabaseError(f"settings that aren't ours: {exc}") from exc
                raise

    def _set_up(self, journal_pages: int) -> None:
        super().__init__(
            os.fspath(self.generation.path),
            timeout=_TIMEOUT_S,
            disk=BlockDisk,
            eviction_policy="none",
            cull_limit=0,
            statistics=0,
            tag_index=0,
            # Rows come and go in equal numbers, so there is nothing to give back.
            sqlite_auto_vacuum=0,
            sqlite_mmap_size=0,
            sqlite_cache_size=256,
            # Kept, and not emptied: that makes a commit as quick as with a write-ahead log.
            sqlite_journal_mode="persist",
            sqlite_synchronous=0,
            sqlite_journal_size_limit=journal_pages * eviction.STEP,
        )
        # One transaction: a table of pools without its triggers would be wrong for ever.
        with self.transact():
            for statement in victims.STATEMENTS:
                self._sql(statement)
        soundness.check_after_restart(self._sql, self.generation.path)
        soundness.check_sums(self._sql)

    def path_of(self, filename: str) -> str:
        """Return the whole path of a block's file."""
        return os.path.join(self.directory, filename)

    def filename_of(self, key: str) -> str | None:
        """Return the name of the file that holds the block, or None.

        A row that isn't one of ours is deleted.
        """
        try:
            filename: str | None = self.get(key)
        except CorruptBlockError:
            filename = ""
        if filename is None or key_of(filename) == key:
            return filename
        logger.warning("a row of the cache in %s was not written by us", self.directory)
        self._sql("DELETE FROM Cache WHERE key = ?", (key,))
        return None

    def used(self) -> int:
        """Return the bytes that the files of all rows take on disk."""
        ((size,),) = self._sql("SELECT value FROM Settings WHERE key = 'size'").fetchall()
        return int(size)

    def block_count(self) -> int:
        """Return the number of rows."""
        ((count,),) = self._sql("SELECT value FROM Settings WHERE key = 'count'").fetchall()
        return int(count)

    def put_blocks(
        self,
        blocks: Sequence[tuple[str, BlockFile, str]],
        before: Mapping[str, str | None] | None = None,
    ) -> bool:
        """Write files and their rows, in place of what the blocks had before.

        Args:
            blocks: Key, file and tag of each.
            before: Which file each has to have until then, by key; None for whichever.

        Returns:
            Whether they were written; False if one of them has another file by now.
        """
        try:
            # One transaction for all: a commit costs more than a row.
            with self.transact():
                if before is not None and any(
                    self.filename_of(key) != before[key] for key, _, _ in blocks
                ):
                    return False
                for key, file, tag in blocks:
                    self.set(key, file, tag=tag)
                return True
        except BaseException:
            for _, file, _ in blocks:
                self.disk.remove(file.filename)
            raise

    def forget(self, key: str, filename: str) -> None:
        """Remove a block's file and its row, unless the row names another file by now."""
        self.disk.remove(filename)
        self._sql("DELETE FROM Cache WHERE key = ? AND filename = ?", (key, filename))

    def make_room(self, needed: int, capacity: int) -> tuple[list[str], bool]:
        """Evict blocks until `needed` bytes more fit into `capacity`.

        Returns:
            The keys of the blocks that are gone, none if there was room; and whether there is
            none since nothing is left that may be evicted.
        """
        if self.used() + needed <= capacity:
            return [], False
        target = capacity - needed - eviction.room_to_leave(capacity)
        evicted: list[str] = []
        while batch := self._evict(target, capacity):
            evicted += batch
        return evicted, not evicted and self.used() + needed > capacity

    def rows_before(self, rowid: int | None, count: int) -> list[Candidate]:
        """Return up to `count` rows downwards from `rowid` or the end, for a walk over all."""
        return victims.rows_before(self._sql, rowid, count)

    def stored_before(self, rowid: int | None, count: int) -> list[StoredRow]:
        """Return the same, with what else is known of them; without rows that aren't ours."""
        bound = sys.maxsize if rowid is None else rowid
        rows = self._sql(
            "SELECT rowid, key, filename, size, tag, store_time FROM Cache"
            " WHERE rowid < ? ORDER BY rowid DESC LIMIT ?",
            (bound, count),
        ).fetchall()
        return [
            StoredRow(row, key, filename, size, str(tag), float(stored_s or 0))
            for row, key, filename, size, tag, stored_s in rows
            if type(filename) is str and key_of(filename) == key
        ]

    def entries(self) -> list[EntryUsage]:
        """Return what is stored of each entry, the largest first."""
        rows = self._sql(
            "SELECT tag, count(*), sum(size), sum(CASE WHEN rowid > ? THEN size ELSE 0 END),"
            " min(store_time), max(store_time)"
            " FROM Cache GROUP BY tag ORDER BY sum(size) DESC",
            (int(Pool.PINNED) << victims.SHIFT,),
        ).fetchall()
        return [
            EntryUsage(str(tag), count, size, pinned, float(oldest or 0), float(newest or 0))
            for tag, count, size, pinned, oldest, newest in rows
        ]

    def of_file(self, file_key: str) -> tuple[int, int]:
        """Return the bytes that a file's blocks take, and the number of them."""
        # The key of a block is that of its file, a dot, and its index; "/" comes after ".".
        row = self._sql(
            "SELECT total(size), count(*) FROM Cache WHERE key > ? AND key < ?",
            (f"{file_key}.", f"{file_key}/"),
        ).fetchone()
        return int(row[0]), int(row[1])

    def pinned(self) -> int:
        """Return the bytes that blocks of pinned files take."""
        return pins.stored(self._sql)

    def is_pinned(self, file: str) -> bool:
        """Tell whether a file is pinned, by its `RemoteFile.short_key`."""
        return pins.holds(self._sql, file)

    def all_pins(self) -> list[pins.Pin]:
        """Return what is pinned."""
        return list(pins.all_pins(self._sql))

    def pin(self, files: Sequence[pins.Pin], most: int) -> None:
        """Pin files; see `pins.add`."""
        pins.add(self._sql, self.transact, files, most)

    def unpin(self, chosen: Callable[[pins.Pin], bool]) -> list[pins.Pin]:
        """Unpin files; see `pins.remove`."""
        return pins.remove(self._sql, self.transact, chosen)

    def remove(self, rows: Sequence[StoredRow]) -> None:
        """Remove blocks, unless their rows name other files by now."""
        with self.transact():
            for row in rows:
                self._unlink(row.filename)
                self._sql(
                    "DELETE FROM Cache WHERE key = ? AND filename = ?", (row.key, row.filename)
                )

    def without_row(self, filenames: Iterable[str]) -> list[str]:
        """Return those of the files that no row names."""
        select = "SELECT filename FROM Cache WHERE key = ? AND raw = 1"
        missing = []
        for filename in filenames:
            rows = self._sql(select, (key_of(filename),)).fetchall()
            if rows != [(filename,)]:
                missing.append(filename)
        return missing

    def check(self) -> None:
        """Raise DamagedDatabaseError if what is kept of all rows together doesn't fit them."""
        soundness.check_sums(self._sql)

    def recover(self, key: str, filenames: Sequence[str]) -> None:
        """Remove those files that a killed writer noted and that have no row."""
        for filename in self.without_row(name for name in filenames if key_of(name)):
            self.disk.remove(filename)

    def overhead(self) -> int:
        """Return the bytes on disk of all that isn't a block: some 270 calls of `stat`."""
        total = os.stat(self.directory).st_blocks
        with os.scandir(self.directory) as found:
            for item in found:
                with contextlib.suppress(FileNotFoundError):
                    total += item.stat(follow_symlinks=False).st_blocks
        return total * 512

    def close_thread(self) -> None:
        """Close the calling thread's connection; the next use opens another."""
        with contextlib.suppress(sqlite3.Error):
            self.close()

    def _evict(self, target: int, capacity: int) -> list[str]:
        """Evict until at most `target` bytes are used, but only so many blocks at once."""
        evicted: list[str] = []
        with self.transact():
            while len(evicted) < _EVICTED_AT_ONCE and self.used() > target:
                victim = victims.victim(self._sql, capacity, self._random)
                if victim is None:
                    break
                self._unlink(victim.filename)
                self._sql("DELETE FROM Cache WHERE rowid = ?", (victim.rowid,))
                evicted.append(victim.key)
        return evicted

    def _unlink(self, filename: str) -> None:
        """Remove a block's file for good, or raise: then its row must stay."""
        if key_of(filename) is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path_of(filename))


def _prepare(generation: Generation) -> None:
    """Look at the database before diskcache does, which would wait a minute for a lock.

    Also marks a new one as ours, and finds a foreign one.
    """
    path = generation.path / "cache.db"
    _check_links(generation)
    # Before SQLite does, which would let others read it; its log gets the same mode.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, _NEW, 0o600))
    with (
        translated(),
        contextlib.closing(
            sqlite3.connect(path, timeout=_TIMEOUT_S, isolation_level=None)
        ) as connection,
    ):
        connection.execute("BEGIN IMMEDIATE")
        ((mark,),) = connection.execute("PRAGMA application_id").fetchall()
        if mark != _APPLICATION_ID:
            _check_empty(generation, connection)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        ((layout,),) = connection.execute("PRAGMA user_version").fetchall()
        if layout > pins.LAYOUT:
            # Not to be replaced: two releases would take the cache from each other for ever.
            raise CacheError("the cache was made by a newer release of empiarfs")
        if layout not in (_LAYOUT, pins.LAYOUT):
            raise DamagedDatabaseError(f"its layout is {layout}, not {_LAYOUT}")
        connection.execute("COMMIT")


def _check_links(generation: Generation) -> None:
    """Raise if something in the folder is a symbolic link: none of ours is one."""
    with os.scandir(generation.path) as found:
        links = [item.name for item in found if item.is_symlink()]
    if links:
        raise DamagedDatabaseError(f"{links[0]} is a symbolic link")


def _check_empty(generation: Generation, connection: sqlite3.Connection) -> None:
    ((tables,),) = connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    if tables:
        raise DamagedDatabaseError("another program's database")
    if generation.has_blocks:
        # Filled anew, it would let twice the limit pile up until the sweep has been.
        raise DamagedDatabaseError("an empty database beside blocks")
