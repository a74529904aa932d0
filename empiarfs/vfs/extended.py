"""The extended attributes of files, of which one is also a directory's.

    user.empiar.url        where it comes from
    user.empiar.size       its exact size in bytes
    user.empiar.validator  its Last-Modified or ETag
    user.empiar.cached     how many of its bytes the cache directory holds

Threading: safe from any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from empiarfs.core.files import RemoteFile
    from empiarfs.fetcher import Source

URL, _SIZE, _VALIDATOR, _CACHED = (
    f"user.empiar.{name}" for name in ("url", "size", "validator", "cached")
)
ATTRIBUTE_NAMES = (URL, _SIZE, _VALIDATOR, _CACHED)


def attribute_of(file: RemoteFile, name: str, fetcher: Source) -> bytes:
    """Return a file's attribute other than the URL."""
    if name == _SIZE:
        return str(file.version.size).encode()
    if name == _VALIDATOR:
        return file.version.validator.encode()
    return str(fetcher.cached_bytes(file)).encode()
