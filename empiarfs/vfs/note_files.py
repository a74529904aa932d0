"""What is below `.empiar`, with attributes and handles.

A file there is small and held whole by whoever opens it. As long as one is open, everybody
sees that one, in its size too; but for the files that are another one at each look, of which
every open gets a new one and the kernel keeps no pages. What `stat` has shown a moment ago is
what an open gets in any case: `tar` and others ask for the size first. Where a file is another
one than the kernel was told of last, the kernel is told before the open is answered: it
remembers sizes for an hour, and programs trust them. (With libfuse 2 it can't be told, and
remembers them for a second.)

A file that isn't made before it is opened has the size 0 until then, and afterwards its own.

Threading: safe from any thread; `_lock` guards the tables and is never held while anything is
asked.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from cachetools import LRUCache

from empiarfs.core import paths
from empiarfs.errors import BadHandleError, IsDirectoryError, NoSuchNameError
from empiarfs.notes.nodes import Link, NoteNode, Text, Unmade
from empiarfs.notes.notes import Notes
from empiarfs.notes.places import Place
from empiarfs.patience import Patience
from empiarfs.tree.directory import DirectoryItem
from empiarfs.vfs.values import DIRECTORY_SIZE, FIRST_NOTE, Attributes, OpenedFile

# How long `stat` shows the same text, and how long after it an open gets that: more than the
# second that libfuse 2 lets the kernel remember it.
_SHOWN_S = 2.0
_OPENED_S = 1.5
# Bytes of texts that are kept for this; one that is larger isn't.
_MOST_SHOWN = 4 * 1024 * 1024
# Of how many files it is known what the kernel was told (some 150 bytes each).
_TOLD_KEPT = 100_000
_EMPTY = Text(b"", 0.0)


@dataclass(frozen=True, slots=True)
class _Open:
    path: str
    text: Text


@dataclass(frozen=True, slots=True)
class _Shown:
    text: Text
    made_s: float
    told_s: float


class NoteFiles:
    """Serves what `Notes` tells.

    Args:
        notes: What there is.
        tell_changed: Makes the kernel forget a path below the archive's root, and tells
            whether it could be told.
    """

    def __init__(self, notes: Notes, tell_changed: Callable[[str], bool]) -> None:
        self._notes = notes
        self._tell_changed = tell_changed
        self._lock = threading.Lock()
        self._numbers = count(FIRST_NOTE)
        self._opened: dict[int, _Open] = {}  # guarded by _lock
        self._by_path: dict[str, list[int]] = {}  # handles, the oldest first; guarded by _lock
        # Size and checksum as they were last told; guarded by _lock
        self._told: LRUCache[str, tuple[int, int]] = LRUCache(_TOLD_KEPT)
        self._shown: LRUCache[str, _Shown] = LRUCache(  # guarded by _lock
            _MOST_SHOWN, getsizeof=lambda shown: len(shown.text.data) + 200
        )

    @property
    def is_listed(self) -> bool:
        """Whether the archive's root lists its own."""
        return self._notes.is_listed

    def attributes(self, place: Place, patience: Patience) -> Attributes:
        """Return what `stat` shows; of an open file, what was opened last."""
        opened = self._newest(place.path)
        node = self._node(place, patience) if opened is None else opened
        if isinstance(node, Text):
            self._tell(place.path, node, is_open=opened is not None)
            return _file_attributes(place.path, node)
        if isinstance(node, Unmade):
            with self._lock:
                self._told[place.path] = _signature(_EMPTY)
            return _file_attributes(place.path, _EMPTY)
        inode = paths.inode_of(place.path)
        if isinstance(node, Link):
            size = len(node.target.encode("utf-8", "surrogateescape"))
            return Attributes(inode, False, size, _nanoseconds(node.modified_s), is_link=True)
        return Attributes(inode, True, DIRECTORY_SIZE, 0)

    def link_target(self, place: Place, patience: Patience) -> str:
        """Return where a link leads.

        Raises:
            NoSuchNameError: It is none.
        """
        node = self._notes.node(place, patience)
        if not isinstance(node, Link):
            raise NoSuchNameError(f"{place.path!r} is no symbolic link")
        return node.target

    def items(self, place: Place, patience: Patience) -> tuple[DirectoryItem, ...]:
        """Return the names in a directory."""
        return tuple(
            DirectoryItem(
                item.name,
                paths.inode_of(paths.join(place.path, item.name)),
                item.is_directory,
                item.is_link,
            )
            for item in self._notes.items(place, patience)
        )

    def open(self, place: Place, patience: Patience) -> OpenedFile:
        """Open a file.

        Raises:
            IsDirectoryError: It is a directory.
            EmpiarFSError: There is none, or it can't be had in time.
        """
        shared = self._newest(place.path)
        text = shared if shared is not None and not shared.changes else None
        if text is None:
            text = self._just_shown(place.path)
        if text is None:
            node = self._notes.opened(place, patience)
            if isinstance(node, Link):
                raise NoSuchNameError(f"{place.path!r} is a symbolic link")
            if not isinstance(node, Text):
                raise IsDirectoryError(place.path)
            text = node
        signature = _signature(text)
        with self._lock:
            told = self._told.get(place.path)
            self._told[place.path] = signature
            handle = next(self._numbers)
            self._opened[handle] = _Open(place.path, text)
            self._by_path.setdefault(place.path, []).append(handle)
        is_other = told is not None and told != signature
        # A kernel that can't be told goes by the size that it knows, and would read no further.
        reads_past = is_other and not self._tell_changed(place.path)
        # The kernel's pages may be those of another text; to send some kilobytes again is nothing.
        return OpenedFile(handle, keep_cache=False, direct_io=text.changes or reads_past)

    def read(self, handle: int, offset: int, size: int) -> bytes:
        """Return what was opened, as far as it goes."""
        return self._open(handle).text.data[offset : offset + size]

    def attributes_of_handle(self, handle: int) -> Attributes:
        """Return the attributes of what was opened."""
        opened = self._open(handle)
        return _file_attributes(opened.path, opened.text)

    def release(self, handle: int) -> None:
        """Close a file."""
        with self._lock:
            opened = self._opened.pop(handle, None)
            if opened is None:
                return
            handles = self._by_path[opened.path]
            handles.remove(handle)
            if not handles:
                del self._by_path[opened.path]

    def count(self) -> int:
        """Return how many files are open."""
        with self._lock:
            return len(self._opened)

    def _node(self, place: Place, patience: Patience) -> NoteNode:
        """Return what is at a place, which is for a while what it was."""
        with self._lock:
            shown = self._shown.get(place.path)
        if shown is not None and 0 <= self._notes.clock() - shown.made_s < _SHOWN_S:
            return shown.text
        return self._notes.node(place, patience)

    def _just_shown(self, path: str) -> Text | None:
        with self._lock:
            shown = self._shown.get(path)
        if shown is not None and 0 <= self._notes.clock() - shown.told_s < _OPENED_S:
            return shown.text
        return None

    def _tell(self, path: str, text: Text, *, is_open: bool) -> None:
        """Note that the kernel is told of a text."""
        now_s = self._notes.clock()
        with self._lock:
            self._told[path] = _signature(text)
            if is_open or len(text.data) > _MOST_SHOWN // 4:
                # Who opens the file again and again would for ever get the same.
                return
            shown = self._shown.get(path)
            made_s = shown.made_s if shown is not None and shown.text is text else now_s
            self._shown[path] = _Shown(text, made_s, now_s)

    def _newest(self, path: str) -> Text | None:
        """Return what was opened last of those that are open at a path."""
        with self._lock:
            handles = self._by_path.get(path)
            return self._opened[handles[-1]].text if handles else None

    def _open(self, handle: int) -> _Open:
        with self._lock:
            opened = self._opened.get(handle)
        if opened is None:
            raise BadHandleError(str(handle))
        return opened


def _signature(text: Text) -> tuple[int, int]:
    return len(text.data), zlib.crc32(text.data)


def _file_attributes(path: str, text: Text) -> Attributes:
    return Attributes(paths.inode_of(path), False, len(text.data), _nanoseconds(text.modified_s))


def _nanoseconds(seconds: float) -> int:
    """Return a time as `stat` has it; whole seconds, which every program can copy."""
    return int(seconds) * 1_000_000_000
