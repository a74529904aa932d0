"""The list of this machine's mounts: one small file for each, locked while its daemon lives.

The lock says whether a mount's daemon is alive, and can't be mistaken as a process number
can. A file that nobody has locked is left over from a daemon that was killed, and whoever
comes across it removes it with its socket.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import select
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from empiarfs.control.runtime import directories_of, is_locked

# A record is a few hundred bytes; what is longer isn't one.
_MAX_RECORD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class MountRecord:
    """A mount, as its daemon describes it to others.

    Attributes:
        mount_point: Absolute path.
        archive_url: What is mounted, without credentials.
        pid: The daemon.
        since_s: When it was mounted, in seconds since 1970.
        cache_dir: Its cache directory, or "".
        log_file: Its log, or "" for stderr.
        version: The empiarfs that serves it.
    """

    mount_point: str
    archive_url: str
    pid: int
    since_s: float
    cache_dir: str
    log_file: str
    version: str


@dataclass(frozen=True, slots=True)
class Registered:
    """A record and where it was found.

    Attributes:
        record: The mount.
        file: The record's file.
    """

    record: MountRecord
    file: Path

    @property
    def socket(self) -> Path:
        """The socket on which the daemon answers."""
        return self.file.with_suffix(".sock")

    @property
    def data_socket(self) -> Path:
        """The socket on which it serves files, unless it doesn't."""
        return self.file.with_suffix(".data")


class Registration:
    """Our own record; it is there, and locked, from its making until `close`.

    Args:
        directory: Our runtime directory.
        record: The mount.
    """

    def __init__(self, directory: Path, record: MountRecord) -> None:
        name = secrets.token_hex(6)
        self.file = directory / f"{name}.json"
        unfinished = directory / f".{name}"
        self._descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(self._descriptor, _encoded(record))
            # Only now, so that nobody finds it unlocked or half written.
            unfinished.rename(self.file)
        except BaseException:
            os.close(self._descriptor)
            unfinished.unlink(missing_ok=True)
            raise

    @property
    def socket(self) -> Path:
        """Where the socket of this mount belongs."""
        return self.file.with_suffix(".sock")

    @property
    def data_socket(self) -> Path:
        """Where the socket belongs on which it serves files."""
        return self.file.with_suffix(".data")

    def close(self) -> None:
        """Remove the record; what it was is forgotten."""
        with suppress(OSError):
            self.file.unlink()
        with suppress(OSError):
            os.close(self._descriptor)


def _encoded(record: MountRecord) -> bytes:
    # Surrogates, of names that aren't UTF-8, are escaped by json and survive.
    return json.dumps(asdict(record)).encode("ascii")


def _decoded(raw: bytes) -> MountRecord | None:
    try:
        values: dict[str, Any] = json.loads(raw)
        record = MountRecord(**values)
        texts = ("mount_point", "archive_url", "cache_dir", "log_file", "version")
        if not all(isinstance(getattr(record, name), str) for name in texts):
            return None
        if type(record.pid) is not int or not _is_time(record.since_s):
            return None
    except (ValueError, TypeError, RecursionError):
        return None
    return record


def _is_time(value: object) -> bool:
    """Tell whether `status` can show it as a time: between 1970 and 9999."""
    is_number = type(value) in (int, float)
    return is_number and 0 <= value < 253_402_300_800  # type: ignore[operator]


def registered(uid: int, environ: Mapping[str, str]) -> list[Registered]:
    """Return the live mounts of a user, oldest first; what dead ones left is removed."""
    found = [
        item
        for directory in directories_of(uid, environ)
        for item in _registered_in(directory, may_remove=uid == os.getuid() or os.getuid() == 0)
    ]
    return sorted(found, key=lambda item: item.record.since_s)


def _registered_in(directory: Path, *, may_remove: bool) -> Iterator[Registered]:
    for file in sorted(directory.glob("*.json")):
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if is_locked(descriptor):
                record = _decoded(os.read(descriptor, _MAX_RECORD_BYTES))
                if record is not None:
                    yield Registered(record, file)
            elif may_remove:
                for suffix in (".json", ".sock", ".data"):
                    with suppress(OSError):
                        file.with_suffix(suffix).unlink()
        finally:
            os.close(descriptor)


def wait_for_end(pid: int, timeout_s: float) -> bool:
    """Wait until a process has ended; False if it hasn't in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))
    finally:
        os.close(descriptor)
