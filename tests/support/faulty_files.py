"""A FUSE file system that shows a folder, and fails as a file says.

    python -m tests.support.faulty_files FOLDER MOUNTPOINT FAULTS

FAULTS holds a JSON object: `faults`, the errno that each kind of call is answered with, and
`only`, a regular expression for the path. It is read at each call. Blocks are read past the
kernel's page cache, so that each read comes here; the files of SQLite aren't.

Threading: one thread.
"""

from __future__ import annotations

import functools
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import mfusepy

_ATTRIBUTES = (
    "st_atime",
    "st_ctime",
    "st_mtime",
    "st_gid",
    "st_uid",
    "st_mode",
    "st_nlink",
    "st_size",
    "st_blocks",
)


Function = TypeVar("Function", bound=Callable[..., Any])


def _may_fail(method: Function) -> Function:
    """Make a method fail where its name and path are among the faults."""

    @functools.wraps(method)
    def checked(self: FaultyFiles, path: str, *arguments: Any) -> Any:
        self.check(method.__name__, path)
        return method(self, path, *arguments)

    return cast(Function, checked)


class FaultyFiles(mfusepy.Operations):
    """The folder, and its faults."""

    use_ns = True

    def __init__(self, folder: Path, faults: Path) -> None:
        self._folder = str(folder)
        self._faults = faults

    def check(self, operation: str, path: str) -> None:
        """Raise if such calls are to fail."""
        wanted = json.loads(self._faults.read_text())
        number = wanted["faults"].get(operation)
        if number is not None and re.search(wanted["only"], path):
            raise mfusepy.FuseOSError(number)

    @_may_fail
    def getattr(self, path: str, fh: Any = None) -> dict[str, Any]:
        """See stat(2)."""
        status = os.lstat(self._folder + path)
        return {name: getattr(status, name) for name in _ATTRIBUTES}

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        """See readdir(3)."""
        yield from (".", "..", *os.listdir(self._folder + path))

    @_may_fail
    def statfs(self, path: str) -> dict[str, int]:
        """See statvfs(3)."""
        found = os.statvfs(self._folder + path)
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_frsize", "f_files", "f_ffree")
        return {name: getattr(found, name) for name in names}

    @_may_fail
    def mkdir(self, path: str, mode: int) -> int:
        """See mkdir(2)."""
        os.mkdir(self._folder + path, mode)
        return 0

    @_may_fail
    def rmdir(self, path: str) -> int:
        """See rmdir(2)."""
        os.rmdir(self._folder + path)
        return 0

    @_may_fail
    def unlink(self, path: str) -> int:
        """See unlink(2)."""
        os.unlink(self._folder + path)
        return 0

    @_may_fail
    def rename(self, old: str, new: str) -> int:
        """See rename(2)."""
        os.rename(self._folder + old, self._folder + new)
        return 0

    @_may_fail
    def chmod(self, path: str, mode: int) -> int:
        """See chmod(2)."""
        os.chmod(self._folder + path, stat.S_IMODE(mode))
        return 0

    @_may_fail
    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """See utime(2)."""
        os.utime(self._folder + path, ns=times or (time.time_ns(), time.time_ns()))
        return 0

    @_may_fail
    def open(self, path: str, fi: Any) -> int:
        """See open(2)."""
        return self._opened(path, fi, fi.flags & ~os.O_CREAT & ~os.O_EXCL, 0)

    @_may_fail
    def create(self, path: str, mode: int, fi: Any) -> int:
        """See open(2) with O_CREAT."""
        return self._opened(path, fi, fi.flags | os.O_CREAT, mode)

    @_may_fail
    def read(self, path: str, size: int, offset: int, fi: Any) -> bytes:
        """See pread(2)."""
        return os.pread(fi.fh, size, offset)

    @_may_fail
    def write(self, path: str, data: bytes, offset: int, fi: Any) -> int:
        """See pwrite(2)."""
        return os.pwrite(fi.fh, data, offset)

    @_may_fail
    def truncate(self, path: str, length: int, fh: Any = None) -> int:
        """See truncate(2)."""
        os.truncate(self._folder + path, length)
        return 0

    @_may_fail
    def release(self, path: str, fi: Any) -> int:
        """See close(2)."""
        os.close(fi.fh)
        return 0

    def _opened(self, path: str, fi: Any, flags: int, mode: int) -> int:
        # The kernel sees to O_APPEND, and writes pages back that it has to read before.
        access = os.O_RDWR if flags & os.O_ACCMODE == os.O_WRONLY else flags & os.O_ACCMODE
        kept = flags & (os.O_CREAT | os.O_EXCL | os.O_TRUNC)
        fi.fh = os.open(self._folder + path, access | kept | os.O_CLOEXEC, mode)
        name = os.path.basename(path)
        fi.direct_io = not name.startswith(("cache.db", "catalog"))
        return 0


def main(folder: str, mount_point: str, faults: str) -> None:
    """Serve until unmounted."""
    files: Callable[..., Any] = FaultyFiles(Path(folder), Path(faults))
    mfusepy.FUSE(
        files,
        mount_point,
        foreground=True,
        nothreads=True,
        raw_fi=True,
        fsname="faulty",
        subtype="faulty",
        attr_timeout=0,
        entry_timeout=0,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
