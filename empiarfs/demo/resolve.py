"""What a request asks for: a path becomes an open file or directory, a header a range.

Nothing above the served directory can be named, and no symbolic link is followed: a path is
split into names before it is unescaped, and opened one name at a time.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import unquote_to_bytes

from empiarfs.core.paths import is_hidden_by_apache
from empiarfs.core.ranges import ByteRange
from empiarfs.demo.pages import PageRow

PREFIX = "/empiar/world_availability/"
# O_NONBLOCK: opening a pipe must not wait for its other end.
_NO_LINKS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def wanted_range(header: str, size: int) -> ByteRange | None:
    """Return the bytes that a Range header asks for, or None for the whole file.

    A header that can't be understood, or asks for several ranges, counts as none: a server
    may always answer with the whole. An empty range means that nothing asked for is there.

    >>> wanted_range("bytes=0-99", 1000)
    ByteRange(start=0, stop=100)
    >>> wanted_range("bytes=-10", 1000)
    ByteRange(start=990, stop=1000)
    >>> wanted_range("bytes=1000-", 1000)
    ByteRange(start=1000, stop=1000)
    >>> wanted_range("bytes=5-4", 1000) is None
    True
    """
    unit, _, spec = header.partition("=")
    first, dash, last = (part.strip() for part in spec.partition("-"))
    given = [part for part in (first, last) if part]
    # isdecimal() alone would let other scripts' digits pass.
    if unit.strip().lower() != "bytes" or not dash or not given or len(spec) > 40:
        return None
    if not all(part.isascii() and part.isdecimal() for part in given):
        return None
    if not first:
        return ByteRange(max(0, size - int(last)), size)
    stop = int(last) + 1 if last else max(size, int(first) + 1)
    if stop <= int(first):
        return None
    return ByteRange(int(first), stop).clamp(size)


def names_in(raw_path: bytes) -> list[bytes] | None:
    """Return the names of an escaped path below the prefix, or None if it can't be served.

    >>> names_in(b"/empiar/world_availability/10017/a%20b/")
    [b'10017', b'a b']
    >>> names_in(b"/empiar/world_availability/%2e%2e/etc") is None
    True
    """
    prefix = PREFIX.encode()
    if not raw_path.startswith(prefix):
        return None
    rest = raw_path[len(prefix) :].removesuffix(b"/")
    if not rest:
        return []
    names = [unquote_to_bytes(part) for part in rest.split(b"/")]
    if any(name in (b"", b".", b"..") or b"/" in name or b"\0" in name for name in names):
        return None
    return names


def open_below(root: Path, names: list[bytes]) -> int:
    """Open what `names` lead to below `root`, and return its descriptor.

    Raises:
        OSError: There is no such file or directory, or a symbolic link is on the way.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    for name in names:
        try:
            child = os.open(name, _NO_LINKS, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = child
    return descriptor


def rows_of(descriptor: int) -> list[PageRow]:
    """Return what Apache would list of an open directory: no links, no hidden names."""
    rows = []
    for name in os.listdir(descriptor):
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        is_directory = stat.S_ISDIR(status.st_mode)
        if (is_directory or stat.S_ISREG(status.st_mode)) and not is_hidden_by_apache(name):
            size = 0 if is_directory else status.st_size
            rows.append(PageRow(os.fsencode(name), is_directory, size, status.st_mtime))
    return rows
