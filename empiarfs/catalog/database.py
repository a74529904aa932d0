"""The catalog's files: made, opened, and set aside when they can't be believed.

Rules:

* Nothing is scanned at opening, whatever the size. Damage is found when it is met.
* A damaged file is renamed to NAME.damaged (one is kept), a foreign one to NAME.foreign;
  a file of a newer format is left alone, and NAME-formatN used instead.
* The file and its journal must be made and replaced together, or SQLite would roll the
  new file back by the journal of the old one. So opening and setting aside happen
  under a lock, a file of its own, since closing a descriptor of a database drops every
  POSIX lock that this process holds on it.
* Other processes may still have the old file open. Their sessions notice by its inode
  number, at their next use; what they write until then is lost, and nothing else.

Threading: a `CatalogFile` may be used from any thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

# "emp1" as a number; `file` and our own check recognise a catalog by it.
APPLICATION_ID = 0x656D7031
FORMAT = 1
_PAGE_SIZE = 4096

_BUSY_TIMEOUT_S = 1.0
_LOCK_TIMEOUT_S = 2.0
# A process that waits in `flock` can't give up; the lock is held while a catalog is begun anew.
_LOCK_POLL_S = 0.02
_JOURNAL_LIMIT = 4 * 1024 * 1024

_SCHEMA = (
    "CREATE TABLE about (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE directory (
        path BLOB PRIMARY KEY, generation INTEGER NOT NULL, fetched_s REAL NOT NULL,
        refused_count INTEGER NOT NULL, row_count INTEGER NOT NULL, checksum BLOB NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE items (
        generation INTEGER, first BLOB, body BLOB NOT NULL, PRIMARY KEY (generation, first)
    ) WITHOUT ROWID""",
    """CREATE TABLE versions (
        generation INTEGER, first BLOB, body BLOB NOT NULL, PRIMARY KEY (generation, first)
    ) WITHOUT ROWID""",
    "CREATE TABLE garbage (generation INTEGER PRIMARY KEY, since_s REAL NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file holds.

    Attributes:
        application_id: Four letters as a number, by which `file` and we know it.
        version: Of the layout; newer ones are left alone.
        statements: Make the tables. One of them is `about`, with `key` and `value`.
        kind: What it is, for people.
    """

    application_id: int
    version: int
    statements: tuple[str, ...]
    kind: str


NAMES = Layout(APPLICATION_ID, FORMAT, _SCHEMA, "catalog")


class UnwellError(Exception):
    """The catalog can't be used at the moment; never leaves the catalog."""


class BusyError(UnwellError):
    """Another process holds the lock; worth another attempt."""


class FullError(UnwellError):
    """There is no room: the disk is full, or the catalog's bound is reached."""


class DamagedFileError(Exception):
    """The file was damaged and has been set aside; never leaves the catalog."""


