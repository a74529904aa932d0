"""What the file system tells of its nodes, as immutable values."""

from __future__ import annotations

import calendar
import time
from dataclasses import dataclass

DIRECTORY_SIZE = 4096
"""What `stat` shows for a directory; the archive tells nothing, and local file systems show this
for small ones."""

FIRST_NOTE = 1 << 62
"""Handles from here on are of files below `.empiar`; the archive's count from 1."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What `stat` tells of a node, apart from owner and mode.

    Attributes:
        inode: Inode number, the same for the same path in every mount.
        is_directory: Whether it is a directory; else a file.
        size: Bytes, exact.
        mtime_ns: Modification time in nanoseconds since 1970; of a file its Last-Modified,
            of a directory the listing's minute, taken as UTC.
        is_link: Whether it is a symbolic link, whose size is that of its target's path.
    """

    inode: int
    is_directory: bool
    size: int
    mtime_ns: int
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """The answer to an open.

    Attributes:
        handle: Names the open file in `read` and `release`.
        keep_cache: The kernel's pages of this file are of this version and may be kept.
        direct_io: The kernel must not keep pages, as a handle to another version is open.
    """

    handle: int
    keep_cache: bool
    direct_io: bool


@dataclass(frozen=True, slots=True)
class SpaceUsage:
    """What `df` shows: the cache, since the archive has no end.

    Attributes:
        total: The cache's limit in bytes.
        used: Bytes that it takes on disk.
        free: Bytes until the limit.
        files: Files open now.
    """

    total: int
    used: int
    free: int
    files: int


def minute_ns(text: str) -> int:
    """Return a listing's minute, `YYYY-MM-DD HH:MM`, as nanoseconds since 1970; 0 if none.

    Listings name no time zone; UTC is a guess that is right in winter for EMBL-EBI.
    """
    try:
        return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M")) * 1_000_000_000
    except ValueError:
        return 0
