"""The list of this machine's jobs: commands that work for long, with how far each is.

A job is a small file in the runtime directory, mode 0600, replaced as a whole once a second
and locked as long as its process lives; the name at its place is never that of a file without
a lock. So one that nobody has locked is left over from a process that was killed, and whoever
comes across it removes it.

What can't be written is left: a command that nobody can see works all the same.

Threading: a `Job` belongs to the thread that tells how far it is.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from empiarfs.control.runtime import (
    directories_of,
    is_locked,
    own_directory,
    users_with_directories,
)
from empiarfs.errors import EmpiarFSError

logger = logging.getLogger(__name__)

# What is over sooner is no job.
_FROM_S = 1.0
_EVERY_S = 1.0
_RATE_OVER_S = 30.0
_MOST_TEXT = 300
_MAX_BYTES = 16 * 1024
_MOST_FILES = 1000
_MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class JobRecord:
    """How far a job is.

    Attributes:
        command: What it is called, as "get".
        what: Its targets.
        doing: What it does at present, as "copying".
        pid: Its process.
        since_s: When it began with that, in seconds since 1970.
        told_s: When it told this.
        files: Files that are done,
        files_total: of how many; None if that isn't known.
        size: Bytes that are done,
        size_total: of how many; None if that isn't known.
        bytes_per_s: How many came lately; None if that isn't known.
        left_s: How long it takes at that speed; None likewise.
    """

    command: str
    what: str
    doing: str
    pid: int
    since_s: float
    told_s: float
    files: int
    files_total: int | None
    size: int
    size_total: int | None
    bytes_per_s: float | None
    left_s: float | None

    def to_json(self) -> dict[str, object]:
        """Return it as `status --json` prints it."""
        values = asdict(self)
        values["bytes"], values["bytes_total"] = values.pop("size"), values.pop("size_total")
        return values


class Job:
    """Our own job; its file is there from its first second on until `close`.

    Args:
        command: What it is called.
        what: Its targets.
        doing: What it does.
        environ: Tells where the runtime directory is.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        command: str,
        what: str,
        doing: str,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._what = what if len(what) <= _MOST_TEXT else f"{what[:_MOST_TEXT]}…"
        self._doing = doing
        self._environ = environ
        self._clock = clock
        self._since_s = time.time()
        self._next_s = clock() + _FROM_S
        self._moments = deque([(clock(), 0)])
        self._file: Path | None = None
        self._descriptor: int | None = None
        self._failed = False

    def tell(
        self,
        files: int,
        files_total: int | None,
        size: int,
        size_total: int | None,
        came: int,
        left_s: float | None = None,
    ) -> None:
        """Say how far it is; costs a look at the clock but once a second.

        Args:
            files: Files that are done.
            files_total: Of how many.
            size: Bytes that are done.
            size_total: Of how many.
            came: Of these, how many have come since it began.
            left_s: How long it takes, if bytes don't tell that.
        """
        now_s = self._clock()
        if now_s < self._next_s or self._failed:
            return
        self._next_s = now_s + _EVERY_S
        while len(self._moments) > 1 and now_s - self._moments[0][0] > _RATE_OVER_S:
            self._moments.popleft()
        began_s, before = self._moments[0]
        self._moments.append((now_s, came))
        rate = (came - before) / (now_s - began_s) if now_s > began_s else 0.0
        if left_s is None and size_total is not None and rate > 0:
            left_s = max(0, size_total - size) / rate
        self._write(
            JobRecord(
                command=self._command,
                what=self._what,
                doing=self._doing,
                pid=os.getpid(),
                since_s=self._since_s,
                told_s=time.time(),
                files=files,
                files_total=files_total,
                size=size,
                size_total=size_total,
                bytes_per_s=rate if rate > 0 else None,
                left_s=left_s,
            )
        )

    def _write(self, record: JobRecord) -> None:
        try:
            if self._file is None:
                directory = own_directory(self._environ)
                self._file = directory / f"{secrets.token_hex(6)}.job"
            self._replace(self._file, json.dumps(asdict(record)).encode("ascii"))
        except (EmpiarFSError, OSError) as exc:
            self._failed = True
            logger.debug("`empiarfs status` won't show this command: %s", exc)
            self.close()

    def _replace(self, file: Path, data: bytes) -> None:
        unfinished = file.with_name(f".{file.name}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, data)
            # Only now, so that nobody finds it unlocked or half written.
            unfinished.rename(file)
        except BaseException:
            os.close(descriptor)
            unfinished.unlink(missing_ok=True)
            raise
        before, self._descriptor = self._descriptor, descriptor
        if before is not None:
            os.close(before)

    def close(self) -> None:
        """Remove the file."""
        file, self._file = self._file, None
        descriptor, self._descriptor = self._descriptor, None
        if file is not None:
            with suppress(OSError):
                file.unlink()
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def jobs(environ: Mapping[str, str]) -> list[JobRecord]:
    """Return the jobs of this user, of all users for root, the oldest first.

    What processes left that were killed is removed.
    """
    uid = os.getuid()
    users = users_with_directories() if uid == 0 else {uid}
    found = [
        record
        for user in sorted(users)
        for directory in directories_of(user, environ)
        for record in _jobs_in(directory)
    ]
    unique = {(each.pid, each.since_s): each for each in found}
    return sorted(unique.values(), key=lambda each: each.since_s)[:_MAX_SHOWN]


def _jobs_in(directory: Path) -> Iterator[JobRecord]:
    # Root looks into directories of others, who may put anything there.
    for file in sorted(islice(directory.glob("*.job"), _MOST_FILES)):
        # It may be replaced while it is looked at.
        for _ in range(3):
            try:
                descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                break
            try:
                if is_locked(descriptor):
                    record = _decoded(os.read(descriptor, _MAX_BYTES))
                    if record is not None:
                        yield record
                    break
                if _is_at(descriptor, file):
                    with suppress(OSError):
                        file.unlink()
                    break
            finally:
                os.close(descriptor)


def _is_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.lstat())
    except OSError:
        return False


def _decoded(raw: bytes) -> JobRecord | None:
    """Return what a file says; None if it isn't what we write."""
    try:
        values: dict[str, Any] = json.loads(raw)
        record = JobRecord(**values)
    except (ValueError, TypeError, RecursionError):
        return None
    for field in fields(record):
        value = getattr(record, field.name)
        kinds = _KINDS[str(field.type)]
        # A bool is an int for Python.
        if type(value) not in kinds or (type(value) in (int, float) and not _is_sane(value)):
            return None
    return record


def _is_sane(value: float) -> bool:
    return 0 <= value < 2**63


_NONE = type(None)
_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "int | None": (int, _NONE),
    "float | None": (float, int, _NONE),
}
