"""What `info` tells of a file: where it is, how much is cached, and what is in it.

Threading: used from one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from empiarfs.cli.archives import Archive
    from empiarfs.core.targets import Target
    from empiarfs.formats import Contents

# Of one file; what needs more is read from a copy.
_MOST_READ = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What is known of a file.

    Attributes:
        target: As it was given.
        path: Below the archive's root.
        url: Where it is.
        size: Bytes.
        modified_s: Last-Modified in seconds since 1970, or None.
        validator: Last-Modified or ETag, as the archive sends it.
        cached: Bytes that the cache directory held before it was looked into.
        contents: What is in it.
        bytes_read: How many bytes that took.
    """

    target: str
    path: str
    url: str
    size: int
    modified_s: int | None
    validator: str
    cached: int
    contents: Contents
    bytes_read: int

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        details = self.contents.details
        return {
            "type": "file",
            "target": self.target,
            "path": self.path,
            "url": self.url,
            "size": self.size,
            "modified_s": self.modified_s,
            "validator": self.validator,
            "cached": self.cached,
            "format": self.contents.kind,
            "problem": self.contents.problem or None,
            "contents": None if details is None else without_nan(_as_dict(details)),
            "bytes_read": self.bytes_read,
        }

    def lines(self, *, verbose: bool) -> Iterator[str]:
        """Yield it for people; each line is safe to print."""
        from empiarfs.cli.file_lines import lines_of

        return lines_of(self, verbose=verbose)


def file_info(target: Target, archive: Archive) -> FileInfo:
    """Look into a file.

    Raises:
        IsDirectoryError: It is a directory.
        EmpiarFSError: It isn't there, or can't be read.
    """
    from empiarfs.formats import Window, contents_of

    files = archive.files
    handle = files.open(target.path, archive.looking()).handle
    try:
        attributes = files.attributes_of_handle(handle)
        told = {
            name: files.attribute(target.path, f"user.empiar.{name}", archive.looking())
            for name in ("validator", "cached")
        }
        window = Window(
            attributes.size,
            lambda offset, size: files.read(handle, offset, size, archive.reading()),
            _MOST_READ,
        )
        contents = contents_of(target.path.rpartition("/")[2], window)
    finally:
        files.release(handle)
    return FileInfo(
        target=target.spelt,
        path=target.path,
        url=archive.url(target.path, is_directory=False),
        size=attributes.size,
        modified_s=attributes.mtime_ns // 1_000_000_000 or None,
        validator=told["validator"].decode("utf-8", "replace"),
        cached=int(told["cached"]),
        contents=contents,
        bytes_read=window.bytes_read,
    )


def _as_dict(details: Any) -> dict[str, Any]:
    values = asdict(details)
    # Values that are worked out are no fields.
    for name in ("pixel_size", "expected_size"):
        if hasattr(type(details), name):
            values[name] = getattr(details, name)
    if "images" in values:
        values["images"] = [{**image, "frames": frames} for image, frames in values["images"]]
    return values


def without_nan(value: Any) -> Any:
    """Return a value with None for numbers that JSON doesn't have.

    >>> without_nan({"a": [1.0, float("nan")]})
    {'a': [1.0, None]}
    """
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(each) for each in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
