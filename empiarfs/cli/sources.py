"""What can stand as SOURCE: `empiar`, `empiar:ID` of an entry, or a URL of an archive."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ENTRY = re.compile(r"empiar:(?:EMPIAR-)?(\d{1,9})", re.IGNORECASE | re.ASCII)
_URL = re.compile(r"https?://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be mounted.

    Attributes:
        archive_url: The archive, or None for that of the settings.
        root: Path below the archive's root; "" for all of it.
    """

    archive_url: str | None = None
    root: str = ""


def is_source(word: str) -> bool:
    """Tell whether a word has the form of a source."""
    return parse_source(word) is not None


def parse_source(word: str) -> Source | None:
    """Return what a word stands for; None if it has another form.

    >>> parse_source("empiar:EMPIAR-10934")
    Source(archive_url=None, root='10934')
    """
    if word == "empiar":
        return Source()
    entry = _ENTRY.fullmatch(word)
    if entry:
        return Source(root=entry[1])
    if _URL.fullmatch(word):
        return Source(archive_url=word)
    return None
