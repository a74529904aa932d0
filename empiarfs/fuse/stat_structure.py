"""libfuse's `stat`, filled from the attributes of a node."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from empiarfs.fuse.library import mfusepy

if TYPE_CHECKING:
    from empiarfs.vfs import Attributes

# Python's `open` and stdio buffer this much: with 1 MiB here, a header would cost 1 MiB.
BLOCK_SIZE = 4096
# Writable to their owner, though nothing can be written: copies of files without that bit
# can be neither edited nor removed by who made them. The mount's `ro` is what refuses.
_FILE_PERMISSIONS = 0o666
_DIRECTORY_PERMISSIONS = 0o777
# Nobody looks at a link's permissions; all have these.
_LINK_MODE = stat.S_IFLNK | 0o777


class StatMaker:
    """Fills structures that differ in a few fields only; safe to use from several threads.

    Args:
        uid: Owner of everything.
        gid: Group of everything.
        umask: Permission bits that are left out.
    """

    def __init__(self, uid: int, gid: int, umask: int) -> None:
        self._file_mode = stat.S_IFREG | _FILE_PERMISSIONS & ~umask
        self._directory_mode = stat.S_IFDIR | _DIRECTORY_PERMISSIONS & ~umask
        self._file = _template(self._file_mode, uid, gid, links=1)
        self._link = _template(_LINK_MODE, uid, gid, links=1)
        self._directory = _template(self._directory_mode, uid, gid, links=2)

    def mode(self, *, is_directory: bool, is_link: bool = False) -> int:
        """Return kind and permissions."""
        if is_link:
            return _LINK_MODE
        return self._directory_mode if is_directory else self._file_mode

    def stat_of(self, attributes: Attributes) -> Any:
        """Return the structure that shows `attributes`."""
        template = self._directory if attributes.is_directory else self._file
        if attributes.is_link:
            template = self._link
        filled = mfusepy.c_stat.from_buffer_copy(template)
        filled.st_ino = attributes.inode
        filled.st_size = attributes.size
        # With 0 `tar --sparse` would store zeros, and `cp` would look for holes.
        filled.st_blocks = -(-attributes.size // 512)
        seconds, nanoseconds = divmod(attributes.mtime_ns, 1_000_000_000)
        for time in (filled.st_mtimespec, filled.st_ctimespec, filled.st_atimespec):
            time.tv_sec = seconds
            time.tv_nsec = nanoseconds
        return filled


def _template(mode: int, uid: int, gid: int, links: int) -> Any:
    filled = mfusepy.c_stat()
    filled.st_mode = mode
    filled.st_nlink = links
    filled.st_uid = uid
    filled.st_gid = gid
    filled.st_blksize = BLOCK_SIZE
    return filled
