"""The form in which what is known of entries is shared: lines of JSON, with a checksum.

    {"format": "empiarfs entries", "version": 1, "api_url": …, "written_s": …,
     "listed_s": …, "numbers": [10002, …]}
    {"number": 10002, "source": "api", "fetched_s": …, "document": "…"}      one for each
    {"entries": 3000, "sha256": "…"}                      of all bytes of the lines before

A file of it is packed by gzip as a rule. It comes from anywhere, so nothing in it is believed:
each description is read by the code that reads EMPIAR's answers, and no line is handed on by
`SnapshotReader.finish` unless the last one has come and its sum is right.

Threading: a reader belongs to one thread.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from empiarfs.core.entries.from_json import UnreadableError, entry_from_document
from empiarfs.core.entries.from_xml import entry_from_xml
from empiarfs.core.entries.values import Entry, Source

FORMAT = "empiarfs entries"
VERSION = 1
# The longest description that is fetched has 8 MiB; JSON may double its escapes.
LONGEST_LINE = 32 * 1024 * 1024
_MOST_ENTRIES = 1_000_000
_LEAST_NUMBER, _MOST_NUMBER = 10_000, 999_999_999


@dataclass(frozen=True, slots=True)
class SharedEntry:
    """A description, as it is shared.

    Attributes:
        entry: What it says.
        source: "api" or "xml".
        document: JSON or XML.
        fetched_s: When it came from EMPIAR, in wall-clock seconds since 1970.
    """

    entry: Entry
    source: Source
    document: bytes
    fetched_s: float


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """What a snapshot is of.

    Attributes:
        api_url: Root of the API that the descriptions come from.
        written_s: When it was written, in wall-clock seconds since 1970.
        numbers: Entries that the archive had; empty if it wasn't known.
        listed_s: When the archive said so; 0 if it didn't.
    """

    api_url: str
    written_s: float
    numbers: tuple[int, ...] = ()
    listed_s: float = 0.0


def snapshot_lines(head: SnapshotHead, entries: Iterable[SharedEntry]) -> Iterator[bytes]:
    """Yield the lines of a snapshot, each with its end."""
    digest = hashlib.sha256()
    count = 0
    first = {
        "format": FORMAT, "version": VERSION, "api_url": head.api_url,
        "written_s": head.written_s, "listed_s": head.listed_s, "numbers": head.numbers,
    }  # fmt: skip
    yield _summed(digest, first)
    for each in entries:
        count += 1
        told = {
            "number": each.entry.number, "source": each.source, "fetched_s": each.fetched_s,
            "document": each.document.decode("utf-8-sig"),
        }  # fmt: skip
        yield _summed(digest, told)
    yield _line({"entries": count, "sha256": digest.hexdigest()})


def _summed(digest: hashlib._Hash, told: object) -> bytes:
    line = _line(told)
    digest.update(line)
    return line


def _line(told: object) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n"


class SnapshotReader:
    """Reads a snapshot line by line.

    Attributes:
        head: What it is of; None before the first line.
    """

    def __init__(self) -> None:
        self.head: SnapshotHead | None = None
        self._digest = hashlib.sha256()
        self._count = 0
        self._is_over = False

    def line(self, line: bytes) -> SharedEntry | None:
        """Return the description of a line, or None if it has none.

        Raises:
            UnreadableError: It isn't the next line of a snapshot.
        """
        if self._is_over:
            raise UnreadableError("something follows the end")
        told = _told(line)
        if self.head is None:
            self.head = _head(told)
        elif "sha256" in told:
            self._check_end(told)
            return None
        else:
            self._count += 1
            if self._count > _MOST_ENTRIES:
                raise UnreadableError("too many entries")
            self._digest.update(line)
            return _shared(told)
        self._digest.update(line)
        return None

    def finish(self) -> int:
        """Return how many descriptions there were.

        Raises:
            UnreadableError: The end is missing.
        """
        if not self._is_over:
            raise UnreadableError("it is cut off")
        return self._count

    def _check_end(self, told: dict[str, object]) -> None:
        if told.get("entries") != self._count or told["sha256"] != self._digest.hexdigest():
            raise UnreadableError("its checksum differs: it was damaged on its way")
        self._is_over = True


def _told(line: bytes) -> dict[str, object]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise UnreadableError("no snapshot of entries") from None
    if not isinstance(told, dict):
        raise UnreadableError("no snapshot of entries")
    return told


def _head(told: dict[str, object]) -> SnapshotHead:
    version = told.get("version")
    if told.get("format") != FORMAT or not isinstance(version, int):
        raise UnreadableError("no snapshot of entries")
    if version > VERSION:
        raise UnreadableError(f"a snapshot of format {version}, which a newer empiarfs reads")
    api_url, numbers = told.get("api_url"), told.get("numbers")
    if not isinstance(api_url, str) or not isinstance(numbers, list):
        raise UnreadableError("a snapshot whose head is damaged")
    return SnapshotHead(
        api_url,
        _time(told.get("written_s")),
        tuple(sorted({_number(each) for each in numbers[:_MOST_ENTRIES]})),
        _time(told.get("listed_s")),
    )


def _shared(told: dict[str, object]) -> SharedEntry:
    number, source, text = _number(told.get("number")), told.get("source"), told.get("document")
    if not isinstance(text, str):
        raise UnreadableError(f"EMPIAR-{number} has no description")
    document = text.encode("utf-8", "surrogatepass")
    fetched_s = _time(told.get("fetched_s"))
    if source == "api":
        return SharedEntry(entry_from_document(number, document), "api", document, fetched_s)
    entry = entry_from_xml(document)
    if source != "xml" or entry.number != number:
        raise UnreadableError(f"EMPIAR-{number} has a description of another entry")
    return SharedEntry(entry, "xml", document, fetched_s)


def _number(value: object) -> int:
    if isinstance(value, int) and _LEAST_NUMBER <= value <= _MOST_NUMBER:
        return value
    raise UnreadableError("a number that no entry has")


def _time(value: object) -> float:
    if isinstance(value, (int, float)) and 0 <= value < 1e11 and math.isfinite(value):
        return float(value)
    raise UnreadableError("a time that can't be")
