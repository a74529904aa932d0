"""The directories that are open: their children stay as they were.

Threading: safe from any thread; `_lock` guards the table.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

from empiarfs.errors import BadHandleError
from empiarfs.tree.directory import DirectoryItem


class OpenDirectories:
    """Children by handle.

    Args:
        numbers: Gives each handle its number; `next` of it is one step of the interpreter.
    """

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._lock = threading.Lock()
        self._items: dict[int, tuple[DirectoryItem, ...]] = {}  # guarded by _lock

    def add(self, items: tuple[DirectoryItem, ...]) -> int:
        """Return a handle to a directory with these children."""
        with self._lock:
            handle = next(self._numbers)
            self._items[handle] = items
        return handle

    def items(self, handle: int) -> tuple[DirectoryItem, ...]:
        """Return the children.

        Raises:
            BadHandleError: The handle isn't open.
        """
        with self._lock:
            items = self._items.get(handle)
        if items is None:
            raise BadHandleError(str(handle))
        return items

    def remove(self, handle: int) -> None:
        """Forget the handle."""
        with self._lock:
            self._items.pop(handle, None)
