"""What the adapter remembers of open files and directories."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from empiarfs.errors import BadHandleError


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open file.

    Attributes:
        path: As the kernel spelled it, without the leading slash.
        size: Bytes of the version that was opened.
    """

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class OpenDirectory:
    """An open directory.

    Attributes:
        path: As the kernel spelled it, without the leading slash.
        inode: Its own.
        parent_inode: That of the directory above.
    """

    path: str
    inode: int
    parent_inode: int


class Handles:
    """Open files and directories by their handles; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: dict[int, OpenFile | OpenDirectory] = {}  # guarded by _lock

    def add(self, handle: int, opened: OpenFile | OpenDirectory) -> None:
        """Remember what was opened."""
        with self._lock:
            self._opened[handle] = opened

    def remove(self, handle: int) -> None:
        """Forget it."""
        with self._lock:
            self._opened.pop(handle, None)

    def file(self, handle: int) -> OpenFile:
        """Return an open file.

        Raises:
            BadHandleError: No file is open under this handle.
        """
        opened = self._get(handle)
        if not isinstance(opened, OpenFile):
            raise BadHandleError(f"file handle {handle} is not open")
        return opened

    def directory(self, handle: int) -> OpenDirectory:
        """Return an open directory.

        Raises:
            BadHandleError: No directory is open under this handle.
        """
        opened = self._get(handle)
        if not isinstance(opened, OpenDirectory):
            raise BadHandleError(f"directory handle {handle} is not open")
        return opened

    def path(self, handle: object) -> str | None:
        """Return what is open under something that may be a handle, or None."""
        opened = self._get(handle) if isinstance(handle, int) else None
        return opened.path if opened is not None else None

    def _get(self, handle: int) -> OpenFile | OpenDirectory | None:
        with self._lock:
            return self._opened.get(handle)
