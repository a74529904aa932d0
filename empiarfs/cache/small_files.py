"""Small files of a cache directory: read and replaced whole, and no link is followed.

Threading: no state.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from pathlib import Path

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def read_small(path: Path, limit: int) -> bytes:
    """Return the first `limit` bytes of a regular file.

    Raises:
        FileNotFoundError: There is none.
        OSError: It can't be read, or is something else, such as a symbolic link (ELOOP).
    """
    descriptor = os.open(path, _READ)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        return os.read(descriptor, limit)
    finally:
        os.close(descriptor)


def write_small(path: Path, content: bytes) -> None:
    """Put a file with this content in the place of whatever is there, whole or not at all.

    Only its owner can read it.

    Raises:
        OSError: It can't be written.
    """
    # By the number of the thread, since two of one process may write.
    fresh = path.with_name(f"{path.name}.{threading.get_native_id()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()  # of a thread of the same number that was killed
    descriptor = os.open(fresh, _NEW, 0o600)
    try:
        try:
            if os.write(descriptor, content) != len(content):
                raise OSError(errno.ENOSPC, "no room", os.fspath(fresh))
        finally:
            os.close(descriptor)
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
