"""A file system for `empiarfs.fuse` to serve in tests: a local directory, with faults.

It keeps the promises of `empiarfs.vfs.FileSystem` that concern the adapter: exact reads,
frozen directories, open files that stay what they were or turn stale. Some names do what
the archive does on a bad day:

    name          what happens
    ------------  ------------------------------------------------------------------
    short         reads get a byte too few
    bug           every call raises KeyError, which no file system should
    exit          every call raises SystemExit, as some libraries do
    slow-stat     `stat` waits until the caller's patience is over
    slow-read     so does `read`; `open` and `stat` don't

`waiting` is called whenever somebody begins to wait for one of the latter two.

As a program it mounts: `python -m tests.support.fake_files DIRECTORY MOUNT_POINT`, and
prints `mounted` once the kernel has mounted it, and `waiting` as above.
"""

from __future__ import annotations

import argparse
import itertools
import os
import stat
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from empiarfs.core.paths import inode_of
from empiarfs.errors import (
    BadHandleError,
    FileChangedError,
    IsDirectoryError,
    NoAttributeError,
    NoSuchNameError,
    NotDirectoryError,
)
from empiarfs.fuse import (
    AdapterConfig,
    FuseAdapter,
    Invalidator,
    SessionOptions,
    XattrFuseAdapter,
    can_invalidate,
    serve,
)
from empiarfs.patience import Patience
from empiarfs.tree.directory import DirectoryItem
from empiarfs.vfs import Attributes, OpenedFile, SpaceUsage


@dataclass
class _Open:
    path: str
    version: tuple[int, int]
    data: bytes


