"""Which programs read through a directory for a day, for the log and for `status`.

`empiarfs.core.long_reads` says what is taken for that. A file that is closed costs a look
into two dictionaries here; sizes are added up when the question comes, and now and then for
the log.

Threading: safe from any thread; sizes are added up without the lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from empiarfs.core import paths
from empiarfs.core.batches import GLOBUS_ID, GLOBUS_NAME, GLOBUS_ROOT
from empiarfs.core.long_reads import Bounds, Left, Streak, left_of
from empiarfs.core.long_reads import LongReads as Streaks
from empiarfs.core.sizes import bounds_of
from empiarfs.fuse.callers import is_gone

if TYPE_CHECKING:
    from empiarfs.fuse.readers import Closed
    from empiarfs.tree import Directory

logger = logging.getLogger(__name__)


class LongReads:
    """Takes down which process reads which files whole.

    Args:
        directory: Returns what is known of a directory of the archive, without asking.
        full: Returns the path below the archive's root of one in the mount.
    """

    def __init__(
        self, directory: Callable[[str], Directory | None], full: Callable[[str], str]
    ) -> None:
        self._directory = directory
        self._full = full
        self._lock = threading.Lock()
        self._streaks = Streaks()  # guarded by _lock
        self._programs: dict[int, str] = {}  # of processes; guarded by _lock

    def closed(self, file: Closed) -> None:
        """Note that a process has closed a file."""
        path, name = paths.split(self._full(file.path))
        directory = self._directory(path)
        row = None if directory is None else directory.rows.get(name)
        if directory is None or row is None:
            return
        with self._lock:
            streak = self._streaks.read(
                file.process, path, row, file.size, file.read, file.opened_s, file.closed_s
            )
            if streak is None:
                return
            self._programs = {
                each.process: self._programs.get(each.process, "")
                for each in self._streaks.streaks(file.closed_s)
            }
            self._programs[file.process] = file.program
            left = None if streak.was_told else left_of(streak, _sizes(directory))
            if left is None or not left.is_long:
                return
            streak.was_told = True
        logger.info(
            "long read: %s (process %d) reads through %r; %.1f TB are left there, %.0f hours",
            file.program or "a program",
            file.process,
            path,
            left.low / 1e12,
            left.seconds / 3600,
        )

    def as_json(self) -> list[dict[str, object]]:
        """Return those that take long from now on, as values that JSON can hold."""
        with self._lock:
            found = [
                (each, self._programs.get(each.process, ""))
                for each in self._streaks.streaks(time.time())
            ]
        values = []
        for streak, program in found:
            directory = self._directory(streak.directory)
            if directory is None or is_gone(streak.process):
                continue
            left = left_of(streak, _sizes(directory))
            if left is not None and left.is_long:
                values.append(_values(streak, program, left))
        return values


def _values(streak: Streak, program: str, left: Left) -> dict[str, object]:
    return {
        "pid": streak.process,
        "program": program,
        "path": streak.directory,
        "entry": streak.directory.partition("/")[0],
        "began_s": streak.began_s,
        "last_s": streak.last_s,
        "files": streak.files,
        "read_bytes": streak.size,
        "bytes_per_s": round(streak.bytes_per_s, 1),
        "left_files": left.files,
        "left_bytes": left.low,
        "left_bytes_at_most": left.high,
        "left_s": round(left.seconds, 1),
        "globus": {
            "collection": GLOBUS_NAME,
            "id": GLOBUS_ID,
            "path": f"{GLOBUS_ROOT}{streak.directory}/",
        },
    }


def _sizes(directory: Directory) -> list[Bounds]:
    """Return between which sizes each file's lies: exact where it is known."""
    found: list[Bounds] = []
    # Few texts differ, and each takes 3 µs: 54 ms for 20,000 files.
    bounds: dict[str, Bounds] = {}
    for item, version in zip(directory.items, directory.versions, strict=True):
        if version is not None:
            found.append((version.size, version.size))
        elif item.is_directory:
            found.append(None)
        else:
            if item.size_text not in bounds:
                bounds[item.size_text] = bounds_of(item.size_text)
            found.append(bounds[item.size_text])
    return found
