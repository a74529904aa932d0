"""The bytes of tables that name files: on a local disk, or in the archive.

Threading: used from one thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from empiarfs.formats import FormatError, Window

if TYPE_CHECKING:
    from empiarfs.cli.archives import Archive

# A table of ten million particles has some 3 GB.
_MOST_LOCAL = 16 * 1024**3
_MOST_REMOTE = 1024**3


@contextmanager
def local_window(path: str) -> Iterator[Window]:
    """Open a local file to be looked into.

    Raises:
        FormatError: It isn't there, is no file, or can't be read.
    """
    try:
        # A pipe would wait for whoever writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as exc:
        raise FormatError(getattr(exc, "strerror", None) or str(exc)) from exc
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError("is no file")
        yield Window(
            status.st_size, lambda offset, size: _read(descriptor, offset, size), _MOST_LOCAL
        )
    finally:
        os.close(descriptor)


def _read(descriptor: int, offset: int, size: int) -> bytes:
    parts = []
    while size:
        try:
            data = os.pread(descriptor, size, offset)
        except OSError as exc:
            raise FormatError(f"can't be read: {exc.strerror}") from exc
        if not data:
            raise FormatError("became shorter while it was read")
        parts.append(data)
        offset, size = offset + len(data), size - len(data)
    return b"".join(parts)


@contextmanager
def archive_window(path: str, archive: Archive) -> Iterator[Window]:
    """Open a file of the archive to be looked into.

    Args:
        path: Below the archive's root.
        archive: Opened to be read.

    Raises:
        EmpiarFSError: It isn't there, or can't be read.
    """
    files = archive.files
    handle = files.open(path, archive.looking()).handle
    try:
        yield Window(
            files.attributes_of_handle(handle).size,
            lambda offset, size: files.read(handle, offset, size, archive.reading()),
            _MOST_REMOTE,
        )
    finally:
        files.release(handle)
