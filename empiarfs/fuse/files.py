"""What the FUSE adapter needs from the file system; `empiarfs.vfs.FileSystem` has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from empiarfs.patience import Patience
    from empiarfs.tree.directory import DirectoryItem
    from empiarfs.vfs import Attributes, OpenedFile, SpaceUsage


class Files(Protocol):
    """A read-only tree; paths have no leading slash, and "" is the root.

    Every method raises subclasses of `EmpiarFSError` only, and is safe to call from
    several threads.
    """

    def attributes(self, path: str, patience: Patience) -> Attributes:
        """Return what `stat` shows of `path`."""
        ...

    def link_target(self, path: str, patience: Patience) -> str:
        """Return where the symbolic link at `path` leads."""
        ...

    def open_directory(self, path: str, patience: Patience) -> int:
        """Open a directory whose items stay as they are until it is closed."""
        ...

    def directory_items(self, handle: int) -> tuple[DirectoryItem, ...]:
        """Return the items of an open directory, without `.` and `..`."""
        ...

    def close_directory(self, handle: int) -> None:
        """Close an open directory."""
        ...

    def open(self, path: str, patience: Patience) -> OpenedFile:
        """Open a file for reading, in the version that the archive has."""
        ...

    def read(self, handle: int, offset: int, size: int, patience: Patience) -> bytes:
        """Return `size` bytes at `offset`; fewer exactly where the file ends."""
        ...

    def attributes_of_handle(self, handle: int) -> Attributes:
        """Return what `fstat` shows of an open file."""
        ...

    def release(self, handle: int) -> None:
        """Close an open file."""
        ...

    def space(self) -> SpaceUsage:
        """Return what `df` shows."""
        ...

    def attribute_names(self, path: str) -> tuple[str, ...]:
        """Return the names of the extended attributes of `path`."""
        ...

    def attribute(self, path: str, name: str, patience: Patience) -> bytes:
        """Return the value of an extended attribute."""
        ...

    def when_changed(self, callback: Callable[[str], None]) -> None:
        """Have `callback` called with each path whose file has changed in the archive."""
        ...