class CatalogFile:
    """Knows where the catalog is, makes it and sets it aside; safe from any thread.

    Args:
        path: The file; its directory must exist.
        archive_url: Base URL of what it is about: the archive whose names it holds.
        limit: Bytes that it may take; the journal's 4 MiB come on top.
        layout: What it holds.
    """

    def __init__(self, path: Path, archive_url: str, limit: int, layout: Layout = NAMES) -> None:
        self.path = path
        self.layout = layout
        self.archive_url = archive_url.encode("utf-8", "surrogateescape")
        self.max_pages = max(32, limit // _PAGE_SIZE)
        self.rebuilt: str | None = None
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._lock = threading.Lock()  # held while opening or setting aside

    def open(self) -> tuple[sqlite3.Connection, int]:
        """Return a connection to a usable file, and the file's inode number.

        Raises:
            UnwellError: There can be none at the moment.
        """
        with self._lock, self._locked():
            # At most: a newer format, then something foreign, then something damaged.
            for _ in range(4):
                opened = self._try_to_open()
                if opened is not None:
                    return opened
        raise UnwellError(f"{self.path} can't be replaced")

    def set_aside(self, inode: int, reason: str) -> None:
        """Rename the file if it is still the one with number `inode`; best effort."""
        with self._lock, contextlib.suppress(UnwellError, OSError), self._locked():
            if inode_of(self.path) == inode:
                self._move_away("damaged", reason)

    def _try_to_open(self) -> tuple[sqlite3.Connection, int] | None:
        """Open what is there; None if it was something else and has been moved away."""
        if self._is_in_the_way():
            self._move_away("foreign", "not a file")
        try:
            self._remove_links()
            self._create()
            # The path is no URI, in which a `?` or `#` would have a meaning.
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as exc:
            raise UnwellError(str(exc)) from exc
        try:
            _tune(connection, self.max_pages)
            problem = self._prepare(connection)
        except sqlite3.Error as exc:
            connection.close()
            if not is_damage(exc):
                raise UnwellError(str(exc)) from exc
            self._move_away("damaged", str(exc))
            return None
        if problem is None:
            return connection, inode_of(self.path)
        connection.close()
        if problem == "newer":
            version = self.layout.version
            self.path = self.path.with_name(f"{self.path.stem}-format{version}{self.path.suffix}")
        else:
            self._move_away("foreign", problem)
        return None

    def _is_in_the_way(self) -> bool:
        """Tell whether something other than a regular file has our name."""
        try:
            return not stat.S_ISREG(os.lstat(self.path).st_mode)
        except OSError:
            return False

    def _remove_links(self) -> None:
        """Remove links in the places of SQLite's further files, which it would follow."""
        for suffix in ("-journal", "-wal", "-shm"):
            log = f"{self.path}{suffix}"
            if os.path.islink(log):
                os.unlink(log)

    def _create(self) -> None:
        """Make an empty file that only its owner can read, if there is none."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, flags, 0o600))

    def _prepare(self, connection: sqlite3.Connection) -> str | None:
        """Check whose file it is and lay out an empty one.

        Returns:
            None if it can be used, else what is wrong with it: "newer" for a newer format.
        """
        application = _pragma(connection, "application_id")
        version = _pragma(connection, "user_version")
        if application == 0 and version == 0 and _pragma(connection, "schema_version") == 0:
            self._lay_out(connection)
            return None
        if application != self.layout.application_id:
            return f"not a {self.layout.kind}"
        if version > self.layout.version:
            return "newer"
        row = connection.execute("SELECT value FROM about WHERE key = 'archive_url'").fetchone()
        if row is None or row[0] != self.archive_url:
            return f"the {self.layout.kind} of another archive"
        return None

    def _lay_out(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for statement in self.layout.statements:
            connection.execute(statement)
        connection.execute("INSERT INTO about VALUES ('archive_url', ?)", (self.archive_url,))
        connection.execute(f"PRAGMA application_id = {self.layout.application_id}")
        connection.execute(f"PRAGMA user_version = {self.layout.version}")
        connection.execute("COMMIT")

    def _move_away(self, kind: str, reason: str) -> None:
        """Rename what is there to NAME.`kind`; the caller holds both locks."""
        target = self.path.with_name(f"{self.path.name}.{kind}")
        number = 1
        while kind == "foreign" and os.path.lexists(target):
            number += 1
            target = self.path.with_name(f"{self.path.name}.{kind}{number}")
        try:
            # The journal first: left beside a new file, it would be played back into that.
            for suffix in ("-journal", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self.path}{suffix}")
            os.replace(self.path, target)
        except OSError as exc:
            raise UnwellError(f"{self.path} is {kind} ({reason}) and stays: {exc}") from exc
        self.rebuilt = f"{self.path} was {kind} ({reason}) and is now {target.name}"
        logger.warning("catalog: %s", self.rebuilt)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock that processes share; never waits for longer than 2 s."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            lock = os.open(self._lock_path, flags, 0o600)
        except OSError as exc:
            raise UnwellError(str(exc)) from exc
        try:
            _wait_for_lock(lock)
            yield
        finally:
            os.close(lock)


def inode_of(path: Path) -> int:
    """Return the inode number of a file, 0 if there is none."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def is_damage(exc: sqlite3.Error) -> bool:
    """Tell whether SQLite met a file that isn't sound, rather than a passing trouble."""
    if type(exc) is sqlite3.DatabaseError:  # "malformed", "not a database"
        return True
    # A page of zeros in the wrong place loses a table or breaks a constraint. Error codes
    # would be surer, but the module has them from Python 3.11 on only.
    text = str(exc)
    return isinstance(exc, sqlite3.IntegrityError) or any(
        sign in text for sign in ("no such table", "no such column", "malformed", "unsupported")
    )


def _tune(connection: sqlite3.Connection, max_pages: int) -> None:
    for statement in (
        # With memory maps a truncated file kills the process by SIGBUS; a write-ahead log has
        # one, too, which all processes share.
        "PRAGMA mmap_size = 0",
        "PRAGMA journal_mode = PERSIST",
        "PRAGMA cache_size = -512",
        # A power cut may damage it. That is found when it is met, since all is checksummed,
        # and costs some listings; forcing each change to the disk would slow streams down.
        "PRAGMA synchronous = OFF",
        f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT}",
        "PRAGMA cell_size_check = ON",
        "PRAGMA trusted_schema = OFF",
        f"PRAGMA max_page_count = {max_pages}",
    ):
        connection.execute(statement).fetchall()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    row = connection.execute(f"PRAGMA {name}").fetchone()
    return int(row[0])


def _wait_for_lock(lock: int) -> None:
    deadline_s = time.monotonic() + _LOCK_TIMEOUT_S
    while not _takes_lock(lock):
        if time.monotonic() >= deadline_s:
            raise UnwellError("another process keeps the catalog's lock")
        # A lock that is waited for in the kernel can't be given up when the time is over.
        time.sleep(_LOCK_POLL_S)


def _takes_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        raise UnwellError(str(exc)) from exc
    return True
