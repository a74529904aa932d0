"""The tables of what is known of entries, and how an entry is laid out in them.

    entry      what a table shows of it
    document   the description as it came, packed and checksummed; apart, since it is long
    image_set  what filters look for
    reference  names in other archives
    words      the texts that are searched
    header     headers of related entries of EMDB
    absent     numbers that were asked for in vain, and when
    word_index FTS5's index over `words`; made when it is first needed, where SQLite has FTS5

What `document` holds is unpacked and read anew whenever it is asked for, by the same code that
reads answers of the archive: a release that understands more finds more in it.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import xxhash

from empiarfs.catalog.database import Layout
from empiarfs.core.entries.from_json import UnreadableError, entry_from_document
from empiarfs.core.entries.from_xml import entry_from_xml
from empiarfs.core.entries.values import Citation, Entry

# "emp2" as a number.
LAYOUT = Layout(
    0x656D7032,
    1,
    (
        "CREATE TABLE about (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        """CREATE TABLE entry (
            number INTEGER PRIMARY KEY, fetched_s REAL NOT NULL, source TEXT NOT NULL,
            title TEXT NOT NULL, release_date TEXT, size INTEGER, size_text TEXT NOT NULL,
            experiment_type TEXT NOT NULL
        )""",
        """CREATE TABLE document (
            number INTEGER PRIMARY KEY, checksum BLOB NOT NULL, document BLOB NOT NULL
        )""",
        """CREATE TABLE image_set (
            number INTEGER, place INTEGER, category TEXT NOT NULL, formats TEXT NOT NULL,
            pixel REAL, PRIMARY KEY (number, place)
        ) WITHOUT ROWID""",
        """CREATE TABLE reference (
            name TEXT, number INTEGER, PRIMARY KEY (name, number)
        ) WITHOUT ROWID""",
        "CREATE INDEX reference_of ON reference (number)",
        """CREATE TABLE words (
            number INTEGER PRIMARY KEY, title TEXT NOT NULL, names TEXT NOT NULL,
            people TEXT NOT NULL, method TEXT NOT NULL, papers TEXT NOT NULL,
            details TEXT NOT NULL
        )""",
        """CREATE TABLE header (
            emdb TEXT PRIMARY KEY, fetched_s REAL NOT NULL, checksum BLOB NOT NULL,
            document BLOB NOT NULL
        ) WITHOUT ROWID""",
        "CREATE TABLE absent (number INTEGER PRIMARY KEY, asked_s REAL NOT NULL)",
    ),
    "catalog of entries",
)
COLUMNS = ("title", "names", "people", "method", "papers", "details")
INDEX = (
    f"CREATE VIRTUAL TABLE word_index USING fts5({', '.join(COLUMNS)}, content='words',"
    " content_rowid='number', tokenize='unicode61 remove_diacritics 2')"
)

# Unpacked; what comes from the archive is bounded by 8 MiB.
_LONGEST = 16 * 1024 * 1024
# READMEs are copied into the details of each image set: this much of them is searched.
_MOST_DETAILS = 20_000
SOURCES = ("api", "xml")


class DamagedRowError(Exception):
    """A stored description isn't what was written; never leaves the catalog."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an entry.

    Attributes:
        entry: The description.
        source: "api" or "xml": where it came from.
        document: As it came: JSON or XML.
        fetched_s: When, in wall-clock seconds since 1970.
    """

    entry: Entry
    source: str
    document: bytes
    fetched_s: float


def read(number: int, source: str, document: bytes) -> Entry:
    """Return the entry that a document describes.

    Raises:
        UnreadableError: It describes none, or another.
    """
    if source not in SOURCES:
        raise UnreadableError("neither JSON nor XML")
    if source == "api":
        return entry_from_document(number, document)
    entry = entry_from_xml(document)
    if entry.number != number:
        raise UnreadableError("the XML of another entry")
    return entry


def write(connection: sqlite3.Connection, known: Known, *, indexed: bool) -> None:
    """Store a description in place of the one before, inside a transaction."""
    entry, number = known.entry, known.entry.number
    remove(connection, number, indexed=indexed)
    packed = zlib.compress(known.document, 6)
    connection.execute(
        "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            number, known.fetched_s, known.source, entry.title, entry.release_date, entry.size,
            entry.size_text, entry.experiment_type,
        ),
    )  # fmt: skip
    connection.execute(
        "INSERT INTO document VALUES (?, ?, ?)",
        (number, _checksum(f"{number} {known.source}", packed), packed),
    )
    connection.executemany(
        "INSERT INTO image_set VALUES (?, ?, ?, ?, ?)",
        (
            (number, place, each.category.casefold(), _formats(each.data_format,
             each.header_format), each.pixel_width or each.pixel_height)
            for place, each in enumerate(entry.image_sets)
        ),
    )  # fmt: skip
    connection.executemany(
        "INSERT OR IGNORE INTO reference VALUES (?, ?)",
        ((name, number) for name in entry.references.emdb),
    )
    texts = texts_of(entry)
    connection.execute("INSERT INTO words VALUES (?, ?, ?, ?, ?, ?, ?)", (number, *texts))
    if indexed:
        connection.execute(
            f"INSERT INTO word_index (rowid, {', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, *texts),
        )
    connection.execute("DELETE FROM absent WHERE number = ?", (number,))


def remove(connection: sqlite3.Connection, number: int, *, indexed: bool) -> None:
    """Forget an entry, inside a transaction."""
    if indexed:
        # What is taken out of the index must be what was put in: it is read from `words`.
        connection.execute(
            f"INSERT INTO word_index (word_index, rowid, {', '.join(COLUMNS)}) SELECT 'delete',"
            f" number, {', '.join(COLUMNS)} FROM words WHERE number = ?",
            (number,),
        )
    for table in ("entry", "document", "image_set", "reference", "words"):
        connection.execute(f"DELETE FROM {table} WHERE number = ?", (number,))


def known_from(row: tuple[int, float, str, bytes, bytes]) -> Known:
    """Return what a row of number, time, source, checksum and document says.

    Raises:
        DamagedRowError: It isn't what was written.
    """
    number, fetched_s, source, checksum, packed = row
    try:
        document = _unpacked(f"{number} {source}", checksum, packed)
        return Known(read(number, source, document), source, document, float(fetched_s))
    except (zlib.error, UnreadableError, TypeError, ValueError) as exc:
        raise DamagedRowError(str(exc)) from exc


def texts_of(entry: Entry) -> tuple[str, ...]:
    """Return the texts by which an entry is found, one for each of `COLUMNS`."""
    references = entry.references
    names = [
        entry.accession, entry.doi, *references.emdb, *references.pdb, *references.biostudies,
        *references.idr, *references.other, *(f"EMPIAR-{number}" for number in references.empiar),
    ]  # fmt: skip
    people = [person.name for person in (*entry.authors, *entry.principal_investigators)]
    people += [entry.corresponding_author.name] if entry.corresponding_author else []
    method = [entry.experiment_type, entry.scale]
    for each in entry.image_sets:
        method += [each.category, each.data_format, each.header_format, each.voxel_type]
    papers = [word for paper in entry.citations for word in _paper(paper)]
    return (
        entry.title, _joined(names), _joined(people), _joined(method), _joined(papers),
        _joined(_details(entry))[:_MOST_DETAILS],
    )  # fmt: skip


def _paper(paper: Citation) -> Iterator[str]:
    yield paper.title
    yield from (paper.journal or "", paper.journal_abbreviation or "")
    yield from (paper.doi or "", paper.pubmed or "")
    yield from (person.name for person in paper.authors)


def _details(entry: Entry) -> Iterator[str]:
    yield from (each.name for each in entry.image_sets)
    yield from (each.directory for each in entry.image_sets)
    for text in [
        *(each.details for each in entry.image_sets),
        *(each.details for each in entry.citations),
    ]:
        yield from text.splitlines()
    yield from (grant.funding_body for grant in entry.grants)


def _joined(words: Iterator[str] | list[str]) -> str:
    """Return each word once, on a line of its own: a phrase doesn't go over its end."""
    return "\n".join(dict.fromkeys(word for word in words if word))


