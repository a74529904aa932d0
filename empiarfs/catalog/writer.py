"""The one thread of a process that writes to the catalog.

What is to be written waits in memory, by directory, and is written after half a second, so
that sizes that come in by the dozen become few transactions. What can't be written is dropped:
the catalog is a memory of what the archive said, and the archive can be asked again.

Versions are stored only beside the listing that they were learnt beside. `Writer` is told
which listing this process last read or wrote (`note_seen`), and drops versions when
another process has replaced that listing meanwhile.

Threading: callers share the pending work with the thread under `_condition`, which is
never held across a call of SQLite. Only the thread uses the recorder. It starts at the
first write, and is a daemon thread: a process that ends without `close` loses the last
half second.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from empiarfs import threads
from empiarfs.catalog.database import (
    BusyError,
    DamagedFileError,
    UnwellError,
)
from empiarfs.catalog.known import KnownDirectory, KnownRow
from empiarfs.catalog.recorder import Recorder
from empiarfs.core.files import FileVersion

logger = logging.getLogger(__name__)

_DELAY_S = 0.5
_ATTEMPTS = 5
# The longest listing that is accepted has a million rows; it must be possible to store it.
_MAX_PENDING_NAMES = 1_000_000
# A directory's generation takes some 200 bytes here.
_MAX_SEEN = 16_384


@dataclass(slots=True)
class Work:
    """What is to be written for one directory.

    Attributes:
        directory: The new listing, or None if only versions are new.
        generation: The number of the listing that the versions belong to; None if this
            process has neither read nor written it.
        versions: Versions by name, to be put over what `directory` or the file says.
        forgotten: The directory is to be removed.
    """

    directory: KnownDirectory | None = None
    generation: int | None = None
    versions: dict[str, FileVersion | None] = field(default_factory=dict)
    forgotten: bool = False

    @property
    def replaces(self) -> bool:
        """Whether what is stored of the directory goes."""
        return self.forgotten or self.directory is not None

    def over(self, known: KnownDirectory) -> KnownDirectory:
        """Return `known` with these versions put over its own."""
        if not self.versions:
            return known
        rows = [
            KnownRow(row.item, self.versions.get(row.item.name, row.version)) for row in known.rows
        ]
        return replace(known, rows=tuple(rows))

    @property
    def weight(self) -> int:
        """How many names it holds, and one for the directory."""
        return 1 + len(self.versions) + (len(self.directory.rows) if self.directory else 0)


class Writer:
    """Takes what is to be written, and writes it from its own thread.

    Args:
        recorder: What writes to the file; used by the thread only.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._condition = threading.Condition()
        self._pending: dict[str, Work] = {}  # guarded by _condition
        self._in_flight: dict[str, Work] = {}  # guarded by _condition
        self._pending_names = 0  # guarded by _condition
        self._seen: OrderedDict[str, int] = OrderedDict()  # guarded by _condition
        self._dropped = 0  # guarded by _condition
        self._urgent = False  # guarded by _condition
        self._closing = False  # guarded by _condition
        self._thread: threading.Thread | None = None  # guarded by _condition

    # -- called from any thread --------------------------------------------------------

    def put_directory(self, directory: KnownDirectory) -> None:
        """Queue a listing; it replaces what is stored of the directory, wholly."""
        generation = random.SystemRandom().getrandbits(63)
        work = Work(directory, generation)
        with self._condition:
            if self._accepts(work.weight):
                self._remove_pending(directory.path)
                self._add_pending(directory.path, work)
                self._remember(directory.path, generation)

    def put_versions(self, path: str, versions: Mapping[str, FileVersion | None]) -> None:
        """Queue versions of files of a directory; None forgets one."""
        with self._condition:
            if not versions or not self._accepts(len(versions)):
                return
            seen = self._seen.get(path)
            work = self._pending.get(path)
            if work is not None and work.forgotten:
                return
            if work is None or work.generation != seen:
                self._remove_pending(path)
                work = Work(generation=seen)
                self._add_pending(path, work)
            before = work.weight
            work.versions.update(versions)
            self._pending_names += work.weight - before

    def forget(self, path: str) -> None:
        """Queue the removal of a directory."""
        with self._condition:
            self._forget(path)

    def forget_damaged(self, path: str) -> None:
        """Queue the removal of a directory, unless it is about to be replaced anyhow."""
        with self._condition:
            waiting = (self._in_flight.get(path), self._pending.get(path))
            if not any(work is not None and work.replaces for work in waiting):
                self._forget(path)

    def note_seen(self, path: str, generation: int) -> None:
        """Remember which listing of a directory this process has read."""
        with self._condition:
            waiting = (self._pending.get(path), self._in_flight.get(path))
            if not any(work is not None and work.replaces for work in waiting):
                self._remember(path, generation)

    def waiting_for(self, path: str) -> list[Work]:
        """Return what isn't written yet for a directory, oldest first; don't change it."""
        with self._condition:
            found = (self._in_flight.get(path), self._pending.get(path))
            # The versions of pending work may grow meanwhile, so they are copied.
            return [
                replace(work, versions=dict(work.versions)) for work in found if work is not None
            ]

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything queued so far is written.

        Returns:
            False if that took longer than `timeout_s`, or something had to be dropped.
        """
        with self._condition:
            dropped = self._dropped
            self._urgent = True
            self._condition.notify_all()
            idle = self._condition.wait_for(self._is_idle, timeout_s)
            return idle and self._dropped == dropped

    @property
    def dropped(self) -> int:
        """How much of what was queued so far couldn't be written."""
        with self._condition:
            return self._dropped

    def close(self, timeout_s: float) -> None:
        """Write what is queued, for at most `timeout_s`, and end the thread."""
        self.flush(timeout_s)
        with self._condition:
            self._closing = True
            self._dropped += len(self._pending)
            self._pending.clear()
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _forget(self, path: str) -> None:
        if self._accepts(1):
            self._remove_pending(path)
            self._add_pending(path, Work(forgotten=True))
            self._seen.pop(path, None)

    def _accepts(self, names: int) -> bool:
        """Tell whether there is room for `names` more; the caller holds `_condition`."""
        fits = not self._pending_names or self._pending_names + names <= _MAX_PENDING_NAMES
        if self._closing or not fits:
            self._dropped += 1
            return False
        return True

    def _add_pending(self, path: str, work: Work) -> None:
        self._pending[path] = work
        self._pending_names += work.weight
        if self._thread is None:
            self._start()
        self._condition.notify_all()

    def _start(self) -> None:
        """Start the thread, or drop what waits for it; the caller holds `_condition`."""
        self._thread = threads.start("catalog", self._run)
        if self._thread is None:
            self._dropped += len(self._pending)
            self._pending.clear()
            self._pending_names = 0

    def _remove_pending(self, path: str) -> None:
        work = self._pending.pop(path, None)
        if work is not None:
            self._pending_names -= work.weight

    def _remember(self, path: str, generation: int) -> None:
        self._seen[path] = generation
        self._seen.move_to_end(path)
        if len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)

    def _is_idle(self) -> bool:
        return not self._pending and not self._in_flight

    # -- the thread --------------------------------------------------------------------

    def _run(self) -> None:
        self._attempt(self._recorder.collect_abandoned)
        while self._take():
            for path, work in list(self._in_flight.items()):
                written = not self._closing and self._attempt(partial(self._write, path, work))
                with self._condition:
                    self._dropped += not written
                    del self._in_flight[path]
                    self._pending_names -= work.weight
                    self._condition.notify_all()
        self._recorder.close()

    def _take(self) -> bool:
        """Move the pending work in flight, after the delay; False at the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._pending or self._closing)
            self._condition.wait_for(lambda: self._urgent or self._closing, _DELAY_S)
            self._urgent = False
            self._in_flight, self._pending = self._pending, {}
            return bool(self._in_flight)

    def _write(self, path: str, work: Work) -> None:
        if work.forgotten:
            self._recorder.forget(path)
        elif work.directory is None:
            self._recorder.record_versions(path, work.generation, work.versions)
        elif work.generation is not None:
            self._recorder.record_listing(work.over(work.directory), work.generation)

    def _attempt(self, write: Callable[[], None]) -> bool:
        """Call `write`, again where that helps; False if it can't be done. Never raises."""
        for _ in range(_ATTEMPTS):
            done = _is_done(write)
            if done is not None:
                return done
        return False


def _is_done(write: Callable[[], None]) -> bool | None:
    """Call `write`; None if another attempt may do it. Never raises."""
    try:
        write()
    except (BusyError, DamagedFileError):
        return None
    except UnwellError:
        return False
    except ValueError as exc:
        logger.warning("catalog: this can't be stored: %s", exc)
        return False
    except Exception:
        logger.exception("catalog: not written")
        return False
    return True
