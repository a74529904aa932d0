"""By which names each entry may be looked for: maps, DOIs, type, year; for all of them at once.

What is said here is read from the tables that searches use, since to read 3,000 descriptions
takes seconds. Those tables have no checksums: a value of another kind than it must be is left
out, and a wrong one leads to an entry that isn't meant, as a search would.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from dataclasses import dataclass

# As `empiarfs.core.entries.tidy` leaves it, alone on its line of the texts that are searched.
_DOI = re.compile(r"^10\.[0-9]{4,9}/\S{1,500}$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outline:
    """What an entry may be looked for by.

    Attributes:
        number: Of the entry.
        fetched_s: When this was learnt, in wall-clock seconds since 1970.
        year: Of the release, four digits, or "".
        experiment_type: In EMPIAR's words, or "".
        emdb: Related maps, such as "EMD-12602".
        dois: Of the entry and of its papers, without a prefix.
    """

    number: int
    fetched_s: float
    year: str
    experiment_type: str
    emdb: tuple[str, ...]
    dois: tuple[str, ...]


def outlines(connection: sqlite3.Connection) -> list[Outline]:
    """Return the outline of each entry, by number."""
    emdb: dict[object, list[str]] = defaultdict(list)
    for name, number in connection.execute("SELECT name, number FROM reference ORDER BY name"):
        if isinstance(name, str):
            emdb[number].append(name)
    dois: dict[object, dict[str, None]] = defaultdict(dict)
    for number, *texts in connection.execute("SELECT number, names, papers FROM words"):
        for text in texts:
            if isinstance(text, str):
                dois[number] |= dict.fromkeys(_DOI.findall(text))
    rows = connection.execute(
        "SELECT number, fetched_s, release_date, experiment_type FROM entry ORDER BY number"
    ).fetchall()
    return [
        Outline(
            number,
            fetched_s if isinstance(fetched_s, float) else 0.0,
            date[:4] if isinstance(date, str) else "",
            kind if isinstance(kind, str) else "",
            tuple(emdb[number]),
            tuple(dois[number]),
        )
        for number, fetched_s, date, kind in rows
    ]
