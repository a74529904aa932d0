"""Writes what is known of entries to a file, and reads such files of others.

The file is a snapshot (`empiarfs.core.entries.snapshot`) packed by gzip. One that is read is
looked at wholly before anything of it is stored, and what is stored is younger than what was
known: an old snapshot does no harm.

Threading: one thread at a time.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO

from empiarfs.catalog.entry_rows import Known
from empiarfs.catalog.entry_store import EntryStore
from empiarfs.core.entries.from_json import UnreadableError
from empiarfs.core.entries.snapshot import (
    LONGEST_LINE,
    SharedEntry,
    SnapshotHead,
    SnapshotReader,
    snapshot_lines,
)
from empiarfs.core.entries.values import Source
from empiarfs.errors import CacheError

# Some 3,000 entries have 45 MB, packed 7.
_MOST_BYTES = 1024**3
_BATCH = 200
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a snapshot.

    Attributes:
        entries: Descriptions in it.
        stored: Of these, younger than what was known.
        written_s: When it was written, in wall-clock seconds since 1970.
    """

    entries: int
    stored: int
    written_s: float


def export_entries(
    store: EntryStore, api_url: str, file: Path, now: Callable[[], float] = time.time
) -> int:
    """Write all that is known into a file, and return how many entries that are.

    Raises:
        CacheError: Nothing is known, or the file can't be written.
    """
    listed = store.numbers()
    count = store.count()
    if not count:
        raise CacheError("nothing is known of EMPIAR's entries here: `empiarfs catalog update`")
    head = SnapshotHead(
        api_url, now(), tuple(listed[0]) if listed else (), listed[1] if listed else 0.0
    )
    written = itertools.count()
    shared = (_shared(known, written) for known in store.all_known())
    try:
        with replacing(file) as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
            for line in snapshot_lines(head, shared):
                packed.write(line)
    except OSError as exc:
        raise CacheError(f"{file} can't be written: {exc.strerror or exc}") from exc
    return next(written)


def import_entries(
    store: EntryStore,
    api_url: str,
    file: Path,
    *,
    name: str | None = None,
    now: Callable[[], float] = time.time,
) -> Imported:
    """Store what a snapshot says, as far as it is younger than what is known.

    Args:
        store: Where to store it.
        api_url: Root of the API that it must be of.
        file: The snapshot, packed or not.
        name: What it is called in messages; by default as the file.
        now: Wall-clock seconds since 1970.

    Raises:
        CacheError: It is no snapshot of this API's entries, or is damaged; or what it says
            can't be stored. Nothing of it was stored if it isn't sound.
    """
    try:
        with file.open("rb") as raw:
            reader = SnapshotReader()
            for _ in _entries(raw, reader):
                pass
            count = reader.finish()
            head = reader.head
            if head is None or head.api_url != api_url:
                raise UnreadableError(f"it is about {head and head.api_url}, not {api_url}")
            raw.seek(0)
            stored = _store(store, _entries(raw, SnapshotReader()), now())
    except (UnreadableError, EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise CacheError(f"{name or file} is not imported: {exc}") from exc
    except OSError as exc:
        raise CacheError(f"{name or file} can't be read: {exc.strerror or exc}") from exc
    known = store.numbers()
    if head.numbers and (known is None or known[1] < head.listed_s):
        store.put_numbers(list(head.numbers), min(head.listed_s, now()))
    return Imported(count, stored, head.written_s)


def _shared(known: Known, written: Iterator[int]) -> SharedEntry:
    next(written)
    source: Source = "api" if known.source == "api" else "xml"
    return SharedEntry(known.entry, source, known.document, known.fetched_s)


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """Lend a new file that takes the place of `file` once it is written wholly."""
    if file.exists() and not file.is_file():
        # A pipe or a device, whose place nothing may take.
        with file.open("wb") as raw:
            yield raw
        return
    file = file.resolve()
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as raw:
            yield raw
            raw.flush()
            os.fsync(raw.fileno())
        # What it holds is public; mkstemp's mode is for secrets.
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _entries(raw: BufferedReader, reader: SnapshotReader) -> Iterator[SharedEntry]:
    # A web server may have unpacked it on the way.
    is_packed = raw.peek(2)[:2] == _GZIP
    lines: IO[bytes] | gzip.GzipFile = raw
    if is_packed:
        lines = gzip.GzipFile(fileobj=raw, mode="rb")
    size = 0
    while line := lines.readline(LONGEST_LINE + 1):
        size += len(line)
        if len(line) > LONGEST_LINE or size > _MOST_BYTES:
            raise UnreadableError("it is too long")
        found = reader.line(line)
        if found is not None:
            yield found


def _store(store: EntryStore, entries: Iterator[SharedEntry], now_s: float) -> int:
    """Store what is younger than what is known, and return how many that are."""
    fetched = store.fetched()
    younger = (
        Known(each.entry, each.source, each.document, min(each.fetched_s, now_s))
        for each in entries
        if min(each.fetched_s, now_s) > fetched.get(each.entry.number, -1.0)
    )
    stored = 0
    while batch := list(itertools.islice(younger, _BATCH)):
        store.put(batch)
        stored += len(batch)
    return stored
