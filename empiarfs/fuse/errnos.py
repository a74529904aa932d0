"""The one table that says which errno a program gets for which of our errors."""

from __future__ import annotations

import errno

from empiarfs.errors import (
    ArchiveError,
    BadHandleError,
    CacheError,
    EmpiarFSError,
    FileChangedError,
    ForbiddenError,
    GaveUpError,
    InterruptedCallError,
    IsDirectoryError,
    NoAttributeError,
    NoSuchNameError,
    NotDirectoryError,
    NotFoundError,
    ReadOnlyError,
)

# The nearest class in an exception's MRO decides. docs/semantics.md shows this table to
# users; a test checks that the two agree.
ERRNO_BY_ERROR: dict[type[EmpiarFSError], int] = {
    NotFoundError: errno.ENOENT,
    NoSuchNameError: errno.ENOENT,
    ForbiddenError: errno.EACCES,
    FileChangedError: errno.ESTALE,
    ArchiveError: errno.EIO,
    CacheError: errno.EIO,
    NotDirectoryError: errno.ENOTDIR,
    IsDirectoryError: errno.EISDIR,
    ReadOnlyError: errno.EROFS,
    BadHandleError: errno.EBADF,
    NoAttributeError: errno.ENODATA,
    GaveUpError: errno.EIO,
    InterruptedCallError: errno.EINTR,
    EmpiarFSError: errno.EIO,
}

# What programs meet every day, and is no failure of ours: not worth a warning.
ORDINARY = frozenset(
    (errno.ENOENT, errno.ENODATA, errno.ENOTDIR, errno.EISDIR, errno.EROFS, errno.EINTR)
)


def errno_for(error: EmpiarFSError) -> int:
    """Return the errno that a system call fails with because of `error`."""
    return next(ERRNO_BY_ERROR[cls] for cls in type(error).__mro__ if cls in ERRNO_BY_ERROR)
