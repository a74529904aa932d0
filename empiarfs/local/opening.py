"""Opens a regular file below a directory, and nothing else.

Whoever puts files there needn't be trusted: a link may lead anywhere, and to open a FIFO or a
device may hang or do something. So a file is looked at first (`O_PATH`), and the kernel is
asked where it lies; only a regular one below the directory is then opened, by that very look.

Threading: no state. Every call may hang with the disk.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from empiarfs.errors import LocalCopyError

_LOOK = os.O_PATH | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Identity:
    """What changes when a file is replaced or written to.

    Attributes:
        device: Number of its file system.
        inode: Number of the file on it.
        size: Bytes.
        modified_ns: When its content changed, nanoseconds since 1970; anybody may set it.
        changed_ns: When anything of it changed, likewise; only the kernel sets it.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def identity_of(descriptor: int) -> Identity:
    """Return the identity of an open file.

    Raises:
        OSError: Its disk can't tell.
    """
    found = os.fstat(descriptor)
    return Identity(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )


def open_directory(path: bytes) -> int:
    """Return a descriptor of a directory, by which nothing can be read.

    Raises:
        OSError: There is none, or it may not be entered.
    """
    return os.open(path, _LOOK | os.O_DIRECTORY)


def open_below(directory: int, path: bytes) -> int:
    """Return a descriptor of the regular file at a path below a directory, to be read.

    Args:
        directory: What `open_directory` returned.
        path: Relative; symbolic links in it are followed as long as they end below.

    Raises:
        LocalCopyError: It is something else, or lies elsewhere.
        OSError: There is nothing, or it may not be read.
    """
    look = os.open(path, _LOOK, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(look).st_mode):
            raise LocalCopyError("it is no regular file")
        if not _place(look).startswith(_place(directory).rstrip(b"/") + b"/"):
            raise LocalCopyError("a symbolic link leads out of the directory")
        return os.open(b"/proc/self/fd/%d" % look, _READ)
    finally:
        os.close(look)


def first_hole(descriptor: int, size: int, start: int = 0) -> int | None:
    """Return the offset of the first hole from `start` on; None if there is none.

    Transfers that write in several places at once, or take the room beforehand, leave holes
    until they are done. A file system that knows no holes tells of none.
    """
    if start >= size:
        return None
    try:
        hole = os.lseek(descriptor, start, os.SEEK_HOLE)
    except OSError:
        return None
    return hole if hole < size else None


def find_holes(descriptor: int, size: int, most: int) -> list[int]:
    """Return the offsets of the first few holes of a file of `size` bytes."""
    found: list[int] = []
    start = 0
    while len(found) < most:
        hole = first_hole(descriptor, size, start)
        if hole is None:
            break
        found.append(hole)
        try:
            start = os.lseek(descriptor, hole, os.SEEK_DATA)
        except OSError:
            break  # it has no more data
    return found


def _place(descriptor: int) -> bytes:
    """Return where an open file lies, as the kernel says."""
    return os.readlink(b"/proc/self/fd/%d" % descriptor)
