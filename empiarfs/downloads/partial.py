"""A file that isn't whole yet: written from its start on, resumed where that ended.

    10934/data/.x.mrc.empiarfs-1f3a5c7e      the bytes so far, locked while somebody adds to them
    10934/data/.x.mrc.empiarfs-1f3a5c7e-ok   how many of them are surely on the disk

The number stands for the version of the file: what was begun of another one is never added
to. After a crash of the machine the file may be longer than what reached the disk, with
zeros at its end; so the bytes that were forced to the disk are noted, with the boot in which
that was, and whoever resumes after another boot believes no more than those.

Threading: none.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from empiarfs.errors import DownloadError

# What a crash of the machine may cost.
_SYNC_EVERY = 256 * 1024 * 1024
_STEP = 4 * 1024 * 1024
# Smaller files are begun anew, rather than that each costs a second file.
_WORTH_A_NOTE = 1024 * 1024
_MARK = ".empiarfs-"
_NOTE = "-ok"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAME_MAX = 255


def is_partial(name: str) -> bool:
    """Tell whether a file of that name is one that isn't whole, or a note about one."""
    return name.startswith(".") and _MARK in name


class PartialFile:
    """The beginning of a file, for the time of a `with` block.

    Args:
        path: Where the whole file goes; its directory exists.
        version: What the archive holds, as a short text that differs for other versions.
        size: Bytes of the whole file.

    Attributes:
        done: Bytes that are there.

    Raises:
        DownloadError: Another process is writing it.
        OSError: It can't be written.
    """

    def __init__(self, path: Path, version: str, size: int) -> None:
        number = hashlib.sha256(version.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        # A name may be as long as names can be; a few of its first bytes will do.
        suffix = f"{_MARK}{number}"
        name = _shortened(path.name, _NAME_MAX - len(f".{suffix}{_NOTE}+"))
        self._whole = path
        self._path = path.with_name(f".{name}{suffix}")
        self._note = self._path.with_name(self._path.name + _NOTE)
        self._size = size
        self._digest = hashlib.sha256()
        self._descriptor = os.open(self._path, _FLAGS, 0o666)
        try:
            self._lock()
            self.done = self._trusted()
            os.ftruncate(self._descriptor, self.done)
            self._rehash()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._synced = self.done
        if size >= _WORTH_A_NOTE and self.done < size:
            self._take_note()

    def __enter__(self) -> PartialFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def add(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            OSError: They can't be written.
        """
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self.done)
            self._digest.update(view[:written])
            self.done += written
            view = view[written:]
        if self.done - self._synced >= _SYNC_EVERY:
            self._sync()

    def finish(self, modified_s: int | None) -> str:
        """Give the file its name and time, now that it is whole; return its SHA-256.

        Raises:
            OSError: It can't be done; the partial file stays.
        """
        if self.done != self._size:
            raise AssertionError(f"{self.done} bytes of {self._size}")
        if modified_s is not None:
            os.utime(self._descriptor, (modified_s, modified_s))
        os.fsync(self._descriptor)
        self._path.replace(self._whole)
        with contextlib.suppress(OSError):
            self._note.unlink(missing_ok=True)
        return self._digest.hexdigest()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError(f"another process is writing {self._path}") from None
        except OSError as exc:
            if exc.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
                raise  # network file systems without locks are written all the same

    def _trusted(self) -> int:
        """Return how many bytes of what is there are to be believed."""
        there = os.fstat(self._descriptor).st_size
        try:
            note = json.loads(self._note.read_bytes())
            synced = int(note["synced"]) if note["boot"] != _boot() else there
        except (OSError, ValueError, KeyError, TypeError):
            synced = 0
        return max(0, min(there, synced, self._size))

    def _rehash(self) -> None:
        for offset in range(0, self.done, _STEP):
            self._digest.update(os.pread(self._descriptor, min(_STEP, self.done - offset), offset))

    def _sync(self) -> None:
        os.fdatasync(self._descriptor)
        self._synced = self.done
        self._take_note()

    def _take_note(self) -> None:
        text = json.dumps({"boot": _boot(), "synced": self._synced})
        fresh = self._note.with_name(self._note.name + "+")
        fresh.write_text(text, encoding="ascii")
        fresh.replace(self._note)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a local file in hexadecimal.

    Raises:
        OSError: It can't be read.
    """
    digest = hashlib.sha256()
    for data in _parts(path):
        digest.update(data)
    return digest.hexdigest()


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(_STEP):
            yield data


def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _shortened(name: str, most: int) -> str:
    """Return a name of at most so many bytes, which differs for different names."""
    raw = os.fsencode(name)
    if len(raw) <= most:
        return name
    mark = hashlib.sha256(raw).hexdigest()[:8]
    return f"{os.fsdecode(raw[: most - len(mark) - 1])}-{mark}"
