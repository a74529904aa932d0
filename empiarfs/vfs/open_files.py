"""The archive's files that are open, each pinned to the version that it was opened in.

Threading: safe from any thread; one lock, held for dictionary work. `OpenFile.stale` turns true
once and stays so, and is read without it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from cachetools import LRUCache

from empiarfs.core.files import FileVersion
from empiarfs.errors import BadHandleError
from empiarfs.reader import Reader
from empiarfs.vfs.values import Attributes

# Of how many files the version last opened is remembered (some 150 bytes each). A file
# that was forgotten merely loses its pages in the kernel at its next open.
_OPENED_KEPT = 100_000


class OpenFile:
    """An open file.

    Attributes:
        path: Below the archive's root.
        reader: Reads the version that was opened.
        attributes: Of that version.
        stale: The archive was seen to hold another version.
    """

    __slots__ = ("attributes", "path", "reader", "stale")

    def __init__(self, path: str, reader: Reader, attributes: Attributes) -> None:
        self.path = path
        self.reader = reader
        self.attributes = attributes
        self.stale = False

    @property
    def version(self) -> FileVersion:
        """The version that was opened."""
        return self.reader.file.version


class OpenFiles:
    """Open files by their handles, and which version of each was opened last.

    Args:
        numbers: Where handles come from, which must differ from those of directories, too.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self._lock = threading.Lock()
        self._numbers = numbers
        self._files: dict[int, OpenFile] = {}  # guarded by _lock
        self._by_path: dict[str, set[int]] = {}  # guarded by _lock
        self._opened: LRUCache[int, FileVersion] = LRUCache(_OPENED_KEPT)  # guarded by _lock

    def __len__(self) -> int:
        with self._lock:
            return len(self._files)

    def add(self, opened: OpenFile) -> tuple[int, bool, FileVersion | None]:
        """Take an open file in; files of other versions at its path turn stale.

        Returns:
            Its handle, whether there are such others, and the version that was opened last
            before this, if that is known.
        """
        inode, version = opened.attributes.inode, opened.version
        with self._lock:
            outdated = False
            for handle in self._by_path.get(opened.path, ()):
                other = self._files[handle]
                if other.version != version:
                    other.stale = True
                    outdated = True
            last = self._opened.get(inode)
            self._opened[inode] = version
            handle = next(self._numbers)
            self._files[handle] = opened
            self._by_path.setdefault(opened.path, set()).add(handle)
        return handle, outdated, last

    def turn_stale(self, opened: OpenFile) -> bool:
        """Make all files of this path and version stale, since the archive has another one.

        Returns:
            False if that has been noticed before.
        """
        version = opened.version
        with self._lock:
            for handle in self._by_path.get(opened.path, ()):
                other = self._files[handle]
                if other.version == version:
                    other.stale = True
            return self._opened.pop(opened.attributes.inode, None) is not None

    def get(self, handle: int) -> OpenFile:
        """Return an open file.

        Raises:
            BadHandleError: The handle isn't open.
        """
        with self._lock:
            opened = self._files.get(handle)
        if opened is None:
            raise BadHandleError(str(handle))
        return opened

    def remove(self, handle: int) -> OpenFile | None:
        """Forget a handle; return what was open, or None."""
        with self._lock:
            opened = self._files.pop(handle, None)
            if opened is None:
                return None
            handles = self._by_path[opened.path]
            handles.discard(handle)
            if not handles:
                del self._by_path[opened.path]
        return opened
