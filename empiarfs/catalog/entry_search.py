"""Finds entries by words and filters.

Words are looked up in FTS5's index, and ranked by it: a word in the title counts more than one
in an author's name, and that more than one in the description of an image set. A SQLite that
was built without FTS5 compares texts instead (LIKE), which finds a word also inside others
and ranks by the column it is found in.

The index is FTS5's to keep: whoever writes without it notes that it is behind, and the next
search with it builds it anew.
"""

from __future__ import annotations

import functools
import sqlite3
from dataclasses import dataclass

from empiarfs.catalog.entry_rows import COLUMNS, INDEX
from empiarfs.core.entries.query import Query

# For each of COLUMNS: title, names, people, method, papers, details.
_WEIGHTS = (10.0, 10.0, 5.0, 4.0, 3.0, 1.0)
_INDEXED = "indexed"


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that fits.

    Attributes:
        number: Of the entry.
        title: Its title.
        size: Bytes, as exact as EMPIAR says; None if not known.
        size_text: As EMPIAR says it.
        release_date: As "2022-02-07", or None.
        experiment_type: In EMPIAR's words.
        fetched_s: When this was learnt, in wall-clock seconds since 1970.
    """

    number: int
    title: str
    size: int | None
    size_text: str
    release_date: str | None
    experiment_type: str
    fetched_s: float


@dataclass(frozen=True, slots=True)
class Kinds:
    """What the filters that take a word can be given, as far as entries are known.

    Attributes:
        types: Of experiments.
        formats: Of image sets, in lower case.
        categories: Of image sets, in lower case.
    """

    types: tuple[str, ...]
    formats: tuple[str, ...]
    categories: tuple[str, ...]


@functools.cache
def has_fts5() -> bool:
    """Tell whether this SQLite has FTS5."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE probe USING fts5(text)")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def prepare(connection: sqlite3.Connection) -> bool:
    """Tell whether what is written now goes into the index, too; inside a transaction."""
    indexed = has_fts5() and _is_indexed(connection)
    if not indexed:
        connection.execute("DELETE FROM about WHERE key = ?", (_INDEXED,))
    return indexed


def catch_up(connection: sqlite3.Connection) -> None:
    """Build the index if there is none, or one that is behind. About 0.3 ms an entry."""
    if not has_fts5() or _is_indexed(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DROP TABLE IF EXISTS word_index")
    connection.execute(INDEX)
    connection.execute("INSERT INTO word_index (word_index) VALUES ('rebuild')")
    connection.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (_INDEXED, b"1"))
    connection.execute("COMMIT")


def _is_indexed(connection: sqlite3.Connection) -> bool:
    found = connection.execute("SELECT 1 FROM about WHERE key = ?", (_INDEXED,)).fetchone()
    return found is not None


def search(connection: sqlite3.Connection, query: Query, limit: int) -> list[Hit]:
    """Return at most `limit` entries that fit, the best first.

    Entries that fit equally well come by their release, the last one first. The index must
    have caught up.
    """
    clauses, values = _filters(query)
    source, order = "entry", "entry.release_date DESC, entry.number DESC"
    rank_values: list[object] = []
    words = [word for word in query.words if word.strip()]
    if words and has_fts5():
        source = "word_index JOIN entry ON entry.number = word_index.rowid"
        order = f"bm25(word_index, {', '.join(map(str, _WEIGHTS))}), {order}"
        clauses.insert(0, "word_index MATCH ?")
        values.insert(0, _match(words))
    elif words:
        source = "words JOIN entry ON entry.number = words.number"
        rank, rank_values = _likeness(words)
        order = f"{rank}, {order}"
        likes, like_values = _likes(words)
        clauses, values = likes + clauses, like_values + values
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    rows = connection.execute(
        "SELECT entry.number, entry.title, entry.size, entry.size_text, entry.release_date,"
        f" entry.experiment_type, entry.fetched_s FROM {source} {where}"
        f" ORDER BY {order} LIMIT ?",
        (*values, *rank_values, limit),
    ).fetchall()
    return [Hit(*row) for row in rows]


def kinds(connection: sqlite3.Connection) -> Kinds:
    """Return what occurs, in alphabetical order."""

    def texts(statement: str) -> list[str]:
        return [text for (text,) in connection.execute(statement) if text]

    formats = texts("SELECT DISTINCT formats FROM image_set")
    return Kinds(
        tuple(sorted(texts("SELECT DISTINCT experiment_type FROM entry"))),
        tuple(sorted({word for each in formats for word in each.split()})),
        tuple(sorted(texts("SELECT DISTINCT category FROM image_set"))),
    )


def _filters(query: Query) -> tuple[list[str], list[object]]:
    clauses: list[str] = []
    values: list[object] = []

    def add(clause: str, *operands: object) -> None:
        clauses.append(clause)
        values.extend(operands)

    if query.emdb is not None:
        add("entry.number IN (SELECT number FROM reference WHERE name = ?)", query.emdb)
    if query.experiment_type is not None:
        add("entry.experiment_type LIKE ? ESCAPE '\\'", _escaped(query.experiment_type))
    if query.min_size is not None:
        add("entry.size >= ?", query.min_size)
    if query.max_size is not None:
        add("entry.size <= ?", query.max_size)
    if query.released is not None:
        add("entry.release_date BETWEEN ? AND ?", query.released.first, query.released.last)
    of_set, operands = _image_set_filters(query)
    if of_set:
        inner = f"SELECT number FROM image_set WHERE {' AND '.join(of_set)}"
        add(f"entry.number IN ({inner})", *operands)
    return clauses, values


def _image_set_filters(query: Query) -> tuple[list[str], list[object]]:
    clauses: list[str] = []
    values: list[object] = []
    if query.data_format is not None:
        clauses.append("formats LIKE ? ESCAPE '\\'")
        values.append(f"% {_escaped(query.data_format.casefold())} %")
    if query.category is not None:
        clauses.append("category LIKE ? ESCAPE '\\'")
        values.append(f"%{_escaped(query.category.casefold())}%")
    if query.pixel is not None:
        clauses.append("pixel BETWEEN ? AND ?")
        values += [query.pixel.least, query.pixel.most]
    return clauses, values


def _match(words: list[str]) -> str:
    """Return words in FTS5's language: each a phrase whose last word may go on.

    A quoted phrase has no operators; a mark inside, as in "EMD-12602", only parts it.
    """
    return " AND ".join('"{}"*'.format(word.replace('"', '""')) for word in words)


def _likes(words: list[str]) -> tuple[list[str], list[object]]:
    anywhere = f"({' OR '.join(f'words.{name} LIKE ? ESCAPE char(92)' for name in COLUMNS)})"
    values = [f"%{_escaped(word)}%" for word in words for _ in COLUMNS]
    return [anywhere] * len(words), list(values)


def _likeness(words: list[str]) -> tuple[str, list[object]]:
    """Return what ranks without FTS5: the weights of the columns where the words are."""
    parts: list[str] = []
    values: list[object] = []
    for name, weight in zip(COLUMNS, _WEIGHTS, strict=True):
        for word in words:
            parts.append(f"{weight} * (words.{name} LIKE ? ESCAPE char(92))")
            values.append(f"%{_escaped(word)}%")
    return f"-({' + '.join(parts)})", values


def _escaped(text: str) -> str:
    """Return a text of which LIKE takes no character for a pattern."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
