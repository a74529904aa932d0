"""The folders in which blocks lie: one at a time is current, and a damaged one is left.

    blocks-1/
      current              one line, the name of the current generation: "gen-3"
      generations.lock     held while `current` changes
      gen-3/               shared lock: in use by a process
        cache.db ...       the database
        slot-0 ...         see `empiarfs.cache.slots`
        00/ ... ff/        the blocks

A database that turns out to be damaged or foreign can't be repaired under the hands of
other processes, and a file put in its place under the same name would be mixed with the old
one's log by those which have it open. So it is left where it is, the next generation is
made beside it, and `current` is pointed there. Processes compare `current` once a second.
What is left of old generations is removed in the background: the blocks at once, which
costs a process that still uses them nothing but misses; the database only when nobody holds
the generation's shared lock.

Threading: a `Generations` has no state; a `Generation` belongs to one thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from empiarfs.cache.locks import LOCK_POLL_S, locked, try_lock_descriptor
from empiarfs.cache.small_files import read_small, write_small
from empiarfs.cache.spread import spread_folders_below
from empiarfs.errors import CacheError

_NAME = re.compile(r"gen-([0-9]{1,9})\Z")
_LOCK_TIMEOUT_S = 1.0
_PAUSE_S = 0.001
_ATTEMPTS = 5
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK_FOLDER = re.compile(r"[0-9a-f]{2}\Z")

# (st_dev, st_ino, st_mtime_ns) of `current`, and (st_dev, st_ino) of the folder
Identity = tuple[int, ...]


class Generation:
    """One generation's folder, held by its shared lock until `close`.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, descriptor: int, identity: Identity) -> None:
        self.path = path
        self._descriptor = descriptor
        self.identity = identity

    @property
    def number(self) -> int:
        """Its number; later ones are higher."""
        return _number(self.path.name)

    @property
    def has_blocks(self) -> bool:
        """Whether block folders are there, empty or not."""
        with os.scandir(self.path) as found:
            return any(_BLOCK_FOLDER.match(item.name) for item in found)

    def close(self) -> None:
        """Let go of the shared lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self._descriptor >= 0:
            close(self._descriptor)


class Generations:
    """The generations below one folder, which need not exist before they are used.

    Args:
        directory: The folder, an absolute path; it is made again when it vanishes, but only
            while a disk is mounted where its first one was. Not: on the same device, whose
            number is another after each mount of a btrfs or tmpfs.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._pointer = directory / "current"
        self._lock_path = os.fspath(directory / "generations.lock")
        self._disk: Path | None = None  # where the directory's disk is mounted

    def open(self) -> Generation:
        """Return the current generation, making the first one if there is none.

        Raises:
            OSError: The folder can't be used.
            CacheError: Another process holds the lock, or changes it all the time.
        """
        self._make_directory()
        for _ in range(_ATTEMPTS):
            path = self._current() or self._make(None)
            generation = self._hold(path)
            if generation is not None:
                return generation
        raise CacheError(f"{self._pointer} doesn't hold still")

    def is_current(self, generation: Generation) -> bool:
        """Tell whether the generation is still the one to use, at the cost of two `stat`."""
        try:
            return generation.identity == self._identity(generation.path)
        except OSError:
            return False

    def succeed(self, generation: Generation) -> None:
        """Make the next generation, unless another process has done so.

        Raises:
            OSError: The folder can't be used.
            CacheError: Another process holds the lock.
        """
        self._make(generation.path)

    def remove_outdated(self) -> bool:
        """Remove what is left of old generations; return whether nothing is left of them."""
        current = self._current()
        if current is None:
            return True
        number = _number(current.name)
        with os.scandir(self.directory) as found:
            old = [item.path for item in found if -1 < _number(item.name) < number]
        left = [path for path in old if not _remove(path)]
        return not left

    def _make_directory(self) -> None:
        if self._disk is None:
            _make_folders(self.directory)
            self._disk = _mount_point_of(self.directory)
        elif not os.path.ismount(self._disk):
            raise CacheError(f"{self.directory} is gone with the disk that it was on")
        else:
            _make_folders(self.directory)

    def _current(self) -> Path | None:
        try:
            name = read_small(self._pointer, 64).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.EINVAL):
                return None  # a link, or no file: the next generation's takes its place
            raise
        path = self.directory / name
        return path if _NAME.match(name) and path.is_dir() and not path.is_symlink() else None

    def _make(self, after: Path | None) -> Path:
        """Make the generation after `after`; return the current one, whoever made it."""
        with locked(self._lock_path, _LOCK_TIMEOUT_S):
            current = self._current()
            if current is not None and current != after:
                return current
            with os.scandir(self.directory) as found:
                number = 1 + max((_number(item.name) for item in found), default=0)
            path = self.directory / f"gen-{max(number, 1)}"
            path.mkdir(mode=0o700)
            spread_folders_below(path)
            write_small(self._pointer, f"{path.name}\n".encode("ascii"))
            return path

    def _hold(self, path: Path) -> Generation | None:
        """Take the shared lock; return None if the generation was left meanwhile."""
        try:
            identity = self._identity(path)
            descriptor = os.open(path, _FOLDER)
        except FileNotFoundError:
            return None
        generation = Generation(path, descriptor, identity)
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                if self._current() == path and self.is_current(generation):
                    return generation
                break
            # A lock that is waited for in the kernel can't be given up after a second.
            time.sleep(LOCK_POLL_S)
        generation.close()
        return None

    def _identity(self, path: Path) -> Identity:
        pointer, folder = os.stat(self._pointer), os.stat(path)
        return (
            pointer.st_dev,
            pointer.st_ino,
            pointer.st_mtime_ns,
            folder.st_dev,
            folder.st_ino,
        )


def _make_folders(folder: Path) -> None:
    """Make what is missing of a path, for its owner only; `mkdir -p` would follow the umask."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def _mount_point_of(folder: Path) -> Path:
    """Return where the disk is mounted that the folder is on."""
    folder = Path(os.path.realpath(folder))
    while not os.path.ismount(folder):
        folder = folder.parent
    return folder


def _number(name: str) -> int:
    match = _NAME.match(name)
    return int(match[1]) if match else -1


def _remove(path: str) -> bool:
    """Remove an old generation, as far as it isn't in use; return whether it is gone."""
    with os.scandir(path) as found:
        folders = [item.path for item in found if _BLOCK_FOLDER.match(item.name)]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        # Between folders others get at the disk and at Python; nobody waits for this.
        time.sleep(_PAUSE_S)
    descriptor = os.open(path, _FOLDER)
    try:
        if not try_lock_descriptor(descriptor):
            return False
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
    return not os.path.exists(path)
