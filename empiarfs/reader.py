"""One open file: answers its reads, and has fetched what its readers will want next.

A `Reader` is pinned to the version that was opened. It knows nothing of FUSE: Python code
uses it as the mount does.

Threading: safe from several threads; `_lock` guards the planner's state for the few
microseconds that a plan takes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from empiarfs.core.files import RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.core.readahead import ReadAhead, ReadAheadConfig
from empiarfs.fetcher import Fetcher
from empiarfs.patience import Patience


class Reader:
    """Reads one version of one file.

    Args:
        file: The version; another one in the archive makes reads fail, never mixes.
        fetcher: Where bytes come from.
        config: How far to read ahead.

    Attributes:
        file: As given.
    """

    def __init__(
        self, file: RemoteFile, fetcher: Fetcher, config: ReadAheadConfig | None = None
    ) -> None:
        self.file = file
        self._fetcher = fetcher
        self._lock = threading.Lock()
        self._plan = ReadAhead(file.size, config)  # guarded by _lock
        self._foresaw = False

    def read(self, offset: int, size: int, patience: Patience) -> bytes:
        """Return exactly the bytes `[offset, offset + size)` that lie inside the file.

        Args:
            offset: Bytes from the start of the file; at or past the end gives no bytes.
            size: Bytes wanted.
            patience: How long to wait for the archive.

        Raises:
            EmpiarFSError: As `Fetcher.read`.
        """
        wanted = ByteRange(offset, offset + size).clamp(self.file.size)
        if not wanted:
            return b""
        with self._lock:
            foreseen = self._plan.asked(wanted)
        if foreseen:
            self._prefetch(foreseen)
        data, _ = self._fetcher.read(self.file, wanted, patience, lambda: self._starve(wanted))
        return data

    def _starve(self, wanted: ByteRange) -> None:
        with self._lock:
            self._plan.least_step = self._fetcher.worthwhile_size
            foreseen = self._plan.starved(wanted)
        self._prefetch(foreseen)

    def _prefetch(self, foreseen: Iterable[ByteRange]) -> None:
        for part in foreseen:
            self._foresaw = True
            self._fetcher.prefetch(self.file, part)

    def close(self) -> None:
        """Forget what was foreseen for this reader and isn't on its way yet."""
        if self._foresaw:
            self._fetcher.drop_foreseen(self.file)
