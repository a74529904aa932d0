"""The file system itself: names, attributes and handles, for the adapter and for Python.

Threading: safe from any thread; the tables of handles have their locks, which are never held
while the archive or the disk is asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from empiarfs.archive.client import ArchiveClient
from empiarfs.cache.store import BlockStore
from empiarfs.core import paths
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.neighbours import NeighboursConfig
from empiarfs.core.readahead import ReadAheadConfig
from empiarfs.errors import (
    EmpiarFSError,
    FileChangedError,
    InterruptedCallError,
    IsDirectoryError,
    NoAttributeError,
    NoSuchNameError,
    NotDirectoryError,
    NotFoundError,
    TreeError,
)
from empiarfs.fetcher import Source
from empiarfs.foresight import Foresight
from empiarfs.notes.places import NOTES_NAME, Place, place_of
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from empiarfs.tree import Node, Tree
from empiarfs.tree.directory import DirectoryItem
from empiarfs.vfs.extended import ATTRIBUTE_NAMES, URL, attribute_of
from empiarfs.vfs.open_directories import OpenDirectories
from empiarfs.vfs.open_files import OpenFile, OpenFiles
from empiarfs.vfs.served import Served
from empiarfs.vfs.values import (
    DIRECTORY_SIZE,
    FIRST_NOTE,
    Attributes,
    OpenedFile,
    SpaceUsage,
    minute_ns,
)

if TYPE_CHECKING:
    from empiarfs.notes.notes import Notes
    from empiarfs.vfs.note_files import NoteFiles

logger = logging.getLogger(__name__)

T = TypeVar("T")


class FileSystem:
    """The archive, or one entry of it, as a read-only file system.

    Args:
        client: Tells URLs and whether the archive can be reached.
        tree: Names, sizes, versions.
        fetcher: Bytes.
        store: The block cache, for what `df` and `status` show.
        counters: Counts what happens.
        root: Path below the archive's root that is served as "".
        readahead: How far to read ahead in a file.
        neighbours: How far to go ahead in a directory.
        notes: What is below `.empiar`; None for nothing.
    """

    def __init__(
        self,
        client: ArchiveClient,
        tree: Tree,
        fetcher: Source,
        store: BlockStore,
        counters: Counters,
        *,
        root: str = "",
        readahead: ReadAheadConfig | None = None,
        neighbours: NeighboursConfig | None = None,
        notes: Notes | None = None,
    ) -> None:
        self._client = client
        self._tree = tree
        self._fetcher = fetcher
        self._store = store
        self._counters = counters
        self._served = Served(root)
        self._foresight = Foresight(client.base_url, tree, fetcher, readahead, neighbours)
        # Of files and directories; `next` of it is one step of the interpreter.
        self._numbers = count(1)
        self._files = OpenFiles(self._numbers)
        self._directories = OpenDirectories(self._numbers)
        self._callbacks: list[Callable[[str], None]] = []
        self._notes = None if notes is None else _note_files(notes, self._told_of_change)
        self._began_s = time.time()
        tree.when_changed(self._tell_changed)

    # -- names and attributes --------------------------------------------------------------

    def attributes(self, path: str, patience: Patience) -> Attributes:
        """Return what `stat` tells of `path`; sizes are exact.

        Raises:
            NoSuchNameError: There is nothing at `path`.
            EmpiarFSError: It isn't known and the archive can't tell now.
        """
        if not path:
            # A mount must come up, and be seen to, while the archive is out of reach.
            return Attributes(paths.inode_of(self._served.root), True, DIRECTORY_SIZE, 0)
        if self._notes is not None and NOTES_NAME in path:
            place = self._place(path, patience)
            if place is not None:
                return self._noted(lambda notes: notes.attributes(place, patience))
        known = self._tree.glance(self._served.full(path))
        if known is not None:
            return _file_attributes(*known)
        node = self._lookup(path, patience)
        if node.is_directory:
            return Attributes(node.inode, True, DIRECTORY_SIZE, minute_ns(node.modified_text))
        return _file_attributes(node, self._counted_version(node, patience))

    def link_target(self, path: str, patience: Patience) -> str:
        """Return where the symbolic link at `path` leads; all are below `.empiar`.

        Raises:
            NoSuchNameError: There is none.
            EmpiarFSError: It isn't known and can't be had in time.
        """
        place = self._place(path, patience)
        if place is None:
            raise NoSuchNameError(f"{path!r} is no symbolic link")
        return self._noted(lambda notes: notes.link_target(place, patience))

    def _place(self, path: str, patience: Patience) -> Place | None:
        """Return the place below `.empiar` that a path names, or None if it names none.

        Raises:
            NoSuchNameError: The archive has no such entry.
        """
        if self._notes is None or NOTES_NAME not in path:
            return None
        place = place_of(self._served.full(path))
        if (
            place is not None
            and place.number is not None
            and not (self._served.root or place.parts)
        ):
            node = self._lookup(str(place.number), patience)
            if not node.is_directory:
                raise NotDirectoryError(path)
        return place

    def _noted(self, ask: Callable[[NoteFiles], T]) -> T:
        assert self._notes is not None
        try:
            return ask(self._notes)
        except EmpiarFSError as exc:
            self._count_failure(exc)
            raise

    def _lookup(self, path: str, patience: Patience) -> Node:
        try:
            return self._tree.lookup(self._served.full(path), patience)
        except EmpiarFSError as exc:
            self._count_failure(exc)
            raise

    def _counted_version(self, node: Node, patience: Patience) -> FileVersion:
        try:
            return self._tree.version(node.path, patience)
        except EmpiarFSError as exc:
            self._count_failure(exc)
            raise

    def _count_failure(self, error: EmpiarFSError) -> None:
        # "No such name" is an answer, not a failure.
        if not isinstance(error, (TreeError, InterruptedCallError)):
            self._counters.add("failed_lookups")

    # -- directories -----------------------------------------------------------------------

    def open_directory(self, path: str, patience: Patience) -> int:
        """Return a handle to the directory, whose children stay as they are now.

        Raises:
            NotDirectoryError: It is a file.
            EmpiarFSError: It isn't known and the archive can't tell now.
        """
        place = self._place(path, patience)
        if place is not None:
            return self._directories.add(self._noted(lambda notes: notes.items(place, patience)))
        node = self._lookup(path, patience)
        if not node.is_directory:
            raise NotDirectoryError(path)
        try:
            directory = self._tree.listings.directory(node.path, patience)
        except EmpiarFSError as exc:
            self._count_failure(exc)
            raise
        directory.note_listed()
        items = directory.children()
        if not node.path and self._notes is not None and self._notes.is_listed:
            own = DirectoryItem(NOTES_NAME, paths.inode_of(NOTES_NAME), True)
            items = (own, *(item for item in items if item.name != NOTES_NAME))
        return self._directories.add(items)

    def directory_items(self, handle: int) -> tuple[DirectoryItem, ...]:
        """Return the children, without "." and "..", as they were when it was opened.

        Raises:
            BadHandleError: The handle isn't open.
        """
        return self._directories.items(handle)

    def close_directory(self, handle: int) -> None:
        """Forget the handle."""
        self._directories.remove(handle)

    # -- files -----------------------------------------------------------------------------

    def open(self, path: str, patience: Patience) -> OpenedFile:
        """Open the version of the file that the archive holds now.

        Raises:
            IsDirectoryError: It is a directory.
            EmpiarFSError: It isn't known and the archive can't tell now.
        """
        place = self._place(path, patience)
        if place is not None:
            return self._noted(lambda notes: notes.open(place, patience))
        node = self._lookup(path, patience)
        if node.is_directory:
            raise IsDirectoryError(path)
        version = self._counted_version(node, patience)
        file = RemoteFile(self._client.base_url, node.path, version)
        attributes = _file_attributes(node, version)
        opened = OpenFile(node.path, self._foresight.open(file), attributes)
        handle, outdated, last = self._files.add(opened)
        if outdated or (last is not None and last != version):
            # Before the new open is answered, or the kernel would show old pages and sizes.
            self._tell_changed(node.path)
        return OpenedFile(handle, keep_cache=last == version and not outdated, direct_io=outdated)

    def read(
        self, handle: int, offset: int, size: int, patience: Patience, *, ahead: bool = True
    ) -> bytes:
        """Return exactly min(`size`, file size − `offset`) bytes.

        With `ahead` what comes next is foreseen; without it, nothing.

        Raises:
            FileChangedError: The archive holds another version now, or none.
            BadHandleError: The handle isn't open.
            EmpiarFSError: As `Fetcher.read`.
        """
        if handle >= FIRST_NOTE and self._notes is not None:
            return self._notes.read(handle, offset, size)
        opened = self._files.get(handle)
        if opened.stale:
            raise _stale(opened)
        try:
            data = opened.reader.read(offset, size, patience, ahead=ahead)
        except (FileChangedError, NotFoundError) as exc:
            self._after_change(opened)
            raise _stale(opened) from exc
        except InterruptedCallError:
            raise
        except EmpiarFSError:
            self._counters.add("failed_reads")
            raise
        if opened.stale:
            # Turned stale while the bytes were on their way.
            raise _stale(opened)
        self._counters.add("reads")
        self._counters.add("read_bytes", len(data))
        return data

    def _after_change(self, opened: OpenFile) -> None:
        """The archive holds another version than this handle's: no read mixes the two."""
        first = self._files.turn_stale(opened)
        self._counters.add("failed_reads")
        if first:
            logger.warning("%r has changed in the archive since it was opened", opened.path)
        self._tree.forget_version(opened.path, opened.version)

    def attributes_of_handle(self, handle: int) -> Attributes:
        """Return the attributes of the version that was opened."""
        if handle >= FIRST_NOTE and self._notes is not None:
            return self._notes.attributes_of_handle(handle)
        return self._files.get(handle).attributes

    def file_of_handle(self, handle: int) -> RemoteFile:
        """Return the file, in the version that was opened."""
        return self._files.get(handle).reader.file

    def release(self, handle: int) -> None:
        """Close the handle."""
        if handle >= FIRST_NOTE and self._notes is not None:
            self._notes.release(handle)
            return
        opened = self._files.remove(handle)
        if opened is not None:
            self._foresight.close(opened.reader)

    # -- extended attributes, space, status ------------------------------------------------

    def attribute_names(self, path: str) -> tuple[str, ...]:
        """Return the names of the extended attributes; the same for every file."""
        if self._notes is not None and place_of(self._served.full(path)) is not None:
            return ()
        return ATTRIBUTE_NAMES

    def attribute(self, path: str, name: str, patience: Patience) -> bytes:
        """Return an extended attribute's value; see `empiarfs.vfs.extended`.

        Raises:
            NoAttributeError: There is no such attribute.
        """
        if name not in ATTRIBUTE_NAMES or self._place(path, patience) is not None:
            raise NoAttributeError(name)
        node = self._lookup(path, patience)
        url = self._client.base_url + paths.url_path(node.path)
        if name == URL:
            return (url + "/" * (node.is_directory and bool(node.path))).encode()
        if node.is_directory:
            raise NoAttributeError(name)
        file = RemoteFile(self._client.base_url, node.path, self._counted_version(node, patience))
        return attribute_of(file, name, self._fetcher)

    def space(self) -> SpaceUsage:
        """Return how full the cache is."""
        usage = self._store.usage()
        return SpaceUsage(
            usage.limit, usage.used, max(0, usage.limit - usage.used), len(self._files)
        )

    def when_changed(self, callback: Callable[[str], None]) -> None:
        """Call `callback(path)` for each file that turns out to have changed.

        It is called after older handles turned stale and before a new open is answered.
        """
        self._callbacks.append(callback)

    def _tell_changed(self, full: str) -> None:
        for path in self._served.spellings(full):
            for callback in self._callbacks:
                callback(path)

    def _told_of_change(self, full: str) -> bool:
        """Tell that a file has changed, and return whether there was anybody to be told."""
        self._tell_changed(full)
        return bool(self._callbacks)

    def status(self) -> dict[str, object]:
        """Return what the file system is doing, as values that JSON can hold."""
        handles = len(self._files)
        if self._notes is not None:
            handles += self._notes.count()
        return {
            "archive_url": self._client.base_url,
            "root": self._served.root,
            "since_s": self._began_s,
            "reachability": str(self._client.reachability),
            "connections": self._client.connections_in_use,
            "oldest_request_s": self._client.oldest_request_s,
            "limit_rate": self._client.limit_rate,
            "open_files": handles,
            "cache": asdict(self._store.usage()),
            "fetcher": self._fetcher.usage(),
            "foresight": self._foresight.usage(),
            "refused_names": self._tree.listings.refused_names(),
            "counters": dict(self._counters.statistics().counters),
        }


def _file_attributes(node: Node, version: FileVersion) -> Attributes:
    if version.modified_s is not None:
        mtime_ns = version.modified_s * 1_000_000_000
    else:
        mtime_ns = minute_ns(node.modified_text)
    return Attributes(node.inode, False, version.size, mtime_ns)


def _note_files(notes: Notes, tell_changed: Callable[[str], bool]) -> NoteFiles:
    # Commands read files too, and show nothing of this: they don't wait for its import.
    from empiarfs.vfs.note_files import NoteFiles

    return NoteFiles(notes, tell_changed)


def _stale(opened: OpenFile) -> FileChangedError:
    return FileChangedError("it has changed since it was opened", url=opened.path)
