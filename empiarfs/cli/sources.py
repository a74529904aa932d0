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


def source_word(word: str, mount_point: str = "") -> str:
    """Return the source as it was written, of what mount(8) has made of it.

    mount(8) makes an absolute path of a source that is a file where it runs. In "/", where
    systemd runs it, `empiar` is one on all machines with a mount point `/empiar`; and where
    that is a symbolic link, both words come as the path that it leads to.

    >>> source_word("/empiar", "/empiar"), source_word("/data/archive", "/data/archive")
    ('empiar', 'empiar')
    >>> source_word("/data/archive", "/mnt")
    '/data/archive'
    """
    if word.startswith("/"):
        name = word.rpartition("/")[2]
        if name == "empiar" or word == mount_point:
            return "empiar"
    return word


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
