"""What goes wrong, as Python's own exceptions, which libraries that read files know.

    a name that isn't there              FileNotFoundError
    a directory where a file is needed   IsADirectoryError, and the other way round
    the archive refuses it               PermissionError
    it has changed since it was opened   OSError with ESTALE
    no answer in time                    TimeoutError
    anything else of archive or cache    OSError with EIO

Each has what empiarfs raised as its `__cause__`. Mistakes in settings and in how a place is
spelt stay `empiarfs.errors.ConfigError`.
"""

from __future__ import annotations

import errno

from empiarfs.errors import (
    ConfigError,
    EmpiarFSError,
    FileChangedError,
    ForbiddenError,
    GaveUpError,
    IsDirectoryError,
    NoSuchNameError,
    NotDirectoryError,
    NotFoundError,
    ReadOnlyError,
)

# The nearest class in an exception's MRO decides. OSError makes the subclass of the number.
_ERRNO_BY_ERROR: dict[type[EmpiarFSError], int] = {
    NoSuchNameError: errno.ENOENT,
    NotFoundError: errno.ENOENT,
    IsDirectoryError: errno.EISDIR,
    NotDirectoryError: errno.ENOTDIR,
    ForbiddenError: errno.EACCES,
    FileChangedError: errno.ESTALE,
    GaveUpError: errno.ETIMEDOUT,
    ReadOnlyError: errno.EROFS,
    EmpiarFSError: errno.EIO,
}
_PLAIN = {
    errno.ENOENT: "not in the archive",
    errno.EISDIR: "is a directory",
    errno.ENOTDIR: "is no directory",
    errno.EROFS: "the archive can't be written",
}


def as_python_error(error: EmpiarFSError, path: str) -> Exception:
    """Return what Python calls a failure about `path`; mistakes in settings stay as they are."""
    if isinstance(error, ConfigError):
        return error
    number = next(_ERRNO_BY_ERROR[cls] for cls in type(error).__mro__ if cls in _ERRNO_BY_ERROR)
    return OSError(number, _PLAIN.get(number, str(error)), path)
