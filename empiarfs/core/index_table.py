r"""An index as a table that people and programs can read, and that can be taken back.

    column       of a file                             of a directory
    -----------  ------------------------------------  ----------------------------------
    path         below the archive's root              the same, with a slash at the end
    size         bytes, exact; empty if not known      empty
    modified     UTC, "2021-11-06T11:19:15Z"; empty    empty
                 if not known
    url          where it is                           the same
    listed_time  the listing's minute, as it is there  the same
    listed_size  the listing's rounded size            empty
    the last     empty                                 when it was listed, seconds since 1970;
                                                       empty if that isn't part of the table

The last column's name is `empiarfs-1-` and the SHA-256 of the fields of all rows, each row's
joined by tabs and ended by a newline. Further columns may stand before it, and don't count.
In a path, a backslash, control characters and bytes that aren't UTF-8 are written as `\xNN`.

A table begins with the directory that was exported. The rows of a directory stand together,
anywhere behind its own row; a second exported directory may begin where others are over.

`TableReader` believes nothing: each name must be one that could be listed, each URL that of
its path in this archive, each number one that can be. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256

from empiarfs.core import paths, sizes
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem

COLUMNS = ("path", "size", "modified", "url", "listed_time", "listed_size")
CHECK = "empiarfs-1-"
MOST_ROWS = 1_000_000
"""Rows of one directory; no listing that is longer is accepted either."""

_LONGEST_PATH = 4096
_LONGEST_TEXT = 32
_ODD = re.compile("[\\\\\x00-\x1f\x7f\udc80-\udcff]")
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", re.ASCII)
_TEXT = re.compile(rf"[ -~]{{0,{_LONGEST_TEXT}}}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
# A clock of another machine may be ahead.
_AHEAD_S = 300.0

Fields = tuple[str, str, str, str, str, str, str]


class UnreadableTableError(ValueError):
    """A table isn't what `table_rows` makes, or not of this archive."""


@dataclass(frozen=True, slots=True)
class IndexedRow:
    """One row of a directory; as `empiarfs.catalog` has them."""

    item: ListingItem
    version: FileVersion | None


@dataclass(frozen=True, slots=True)
class IndexedDirectory:
    """The rows of a directory.

    Attributes:
        path: Below the archive's root.
        listed_s: When it was listed, in seconds since 1970.
        rows: In the listing's order.
    """

    path: str
    listed_s: float
    rows: tuple[IndexedRow, ...]


def escaped(path: str) -> str:
    r"""Return a path in one line of text.

    >>> escaped("a\tb"), unescaped(escaped("a\\b\udcff")) == "a\\b\udcff"
    ('a\\x09b', True)
    """
    return _ODD.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", path)


def unescaped(text: str) -> str:
    """Return the path that `escaped` got.

    Raises:
        UnreadableTableError: It would have been written otherwise.
    """
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text.encode("utf-8"))
    path = raw.decode("utf-8", "surrogateescape")
    if escaped(path) != text:
        raise UnreadableTableError(f"no path: {text[:100]!r}")
    return path


def time_text(seconds: int | None) -> str:
    """Return a time as the table has it; "" for None and for what no calendar has.

    >>> time_text(1636197555)
    '2021-11-06T11:19:15Z'
    """
    if seconds is None:
        return ""
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{moment.year:04}" + moment.strftime(_TIME[2:])


def seconds_of(text: str) -> int:
    """Return the seconds since 1970 of a time of the table.

    Raises:
        UnreadableTableError: It is none.
    """
    try:
        moment = datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc)
    except ValueError as exc:
        raise UnreadableTableError(f"no time: {text[:100]!r}") from exc
    seconds = int(moment.timestamp())
    if time_text(seconds) != text:
        raise UnreadableTableError(f"no time: {text[:100]!r}")
    return seconds


class TableWriter:
    """Makes the rows of a table, and its checksum.

    Args:
        archive_url: The archive's URL, with a slash at its end.
    """

    def __init__(self, archive_url: str) -> None:
        self._archive_url = archive_url
        self._sum = sha256()

    @property
    def check(self) -> str:
        """The last column's name, once all rows were made."""
        return CHECK + self._sum.hexdigest()

    def root(self, path: str, listed_s: float | None) -> Fields:
        """Return the row of the directory that is exported."""
        return self._row(path, IndexedRow(ListingItem("", True, "", ""), None), listed_s)

    def row(self, directory: str, row: IndexedRow, listed_s: float | None) -> Fields:
        """Return a row of a directory.

        Args:
            directory: Path of the directory.
            row: The row.
            listed_s: If it is a directory whose rows are in the table: when it was listed.
        """
        return self._row(paths.join(directory, row.item.name), row, listed_s)

    def _row(self, path: str, row: IndexedRow, listed_s: float | None) -> Fields:
        item, version = row.item, row.version
        slash = "/" * item.is_directory
        # Without Last-Modified it would be another version when it is taken back.
        time = time_text(version.modified_s) if version is not None else ""
        fields = (
            escaped(path) + slash,
            "" if version is None else str(version.size),
            time,
            self._archive_url + paths.url_path(path) + slash,
            _shown(item.modified_text),
            _shown(item.size_text),
            "" if listed_s is None else f"{listed_s:.3f}",
        )
        self._sum.update(_hashed(fields))
        return fields


