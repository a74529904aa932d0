"""What was found equal to the archive's files before, so that it isn't compared at each mount.

One line for each copy: a letter for how it was compared and 128 bits of hash of the archive's
file in its version, the copy's place and its identity. So a line means nothing once either has
changed, and names nobody's data. Lines are appended; one that was cut by a crash matches
nothing.

    ~/.local/state/empiarfs/compared     0600, at most 32 MiB, which is 900,000 copies

Threading: safe from any thread.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from empiarfs.core.files import RemoteFile
from empiarfs.local.opening import Identity

logger = logging.getLogger(__name__)

_MOST_BYTES = 32 * 1024 * 1024
_LINE = 34  # with its end
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
SAMPLE_COMPARED, ALL_COMPARED = b"s", b"f"


def place_of_record(environ: Mapping[str, str]) -> Path | None:
    """Return where the record is kept for this user; None without a home."""
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):
        return Path(state) / "empiarfs" / "compared"
    if home.startswith("/") and home.strip("/"):
        return Path(home) / ".local" / "state" / "empiarfs" / "compared"
    return None


class Record:
    """Which copies were compared, and how.

    Args:
        path: Of the file; None to remember in memory only.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._lines: set[bytes] = set()  # guarded by _lock
        try:
            self._read()
        except OSError as exc:
            logger.info("what was compared before isn't known: %s", exc)

    def has(self, how: bytes, file: RemoteFile, path: str, identity: Identity) -> bool:
        """Tell whether a copy was found equal; all of it is more than samples."""
        name = _name(file, path, identity)
        with self._lock:
            return ALL_COMPARED + name in self._lines or how + name in self._lines

    def add(self, how: bytes, file: RemoteFile, path: str, identity: Identity) -> bytes | None:
        """Note in memory that a copy was found equal; return what to `write`, if anything."""
        line = how + _name(file, path, identity)
        with self._lock:
            if line in self._lines:
                return None
            self._lines.add(line)
            return line + b"\n"

    def write(self, line: bytes) -> None:
        """Write down what `add` returned; where that can't be, it is known in memory only.

        May hang with the disk of the user's home.
        """
        if self._path is None:
            return
        try:
            _append(self._path, line)
        except OSError as exc:
            logger.info("that a copy was compared can't be noted: %s", exc)

    def _read(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, _FLAGS, 0o600)
        try:
            found = os.fstat(descriptor)
            is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
            if not is_ours or found.st_mode & 0o022:
                logger.warning("%s isn't believed: others may write to it", self._path)
                self._path = None
                return
            if found.st_size > _MOST_BYTES:
                os.ftruncate(descriptor, 0)
                return
            raw = os.pread(descriptor, found.st_size, 0)
        finally:
            os.close(descriptor)
        with self._lock:
            self._lines.update(line for line in raw.split(b"\n") if len(line) == _LINE - 1)


def _append(path: Path, line: bytes) -> None:
    descriptor = os.open(path, _FLAGS, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _name(file: RemoteFile, path: str, identity: Identity) -> bytes:
    # Without the device's number, which is another one after each mount of a file system.
    numbers = (identity.inode, identity.size, identity.modified_ns, identity.changed_ns)
    text = "\0".join((file.name_key, path, *map(str, numbers)))
    digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16)
    return digest.hexdigest().encode("ascii")
