"""files.tsv: an entry's files as far as their names and sizes are known here; asks nobody.

The first line says how complete it is, the second one names the columns. Paths are those below
the entry, with tabs, line ends and what else can't be printed escaped as in Python's strings;
sizes are exact or left out; dates are UTC.

Threading: safe from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from cachetools import TTLCache

from empiarfs.catalog import Catalog, KnownRow
from empiarfs.core import paths
from empiarfs.notes.nodes import Text
from empiarfs.notes.texts import escaped
from empiarfs.patience import Patience
from empiarfs.tree.single_flight import SingleFlight

# Some 100,000 files; a list of a million would take 150 MB of memory while it is open.
_MOST_BYTES = 16 * 1024 * 1024
_KEPT_S = 10.0
_FLUSH_S = 5.0
_COLUMNS = "path\tsize\tmodified\turl\n"


@dataclass(slots=True)
class _Count:
    files: int = 0
    sizes: int = 0
    unread: int = 0
    latest_s: float = 0.0
    is_cut: bool = False


class FileTables:
    """Makes such files, and keeps each for some seconds: whoever looks at one then reads it.

    Args:
        catalog: What is known of names.
        archive_url: Of the archive's root.
    """

    def __init__(self, catalog: Catalog, archive_url: str) -> None:
        self._catalog = catalog
        self._archive_url = archive_url
        self._lock = threading.Lock()
        self._kept: TTLCache[int, Text] = TTLCache(  # guarded by _lock
            _MOST_BYTES + 1024 * 1024, _KEPT_S, getsizeof=lambda text: len(text.data)
        )
        self._making: SingleFlight[int, Text] = SingleFlight()

    def table(self, number: int, patience: Patience) -> Text:
        """Return the file of an entry; see `file_table`."""
        return self._making.run(number, patience, lambda: self._made(number, patience))

    def _made(self, number: int, patience: Patience) -> Text:
        with self._lock:
            kept = self._kept.get(number)
        if kept is not None:
            return kept
        made = file_table(self._catalog, number, self._archive_url, patience)
        with self._lock:
            self._kept[number] = made
        return made


def file_table(
    catalog: Catalog, number: int, archive_url: str, patience: Patience, most: int = _MOST_BYTES
) -> Text:
    """Return the file.

    Args:
        catalog: What is known of names.
        number: Of the entry.
        archive_url: Of the archive's root.
        patience: Of the caller.
        most: Bytes after which it is cut off, with a last line that says so.

    Raises:
        GaveUpError: Not in time.
        InterruptedCallError: The caller was told to stop waiting.
    """
    # A program that has just been told the sizes expects to find them here.
    catalog.flush(_FLUSH_S)
    count = _Count()
    body = bytearray()
    for line in _lines(catalog, str(number), archive_url, patience, count):
        body += line
        if len(body) > most:
            count.is_cut = True
            body += b"# cut off here: see `empiarfs find --json %d`\n" % number
            break
    head = f"# EMPIAR-{number}: {_completeness(count)}\n{_COLUMNS}".encode()
    # It grows while a program lists directories.
    return Text(head + bytes(body), count.latest_s, changes=True)


def _completeness(count: _Count) -> str:
    if count.is_cut:
        return f"the first {count.files} files; there are more"
    words = f"{count.files} files, the sizes of {count.sizes} of them"
    if count.unread:
        return f"{words}; {count.unread} directories have never been listed here"
    return f"{words}; all directories have been listed"


def _lines(
    catalog: Catalog, entry: str, archive_url: str, patience: Patience, count: _Count
) -> Iterator[bytes]:
    waiting = [entry]
    while waiting:
        patience.check()
        path = waiting.pop()
        known = catalog.directory(path)
        if known is None:
            count.unread += 1
            continue
        count.latest_s = max(count.latest_s, known.fetched_s)
        below = []
        for row in known.rows:
            child = f"{path}/{row.item.name}"
            if row.item.is_directory:
                below.append(child)
            else:
                count.files += 1
                count.sizes += row.version is not None
                yield _line(row, child, child[len(entry) + 1 :], archive_url)
        waiting += reversed(below)


def _line(row: KnownRow, path: str, shown: str, archive_url: str) -> bytes:
    size = "" if row.version is None else str(row.version.size)
    url = archive_url + paths.url_path(path)
    return f"{escaped(shown)}\t{size}\t{_date(row)}\t{url}\n".encode()


def _date(row: KnownRow) -> str:
    if row.version is not None and row.version.modified_s is not None:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.version.modified_s))
    # The listing's minute, which is as good as is known.
    return row.item.modified_text.replace(" ", "T")
