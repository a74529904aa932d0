"""Collects what programs were refused, and writes it down in a thread of its own.

`note` adds to a dictionary and never waits for the disk. The first refusal of its kind is
written at once; how often it came again, once a minute. What can't be written, on a full
disk or in a home directory that hangs, is kept in memory and tried again; `status --errors`
asks a living daemon for it.

Bounds: 4,096 different refusals in memory, what comes beyond is counted; a file of 1 MiB and
its predecessor on disk.

Threading: `note`, `settle` and `close` may be called from any thread. `_condition` guards
what is collected and is never held while the disk is used; the file is the thread's.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cachetools import TTLCache

from empiarfs import threads
from empiarfs.ledger import place
from empiarfs.ledger.lines import Key, Line, Mark, Refusal, encoded, to_values

logger = logging.getLogger(__name__)

_KEPT = 4096
# A daemon that is killed takes so many seconds of counts with it, and no first refusal.
_COUNTS_EVERY_S = 60.0
_AGAIN_S = 5.0
# Of 300 bytes, seldom of 4 KiB.
_LINES_AT_ONCE = 64
_CLOSE_S = 2.0
_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Settled:
    """Where the ledger stands.

    Attributes:
        path: The file; None if there is no place for one.
        unwritten: What isn't in the file.
        lost: How many refusals could not even be kept in memory.
        trouble: Why something isn't in the file, or None.
    """

    path: Path | None
    unwritten: tuple[Line, ...]
    lost: int
    trouble: str | None

    def to_values(self) -> dict[str, object]:
        """Return it as values that JSON can hold."""
        return {
            "path": None if self.path is None else str(self.path),
            "unwritten": [to_values(line) for line in self.unwritten],
            "lost": self.lost,
            "trouble": self.trouble,
        }


class Ledger:
    """The ledger of one mount; nothing is written before `begin`.

    Args:
        mount_point: Where it is mounted.
        environ: Tells where ledgers lie.
        counts_every_s: How often it is written how often something came again.
        most_bytes: How large a file may grow.
        clock: Seconds since 1970.
        append: Adds to a file, or raises OSError; may take its time.
    """

    def __init__(
        self,
        mount_point: str,
        environ: Mapping[str, str],
        *,
        counts_every_s: float = _COUNTS_EVERY_S,
        most_bytes: int = place.MOST_BYTES,
        clock: Callable[[], float] = time.time,
        append: Callable[[Path, bytes], None] = place.append,
    ) -> None:
        self._mount_point = mount_point
        self._environ = environ
        self._most_bytes = most_bytes
        self._clock = clock
        self._append = append
        self._counts_every_s = counts_every_s
        self._began_s = clock()
        self._path: Path | None = None
        self._condition = threading.Condition()
        self._marks: list[Mark] = []  # not written yet; guarded by _condition
        self._refusals: dict[Key, Refusal] = {}  # not written yet; guarded by _condition
        # What stands in the file with a count that is renewed later; guarded by _condition.
        self._written: TTLCache[Key, bool] = TTLCache(_KEPT, counts_every_s)
        self._due_s = _NEVER  # when to write, by the monotonic clock; guarded by _condition
        self._not_before_s = 0.0  # likewise, after a failure; guarded by _condition
        self._writing = False  # guarded by _condition
        self._rounds = 0  # of writing that are over; guarded by _condition
        self._lost = 0  # guarded by _condition
        self._trouble: str | None = None  # guarded by _condition
        self._thread: threading.Thread | None = None  # guarded by _condition
        self._closed = False  # guarded by _condition

    def begin(self) -> None:
        """Write down that something is mounted from now on, and start to write."""
        with self._condition:
            if self._closed or self._thread is not None:
                return
            self._marks.append(self._mark("mounted"))
            self._write_in(0.0)
            self._thread = threads.start("ledger", self._run)

    def note(self, refusal: Refusal) -> None:
        """Take a refusal down; returns at once, and never fails."""
        with self._condition:
            key = refusal.key
            before = self._refusals.get(key)
            if before is None and len(self._refusals) >= _KEPT:
                self._lost += 1
                return
            self._refusals[key] = refusal if before is None else before.and_then(refusal)
            self._write_in(self._counts_every_s if key in self._written else 0.0)

    def settle(self, timeout_s: float = 1.0) -> Settled:
        """Write all that is known, if that can be done in time; return what isn't written."""
        until_s = time.monotonic() + timeout_s
        with self._condition:
            # One that is under way began before, and may not have all.
            enough = self._rounds + (2 if self._writing else 1)
            self._not_before_s = 0.0
            while self._has_more() and self._rounds < enough and self._thread is not None:
                self._write_in(0.0)
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    break
                self._condition.wait(left_s)
            unwritten: tuple[Line, ...] = (*self._marks, *self._refusals.values())
            return Settled(self._path, unwritten, self._lost, self._trouble)

    def close(self) -> None:
        """Write down that it was unmounted, and end."""
        with self._condition:
            if self._closed:
                return
            thread, self._closed = self._thread, True
            self._marks.append(self._mark("unmounted"))
            self._not_before_s = 0.0
            self._write_in(0.0)
        if thread is not None:
            # A home directory that hangs must not keep a mount from ending.
            thread.join(_CLOSE_S)

    def _mark(self, what: Literal["mounted", "unmounted", "dropped"]) -> Mark:
        host = socket.gethostname()
        return Mark(self._clock(), what, os.getpid(), self._began_s, self._mount_point, host)

    def _has_more(self) -> bool:
        return bool(self._marks or self._refusals) or self._writing

    def _write_in(self, seconds: float) -> None:
        # The caller holds _condition.
        due_s = max(time.monotonic() + seconds, self._not_before_s)
        if due_s < self._due_s:
            self._due_s = due_s
            self._condition.notify_all()

    # -- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        directory = place.own_directory(self._environ)
        if directory is None:
            logger.warning("errors aren't kept: no directory of ours can be written")
        else:
            self._path = directory / place.file_name(self._mount_point)
            with suppress(OSError):
                place.remove_old(directory)
        while True:
            with self._condition:
                while (left_s := self._due_s - time.monotonic()) > 0:
                    self._condition.wait(None if left_s == _NEVER else left_s)
                self._due_s = _NEVER
                taken: list[Line] = [*self._marks, *self._refusals.values()]
                self._marks, self._refusals = [], {}
                self._writing = True
                is_last = self._closed
            trouble, count = self._write(taken)
            with self._condition:
                self._note_round(taken[:count], taken[count:], trouble)
            if is_last:
                return

    def _note_round(self, written: list[Line], left: list[Line], trouble: str | None) -> None:
        # The caller holds _condition.
        for line in written:
            if isinstance(line, Refusal):
                self._written[line.key] = True
        # Before what came meanwhile.
        self._marks[:0] = [line for line in left if isinstance(line, Mark)]
        before = {line.key: line for line in left if isinstance(line, Refusal)}
        for key, later in self._refusals.items():
            before[key] = before[key].and_then(later) if key in before else later
        self._refusals = before
        if trouble is not None:
            self._not_before_s = time.monotonic() + _AGAIN_S
            self._write_in(0.0)
            if self._trouble is None:
                logger.warning("errors can't be written down for now: %s", trouble)
        self._trouble = trouble
        self._writing = False
        self._rounds += 1
        self._condition.notify_all()

    def _write(self, lines: list[Line]) -> tuple[str | None, int]:
        """Write lines to the file; return what is wrong, or None, and how many are written."""
        if self._path is None:
            return "there is no place for them", 0
        count = 0
        try:
            while count < len(lines):
                few = lines[count : count + _LINES_AT_ONCE]
                data = b"".join(map(encoded, few))
                size = place.size_of(self._path)
                if size and size + len(data) > self._most_bytes:
                    data = self._begin_anew(self._path) + data
                self._append(self._path, data)
                count += len(few)
        except OSError as exc:
            return f"{self._path}: {exc.strerror or exc}", count
        return None, count

    def _begin_anew(self, path: Path) -> bytes:
        """Put the full file aside; return what the new one begins with."""
        old = place.old_name(path)
        first = [self._mark("mounted")]
        try:
            until_s = old.lstat().st_mtime
        except FileNotFoundError:
            pass
        else:
            first.insert(0, replace(self._mark("dropped"), at_s=until_s))
        os.replace(path, old)
        return b"".join(encoded(mark) for mark in first)
