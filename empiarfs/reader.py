"""One open file: answers its reads, and has fetched what its readers will want next.

A `Reader` is pinned to the version that was opened. It knows nothing of FUSE: Python code
uses it as the mount does.

Threading: safe from several threads; `_lock` guards the planner's state for the few
microseconds that a plan takes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from empiarfs.core.files import RemoteFile
from empiarfs.core.manners import Footprint
from empiarfs.core.ranges import ByteRange
from empiarfs.core.readahead import ReadAhead
from empiarfs.fetcher import Source
from empiarfs.patience import Patience


class Reader:
    """Reads one version of one file.

    Args:
        file: The version; another one in the archive makes reads fail, never mixes.
        fetcher: Where bytes come from.
        plan: Says what to read ahead; one of its own if None.
        footprint: Collects what is read; one of its own if None.
        limit: Returns the largest window that the reader may have now, in bytes.
        ending: Called once, when all up to the file's end is planned or was read.

    Attributes:
        file: As given.
        plan: As given; belongs to the reader until it is closed.
        footprint: As given.
        hungry_s: When it last had to wait for the archive, by the monotonic clock.
    """

    def __init__(
        self,
        file: RemoteFile,
        fetcher: Source,
        *,
        plan: ReadAhead | None = None,
        footprint: Footprint | None = None,
        limit: Callable[[], int] | None = None,
        ending: Callable[[Reader], None] | None = None,
    ) -> None:
        self.file = file
        self.plan = plan or ReadAhead(file.size)  # guarded by _lock
        self.footprint = footprint or Footprint(file.size)  # changed under _lock
        self.hungry_s = float("-inf")
        self._fetcher = fetcher
        self._limit = limit
        self._ending = ending
        self._lock = threading.Lock()
        self._foresaw = False

    @property
    def window(self) -> int:
        """How many bytes are kept planned ahead of whoever read last."""
        return self.plan.window

    def read(self, offset: int, size: int, patience: Patience, *, ahead: bool = True) -> bytes:
        """Return exactly the bytes `[offset, offset + size)` that lie inside the file.

        Args:
            offset: Bytes from the start of the file; at or past the end gives no bytes.
            size: Bytes wanted.
            patience: How long to wait for the archive.
            ahead: Foresee what comes next; else this read isn't noticed by any planner.

        Raises:
            EmpiarFSError: As `Fetcher.read`.
        """
        wanted = ByteRange(offset, offset + size).clamp(self.file.size)
        if not wanted:
            return b""
        if not ahead:
            return self._fetcher.read(self.file, wanted, patience)[0]
        with self._lock:
            foreseen = self.plan.asked(wanted)
            self.footprint.add(wanted)
        if foreseen:
            for part in foreseen:
                self._fetcher.prefetch(self.file, part)
            self._note(foreseen)
        data, _ = self._fetcher.read(self.file, wanted, patience, lambda: self._starve(wanted))
        return data

    def _starve(self, wanted: ByteRange) -> Sequence[ByteRange]:
        """Return what to fetch as well, as `wanted` has to wait."""
        self.hungry_s = time.monotonic()
        most = self._limit() if self._limit is not None else self.plan.maximum
        with self._lock:
            self.footprint.was_hungry = True
            self.plan.maximum = most
            self.plan.least_step = self._fetcher.worthwhile_size
            foreseen = self.plan.starved(wanted)
        if foreseen and not self._foresaw:
            self._fetcher.prepare(self.file.size - wanted.start)
        self._note(foreseen)
        return foreseen

    def _note(self, foreseen: Sequence[ByteRange]) -> None:
        self._foresaw = self._foresaw or bool(foreseen)
        if self._ending is not None and self.plan.is_planned_to_end:
            ending, self._ending = self._ending, None
            ending(self)

    def close(self) -> None:
        """Forget what was foreseen for this reader and isn't on its way yet."""
        if self._foresaw:
            self._fetcher.drop_foreseen(self.file)
        self._fetcher.closed(self.file)