def _formats(*formats: str) -> str:
    """Return formats so that one of them is found between blanks."""
    return f" {' '.join(dict.fromkeys(each.casefold() for each in formats if each))} "


def write_header(
    connection: sqlite3.Connection, emdb: str, document: bytes, fetched_s: float
) -> None:
    """Store the header of an entry of EMDB, inside a transaction."""
    packed = zlib.compress(document, 6)
    connection.execute(
        "INSERT OR REPLACE INTO header VALUES (?, ?, ?, ?)",
        (emdb, fetched_s, _checksum(emdb, packed), packed),
    )


def header_from(row: tuple[str, float, bytes, bytes]) -> tuple[bytes, float]:
    """Return the header that a row holds, and when it was fetched.

    Raises:
        DamagedRowError: It isn't what was written.
    """
    emdb, fetched_s, checksum, packed = row
    try:
        return _unpacked(emdb, checksum, packed), float(fetched_s)
    except (zlib.error, TypeError, ValueError) as exc:
        raise DamagedRowError(str(exc)) from exc


def _unpacked(name: str, checksum: bytes, packed: bytes) -> bytes:
    if checksum != _checksum(name, packed):
        raise DamagedRowError("the checksum differs")
    unpacker = zlib.decompressobj()
    document = unpacker.decompress(packed, _LONGEST)
    if not unpacker.eof:
        raise DamagedRowError("it is cut off, or too long")
    return document


def _checksum(name: str, packed: bytes) -> bytes:
    return xxhash.xxh3_128_digest(name.encode() + b"\0" + packed)