class FakeFiles:
    """Serves the files below a directory as if they were the archive's.

    Args:
        directory: What to serve.
        waiting: See above.
    """

    def __init__(self, directory: Path, waiting: Callable[[], None] = lambda: None) -> None:
        self._directory = directory
        self._waiting = waiting
        self._lock = threading.Lock()
        self._handles = itertools.count(1)
        self._files: dict[int, _Open] = {}  # guarded by _lock
        self._directories: dict[int, tuple[DirectoryItem, ...]] = {}  # guarded by _lock
        self._last_opened: dict[str, tuple[int, int]] = {}  # guarded by _lock
        self._callbacks: list[Callable[[str], None]] = []

    def attributes(self, path: str, patience: Patience) -> Attributes:
        """See `Files.attributes`."""
        self._misbehave(path, patience, "slow-stat")
        return self._attributes(path)

    def link_target(self, path: str, patience: Patience) -> str:
        """See `Files.link_target`."""
        if not self._attributes(path).is_link:
            raise NoSuchNameError(path)
        return os.readlink(self._local(path))

    def open_directory(self, path: str, patience: Patience) -> int:
        """See `Files.open_directory`."""
        if not self._attributes(path).is_directory:
            raise NotDirectoryError(path)
        items = tuple(
            DirectoryItem(
                entry.name,
                inode_of(f"{path}/{entry.name}".lstrip("/")),
                entry.is_dir(follow_symlinks=False),
                entry.is_symlink(),
            )
            for entry in os.scandir(self._local(path))
        )
        handle = next(self._handles)
        with self._lock:
            self._directories[handle] = items
        return handle

    def directory_items(self, handle: int) -> tuple[DirectoryItem, ...]:
        """See `Files.directory_items`."""
        with self._lock:
            return self._directories[handle]

    def close_directory(self, handle: int) -> None:
        """See `Files.close_directory`."""
        with self._lock:
            del self._directories[handle]

    def open(self, path: str, patience: Patience) -> OpenedFile:
        """See `Files.open`."""
        if self._attributes(path).is_directory:
            raise IsDirectoryError(path)
        version = self._version(path)
        with self._lock:
            before = self._last_opened.get(path, version)
            older = any(file.path == path for file in self._files.values())
        changed = before != version
        if changed:
            for callback in self._callbacks:
                callback(path)
        handle = next(self._handles)
        opened = _Open(path, version, Path(self._local(path)).read_bytes())
        with self._lock:
            self._last_opened[path] = version
            self._files[handle] = opened
        return OpenedFile(handle, keep_cache=not changed, direct_io=changed and older)

    def read(self, handle: int, offset: int, size: int, patience: Patience) -> bytes:
        """See `Files.read`."""
        file = self._open_file(handle)
        self._misbehave(file.path, patience, "slow-read")
        data = file.data[offset : offset + size]
        return data[:-1] if file.path.endswith("short") else data

    def attributes_of_handle(self, handle: int) -> Attributes:
        """See `Files.attributes_of_handle`."""
        return self._attributes(self._open_file(handle).path)

    def release(self, handle: int) -> None:
        """See `Files.release`."""
        with self._lock:
            del self._files[handle]

    def open_count(self) -> int:
        """Return how many files and directories are open."""
        with self._lock:
            return len(self._files) + len(self._directories)

    def space(self) -> SpaceUsage:
        """See `Files.space`."""
        return SpaceUsage(total=1 << 30, used=1 << 20, free=(1 << 30) - (1 << 20), files=7)

    def attribute_names(self, path: str) -> tuple[str, ...]:
        """See `Files.attribute_names`."""
        return ("user.empiar.url", "user.empiar.size")

    def attribute(self, path: str, name: str, patience: Patience) -> bytes:
        """See `Files.attribute`."""
        if name == "user.empiar.url":
            return b"http://example.invalid/" + os.fsencode(path)
        if name == "user.empiar.size":
            return b"%d" % self._attributes(path).size
        raise NoAttributeError(name)

    def when_changed(self, callback: Callable[[str], None]) -> None:
        """See `Files.when_changed`."""
        self._callbacks.append(callback)

    def _open_file(self, handle: int) -> _Open:
        with self._lock:
            file = self._files.get(handle)
        if file is None:
            raise BadHandleError(str(handle))
        if file.version != self._version(file.path):
            raise FileChangedError("changed", url=file.path)
        return file

    def _misbehave(self, path: str, patience: Patience, slow: str) -> None:
        name = path.rpartition("/")[2]
        if name == "bug":
            raise KeyError(path)
        if name == "exit":
            raise SystemExit(path)
        if name == slow:
            self._waiting()
            patience.sleep(1000)

    def _local(self, path: str) -> str:
        return os.path.join(self._directory, os.fsdecode(path.encode("utf-8", "surrogateescape")))

    def _stat(self, path: str) -> os.stat_result:
        try:
            return os.lstat(self._local(path))
        except NotADirectoryError as exc:
            raise NotDirectoryError(path) from exc
        except FileNotFoundError as exc:
            raise NoSuchNameError(path) from exc

    def _version(self, path: str) -> tuple[int, int]:
        found = self._stat(path)
        return found.st_size, found.st_mtime_ns

    def _attributes(self, path: str) -> Attributes:
        found = self._stat(path)
        is_directory = stat.S_ISDIR(found.st_mode)
        size = 0 if is_directory else found.st_size
        is_link = stat.S_ISLNK(found.st_mode)
        return Attributes(inode_of(path), is_directory, size, found.st_mtime_ns, is_link)


def _say(word: bytes) -> None:
    os.write(sys.stdout.fileno(), word + b"\n")


def main() -> None:
    """Mount a directory until it is unmounted."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("mount_point")
    parser.add_argument("--xattr", action="store_true")
    parser.add_argument("--wait", type=float, default=900.0)
    parser.add_argument("--source", default="empiar")
    options = parser.parse_args()
    adapter_class = XattrFuseAdapter if options.xattr else FuseAdapter
    adapter = adapter_class(
        FakeFiles(options.directory, lambda: _say(b"waiting")),
        AdapterConfig(
            wait_s=options.wait, lookup_s=options.wait, uid=os.getuid(), gid=os.getgid()
        ),
        started=lambda: _say(b"mounted"),
        invalidator=Invalidator() if can_invalidate() else None,
    )
    serve(adapter, SessionOptions(options.mount_point, options.source))


if __name__ == "__main__":
    main()