class TableReader:
    """Takes a table row by row. Not thread-safe.

    Args:
        archive_url: The archive that it must be of.
        now_s: Wall-clock seconds since 1970; nothing was listed later.
    """

    def __init__(self, archive_url: str, now_s: float) -> None:
        self._archive_url = archive_url
        self._now_s = now_s
        self._sum = sha256()
        self._announced: dict[str, float] = {}  # listed, and its rows are still to come
        self._seen: set[str] = set()  # all directories so far
        self._path: str | None = None
        self._rows: list[IndexedRow] = []
        self._names: set[str] = set()

    def add(self, fields: Sequence[str]) -> IndexedDirectory | None:
        """Take a row; return the directory that is complete now, if one is.

        Raises:
            UnreadableTableError: It is no row that can be believed.
        """
        if len(fields) != len(COLUMNS) + 1:
            raise UnreadableTableError(f"{len(fields)} fields")
        path_text, size, modified, url, listed_time, listed_size, listed = fields
        is_directory = path_text.endswith("/")
        path = unescaped(path_text.removesuffix("/"))
        self._check_path(path, url, is_directory)
        for text in (listed_time, listed_size):
            if _shown(text) != text:
                raise UnreadableTableError(f"a listing that shows {text[:100]!r}")
        parent, name = paths.split(path)
        item = ListingItem(name, is_directory, listed_size, listed_time)
        version = None if is_directory else _version(size, modified, item)
        self._sum.update(_hashed(fields))
        complete = self._add_to(parent, IndexedRow(item, version), path)
        if is_directory:
            self._announce(path, listed)
        return complete

    def finish(self, check: str) -> Iterator[IndexedDirectory]:
        """Yield the directories that are left, once there are no more rows.

        Args:
            check: The last column's name.

        Raises:
            UnreadableTableError: The rows aren't those that were written.
        """
        if check != CHECK + self._sum.hexdigest():
            raise UnreadableTableError("its checksum differs: it is damaged, or was changed")
        if (complete := self._complete()) is not None:
            yield complete
        for path, listed_s in self._announced.items():
            yield IndexedDirectory(path, listed_s, ())
        self._announced = {}

    def _check_path(self, path: str, url: str, is_directory: bool) -> None:
        problem = next(filter(None, map(paths.name_problem, path.split("/"))), None)
        if problem is not None or len(path) > _LONGEST_PATH:
            raise UnreadableTableError(f"no path: {path[:100]!r} ({problem or 'too long'})")
        expected = self._archive_url + paths.url_path(path) + "/" * is_directory
        if url != expected:
            raise UnreadableTableError(f"it is about {url[:200]!r}, and this archive {expected!r}")

    def _add_to(self, parent: str, row: IndexedRow, path: str) -> IndexedDirectory | None:
        complete = None
        if parent != self._path:
            if parent not in self._announced:
                if row.item.is_directory and path not in self._seen:
                    return self._begin_anew()
                raise UnreadableTableError(f"{path[:200]!r} stands where it doesn't belong")
            complete = self._complete()
            self._path = parent
        if row.item.name in self._names:
            raise UnreadableTableError(f"{path[:200]!r} occurs twice")
        if len(self._rows) >= MOST_ROWS:
            raise UnreadableTableError(f"more than {MOST_ROWS} rows in one directory")
        self._names.add(row.item.name)
        self._rows.append(row)
        return complete

    def _begin_anew(self) -> IndexedDirectory | None:
        """Another directory was exported as well."""
        complete = self._complete()
        self._path = None
        return complete

    def _announce(self, path: str, listed: str) -> None:
        if path in self._seen:
            raise UnreadableTableError(f"{path[:200]!r} occurs twice")
        self._seen.add(path)
        if not listed:
            return
        if not _SECONDS.fullmatch(listed) or float(listed) > self._now_s + _AHEAD_S:
            raise UnreadableTableError(f"listed at {listed[:100]!r}")
        self._announced[path] = min(float(listed), self._now_s)

    def _complete(self) -> IndexedDirectory | None:
        """Return the directory whose rows were taken last, if there are any."""
        if self._path is None:
            return None
        found = IndexedDirectory(self._path, self._announced.pop(self._path), tuple(self._rows))
        self._rows, self._names = [], set()
        return found


def _shown(text: str) -> str:
    """Return what a listing shows, or "" for what no listing of Apache would."""
    return text if _TEXT.fullmatch(text) else ""


def _hashed(fields: Sequence[str]) -> bytes:
    return ("\t".join(fields) + "\n").encode("utf-8")


def _version(size: str, modified: str, item: ListingItem) -> FileVersion | None:
    """Return the version of a row; None where it doesn't name one."""
    if not (size and modified):
        if size and not _NUMBER.fullmatch(size):
            raise UnreadableTableError(f"no size: {size[:100]!r}")
        return None
    if not _NUMBER.fullmatch(size) or int(size) > sizes.LARGEST_SIZE:
        raise UnreadableTableError(f"no size: {size[:100]!r}")
    version = FileVersion(int(size), seconds_of(modified))
    # One that isn't the listed one is asked for again, rather than believed.
    return version if sizes.fits(version, item.size_text, item.modified_text) else None
