"""Asks the file system to spread the folders below one over its block groups.

ext4 looks for a free inode near the folder, and passes over those freed in the last half
minute one by one. In a cache that evicts as it stores, that search took up to two thirds of
the time of storing a block: 1.4 ms, against 0.5 ms where each of the 256 folders lies in a
group of its own. The flag is a hint that ext2 to ext4 know; others refuse it, which is no
harm.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

_LONG = struct.calcsize("@l")
# _IOR('f', 1, long) and _IOW('f', 2, long) of linux/fs.h; the size is a part of the number.
_GET_FLAGS = 0x8000_6601 | _LONG << 16
_SET_FLAGS = 0x4000_6602 | _LONG << 16
# FS_TOPDIR_FL, `chattr +T`: the folders below are unrelated.
TOP_OF_HIERARCHY = 0x0002_0000


def folder_flags(folder: Path) -> int:
    """Return the folder's inode flags (`lsattr`).

    Raises:
        OSError: The file system has none.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("@l", 0))
    finally:
        os.close(descriptor)
    # The kernel writes an int, whatever the number of the call says.
    return int(struct.unpack_from("@i", flags)[0])


def spread_folders_below(folder: Path) -> None:
    """Have folders made below `folder` from now on spread, where the file system can."""
    with contextlib.suppress(OSError):
        flags = folder_flags(folder) | TOP_OF_HIERARCHY
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("@l", flags))
        finally:
            os.close(descriptor)
