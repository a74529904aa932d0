"""Paths for fsspec that name the version of a file that is meant.

    version=4949020-674f1a2b/10934/data/x.mrc

What refers to bytes of a file by their places means one version of it, and a path is all that
fsspec hands on. So the version stands in front of it, where no name of the archive can be
mistaken for it, as `EmpiarFileSystem.info` tells it.

Threading: no state.
"""

from __future__ import annotations

import re

from empiarfs.errors import FileChangedError
from empiarfs.python.failures import as_python_error

# As `FileVersion` writes it.
_VERSIONED = re.compile(
    r"version=(?P<version>[0-9a-f]+-(?:-?[0-9a-f]+|etag-[0-9a-f]+))/(?P<path>.*)", re.DOTALL
)


def with_version(version: str | None, path: str) -> str:
    """Return a path by which only this version of a file is read; any for None."""
    return path if version is None else f"version={version}/{path}"


def split_version(path: str) -> tuple[str | None, str]:
    """Return the version that a path names, or None, and the path below the archive's root.

    >>> split_version("version=10-674f1a2b/10934/x.mrc"), split_version("10934/x.mrc")
    (('10-674f1a2b', '10934/x.mrc'), (None, '10934/x.mrc'))
    """
    match = _VERSIONED.fullmatch(path)
    return (match["version"], match["path"]) if match else (None, path)


def check_version(found: str | None, wanted: str | None, path: str, url: str) -> None:
    """Raise an OSError (ESTALE) if another version is wanted than was found; None is any."""
    if wanted is not None and found != wanted:
        error = FileChangedError("it isn't the version that is meant", url=url)
        raise as_python_error(error, path) from error
