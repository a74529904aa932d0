"""Where ledgers lie: a directory of the user's own, and a file for each mount point in it.

The file is found again by the mount point alone, when the daemon and its settings are gone:
below $XDG_STATE_HOME, else ~/.local/state; where nothing can be written there, in
/var/tmp/empiarfs-errors-UID. Home directories are shared by the nodes of a cluster, so the
file's name holds the machine's.

Files are 0600 in directories that only their user can enter, since names of data sets under
embargo may stand in them; links aren't followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import pwd
import re
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from empiarfs.ledger.lines import Line, Mark, decoded

MOST_BYTES = 1024 * 1024
_SUFFIX = ".errors"
_OLD_SUFFIX = ".errors.1"
# Mount points in directories of jobs are made once and never come again.
_KEPT_S = 90 * 86_400.0
_KEPT_FILES = 2_000


@dataclass(frozen=True, slots=True)
class LedgerFiles:
    """The ledger of a mount point, wherever parts of it lie.

    Attributes:
        mount_point: Where.
        paths: Files, the older first; they needn't exist.
    """

    mount_point: str
    paths: tuple[Path, ...]

    def lines(self) -> list[Line]:
        """Return what stands in them, in order; what can't be read is left out."""
        return [line for path in self.paths for line in _lines_of(path)]

    def exist(self) -> bool:
        """Tell whether there is any."""
        return any(path.exists() for path in self.paths)


def directories(environ: Mapping[str, str], uid: int | None = None) -> tuple[Path, ...]:
    """Return where a user's ledgers may lie, the best place first."""
    uid = os.getuid() if uid is None else uid
    state = environ.get("XDG_STATE_HOME", "") if uid == os.getuid() else ""
    home = _home(environ, uid)
    bases = [Path(state)] if state.startswith("/") else []
    if not bases and home is not None:
        bases.append(home / ".local" / "state")
    return (*(base / "empiarfs" / "errors" for base in bases), _last_resort(uid))


def _last_resort(uid: int) -> Path:
    # Unlike /tmp, it is still there after the machine was started anew.
    return Path(f"/var/tmp/empiarfs-errors-{uid}")


def _home(environ: Mapping[str, str], uid: int) -> Path | None:
    home = environ.get("HOME", "") if uid == os.getuid() else ""
    # What the system mounts at its start may have none, or "/".
    if home.startswith("/") and home.strip("/"):
        return Path(home)
    try:
        return Path(pwd.getpwuid(uid).pw_dir)
    except KeyError:
        return None


def own_directory(environ: Mapping[str, str]) -> Path | None:
    """Return a directory that we can write and nobody else can enter; None if there is none."""
    for directory in directories(environ):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            continue
        if is_private(directory) and os.access(directory, os.W_OK | os.X_OK):
            return directory
    return None


def is_private(directory: Path, uid: int | None = None) -> bool:
    """Tell whether it is a real directory of the user's that nobody else can enter."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    owner = os.getuid() if uid is None else uid
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077


def file_name(mount_point: str, host: str | None = None) -> str:
    """Return the name of a mount point's ledger on this machine."""
    host = socket.gethostname() if host is None else host
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", mount_point).strip("-.")[-60:] or "root"
    named = os.fsencode(mount_point) + b"\0" + os.fsencode(host)
    return f"{readable}-{hashlib.blake2b(named, digest_size=8).hexdigest()}{_SUFFIX}"


def old_name(path: Path) -> Path:
    """Return where the file goes when it is full."""
    return path.with_name(path.name.removesuffix(_SUFFIX) + _OLD_SUFFIX)


def ledger_of(mount_point: str, environ: Mapping[str, str], uid: int | None = None) -> LedgerFiles:
    """Return the ledger of a mount point on this machine."""
    name = file_name(mount_point)
    paths: list[Path] = []
    # What was written where nothing better could be is no newer than the rest, nor older.
    for directory in directories(environ, uid):
        if is_private(directory, uid):
            paths += [old_name(directory / name), directory / name]
    return LedgerFiles(mount_point, tuple(paths))


def ledgers_of(environ: Mapping[str, str]) -> list[LedgerFiles]:
    """Return all our ledgers on this machine, in order of their mount points."""
    host = socket.gethostname()
    points = {
        line.mount_point
        for directory in directories(environ)
        if is_private(directory)
        for path in directory.glob(f"*{_SUFFIX}")
        for line in _lines_of(path)
        if isinstance(line, Mark) and line.host == host
    }
    return [ledger_of(point, environ) for point in sorted(points)]


def _lines_of(path: Path) -> Iterator[Line]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        # One call brings all of a regular file, and what a writer adds meanwhile can wait.
        raw = os.read(descriptor, 2 * MOST_BYTES)
    except OSError:
        return
    finally:
        os.close(descriptor)
    yield from decoded(raw)


def append(path: Path, data: bytes) -> None:
    """Add lines to a ledger; the file is made for us only.

    Raises:
        OSError: They could not be written. Should a part stand there all the same, the next
            lines begin on a line of their own.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            raise OSError(errno.EPERM, "it is no file of ours", str(path))
        if found.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
        if found.st_size and os.pread(descriptor, 1, found.st_size - 1) != b"\n":
            data = b"\n" + data
        if os.write(descriptor, data) != len(data):
            # Or it would be written once more, and count twice.
            os.ftruncate(descriptor, found.st_size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def size_of(path: Path) -> int:
    """Return how many bytes a ledger has; 0 if there is none."""
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def remove_old(directory: Path) -> None:
    """Remove ledgers that nobody has written to for a season, and what exceeds 2,000."""
    found: list[tuple[float, Path]] = []
    for path in directory.iterdir():
        if path.name.endswith((_SUFFIX, _OLD_SUFFIX)):
            with suppress(OSError):
                found.append((path.lstat().st_mtime, path))
    found.sort(reverse=True)
    oldest_s = time.time() - _KEPT_S
    for number, (modified_s, path) in enumerate(found):
        if modified_s < oldest_s or number >= _KEPT_FILES:
            with suppress(OSError):
                path.unlink()
