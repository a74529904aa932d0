"""Contact sheets of entries: pictures that are made when somebody opens `preview.png`.

To make one takes seconds, and bytes of the archive; so nothing but an open has one made, and
as long as there is none its size isn't known. One is made at a time, by a program of which
nothing is known here; who waits for others waits for his patience. What nobody waits for any
more isn't begun; and if the last who did was ended, so is the making.

    outcome                          is remembered for
    -------------------------------  --------------------------------------------------
    a sheet                          a day, as long as 16 MB have room for it
    one with files that failed       1 minute
    a failure                        30 s

Threading: safe from any thread; `_lock` guards what is remembered. One thread makes sheets; it
is started when it is first needed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from cachetools import LRUCache

from empiarfs.cache.threads import CacheThreads
from empiarfs.errors import (
    CacheError,
    EmpiarFSError,
    GaveUpError,
    InterruptedCallError,
    without_frames,
)
from empiarfs.notes.descriptions import result_of
from empiarfs.notes.nodes import Text
from empiarfs.patience import Patience

logger = logging.getLogger(__name__)

_KEPT_S = 86_400.0
_IN_PART_S = 60.0
_FAILED_S = 30.0
_MOST_KEPT = 16 * 1024 * 1024
_LEAST_EACH = 16 * 1024
# Entries whose sheets are waited for; each waiting program takes a thread of the mount.
_MOST_WAITING = 16
_CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A sheet that was made.

    Attributes:
        data: A PNG file.
        is_whole: All files that were chosen are shown; else some couldn't be had.
    """

    data: bytes
    is_whole: bool


class SheetMaker(Protocol):
    """What makes sheets; see `empiarfs.mount.sheets.ChildSheets`."""

    def sheet(self, number: int) -> Picture:
        """Return the sheet of an entry.

        Raises:
            EmpiarFSError: There is none, or not in time.
        """
        ...

    def stop(self, number: int) -> None:
        """End the making of an entry's sheet, if it is under way; safe from any thread."""
        ...

    def close(self) -> None:
        """End what is being made; safe from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class _Outcome:
    text: Text | None
    error: EmpiarFSError | None
    until_s: float


@dataclass(slots=True)
class _Job:
    done: Future[Text] = field(default_factory=Future)
    waiting: int = 0
    is_stopped: bool = False


class _StoppedError(EmpiarFSError):
    """The making was ended for want of somebody who waits."""


class Sheets:
    """Has sheets made.

    Args:
        maker: What makes them; closed with this.
        now: Wall-clock seconds since 1970.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        maker: SheetMaker,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._maker = maker
        self._now = now
        self._clock = clock
        self._thread = CacheThreads("notes-sheets", 1)
        self._lock = threading.Lock()
        self._outcomes: LRUCache[int, _Outcome] = LRUCache(  # guarded by _lock
            _MOST_KEPT, getsizeof=_size
        )
        self._jobs: dict[int, _Job] = {}  # guarded by _lock
        self._closed = False  # guarded by _lock

    def made(self, number: int) -> Text | None:
        """Return the sheet of an entry if there is one; never waits."""
        with self._lock:
            outcome = self._outcome(number)
        return None if outcome is None else outcome.text

    def sheet(self, number: int, patience: Patience) -> Text:
        """Return the sheet of an entry, which is made if there is none.

        Raises:
            EmpiarFSError: It can't be made, or not in time.
        """
        while (text := self._waited_for(number, patience)) is None:
            # Whoever had it made was ended just when we came.
            patience.check()
        return text

    def _waited_for(self, number: int, patience: Patience) -> Text | None:
        """Return the sheet, or None if it was no longer made since nobody waited for it."""
        with self._lock:
            if self._closed:
                raise InterruptedCallError("the mount ends")
            outcome = self._outcome(number)
            if outcome is not None:
                if outcome.text is not None:
                    return outcome.text
                assert outcome.error is not None
                raise outcome.error
            job = self._jobs.get(number)
            begins = job is None
            if job is None:
                if len(self._jobs) >= _MOST_WAITING:
                    raise EmpiarFSError(f"{_MOST_WAITING} other contact sheets are waited for")
                job = self._jobs[number] = _Job()
            job.waiting += 1
        is_ended = False
        try:
            if begins:
                self._begin(number, job)
            return result_of(job.done, patience)
        except _StoppedError:
            return None
        except InterruptedCallError:
            is_ended = True
            raise
        except GaveUpError as exc:
            raise GaveUpError(
                f"the contact sheet isn't made within {patience.seconds:g} s; "
                "if it has been begun it goes on: open it again later"
            ) from exc
        finally:
            self._leave(number, job, is_ended=is_ended)

    def _leave(self, number: int, job: _Job, *, is_ended: bool) -> None:
        """Wait no longer; who was ended ends the making, if nobody else waits."""
        with self._lock:
            job.waiting -= 1
            stops = is_ended and job.waiting == 0 and self._jobs.get(number) is job
            job.is_stopped = job.is_stopped or stops
        if stops:
            self._maker.stop(number)

    def close(self) -> None:
        """End what is being made, and the thread."""
        self._maker.close()
        with self._lock:
            self._closed = True
            # What hasn't been begun never will be.
            for job in self._jobs.values():
                job.waiting = 0
        self._thread.close(_CLOSE_S)

    def _outcome(self, number: int) -> _Outcome | None:
        """Return what is remembered; the caller holds `_lock`."""
        outcome = self._outcomes.get(number)
        return outcome if outcome is not None and self._clock() < outcome.until_s else None

    def _begin(self, number: int, job: _Job) -> None:
        try:
            self._thread.submit(lambda: self._make(number, job))
        except CacheError as exc:
            self._finish(number, job, exc, _FAILED_S)

    def _make(self, number: int, job: _Job) -> None:
        """Make a sheet; in the thread."""
        with self._lock:
            is_wanted = job.waiting > 0
            if not is_wanted:
                # Under the lock: who comes from here on begins another.
                self._jobs.pop(number, None)
        if not is_wanted:
            job.done.set_exception(_StoppedError("nobody waits for it"))
            return
        began_s = self._clock()
        try:
            made = self._maker.sheet(number)
        except EmpiarFSError as exc:
            self._finish(number, job, exc, _FAILED_S)
            return
        except Exception as exc:
            logger.exception("the contact sheet of EMPIAR-%d can't be made", number)
            self._finish(number, job, EmpiarFSError(repr(exc)), _FAILED_S)
            return
        logger.info(
            "made the contact sheet of EMPIAR-%d in %.1f s", number, self._clock() - began_s
        )
        kept_s = _KEPT_S if made.is_whole else _IN_PART_S
        self._finish(number, job, Text(made.data, self._now()), kept_s)

    def _finish(
        self, number: int, job: _Job, outcome: Text | EmpiarFSError, kept_s: float
    ) -> None:
        until_s = self._clock() + kept_s
        if isinstance(outcome, Text):
            kept = _Outcome(outcome, None, until_s)
        else:
            kept = _Outcome(None, without_frames(outcome), until_s)
        with self._lock:
            self._jobs.pop(number, None)
            if kept.error is not None and job.is_stopped:
                kept = _Outcome(None, _StoppedError(str(outcome)), until_s)
            elif _size(kept) <= _MOST_KEPT:
                self._outcomes[number] = kept
        if kept.text is not None:
            job.done.set_result(kept.text)
        else:
            job.done.set_exception(kept.error)


def _size(outcome: _Outcome) -> int:
    return max(_LEAST_EACH, 0 if outcome.text is None else len(outcome.text.data))
