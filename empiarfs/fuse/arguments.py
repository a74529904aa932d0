"""What handlers are given, as mfusepy hands it over."""

from __future__ import annotations

from typing import Protocol

from empiarfs.errors import BadHandleError


class FileInfo(Protocol):
    """The fields of libfuse's `fuse_file_info` that are used here."""

    flags: int
    fh: int
    keep_cache: int
    direct_io: int


def inner_path(path: str | None) -> str:
    """Return the kernel's path as the file system spells it.

    Raises:
        BadHandleError: There is none, of a handle that isn't open.
    """
    if path is None:
        raise BadHandleError("neither a path nor an open handle")
    return path[1:]
