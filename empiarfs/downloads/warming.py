"""Fetches files into the cache before anybody asks for them, behind all who read.

What is in the cache already costs a look into it, and no request.

Threading: `run` starts threads; `progress` may be read, `stop` be called from any.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from empiarfs.core.files import RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.downloads.crew import Crew
from empiarfs.downloads.running import Failed, Progress, Wanted
from empiarfs.errors import EmpiarFSError, InterruptedCallError
from empiarfs.fetcher import Source
from empiarfs.patience import Patience

# Of one file at a time: with ten files more than may be on its way.
_STEP = 8 * 1024 * 1024


class Warming:
    """Fetches the beginnings of files, or all of them.

    Args:
        fetcher: Fetches, and keeps what it has fetched in the cache.
        archive_url: URL of the archive's root.
        most: Bytes of each file; None for all.
        wait_s: How long 8 MiB may wait for the archive, in seconds.
        failed: Told of each file that could not be fetched; called from any thread.

    Attributes:
        progress: What is done so far; `there` counts files of which nothing was missing.
    """

    def __init__(
        self,
        fetcher: Source,
        archive_url: str,
        *,
        most: int | None,
        wait_s: float,
        failed: Failed = lambda path, error: None,
    ) -> None:
        self._fetcher = fetcher
        self._archive_url = archive_url
        self._most = most
        self._wait_s = wait_s
        self._failed = failed
        self._lock = threading.Lock()
        self._crew = Crew("warm", self._warm)
        self.progress = Progress()

    def size_of(self, wanted: Wanted) -> int:
        """Return how many bytes of a file are to be in the cache."""
        size = wanted.version.size
        return size if self._most is None else min(self._most, size)

    def stop(self) -> None:
        """Let `run` end soon."""
        self._crew.stop()

    def run(self, wanted: Iterable[Wanted], told: Callable[[Progress], None]) -> Progress:
        """Fetch what is missing of the files; see `Crew.run`."""
        self._crew.run(wanted, lambda: told(self.progress))
        return self.progress

    def _file(self, wanted: Wanted) -> RemoteFile:
        return RemoteFile(self._archive_url, wanted.path, wanted.version)

    def _warm(self, wanted: Wanted) -> None:
        file, stop, fetched = self._file(wanted), self.size_of(wanted), 0
        try:
            for start in range(0, stop, _STEP):
                part = ByteRange(start, min(start + _STEP, stop))
                patience = Patience(self._wait_s, self._crew.stopped.is_set)
                came = self._fetcher.warm(file, part, patience)
                fetched += came
                self._count(size=came, there_size=len(part) - min(came, len(part)))
        except InterruptedCallError:
            return
        except EmpiarFSError as exc:
            self._count(failed=1)
            self._failed(wanted.path, exc)
            return
        self._count(files=int(fetched > 0), there=int(not fetched))

    def _count(self, **numbers: int) -> None:
        with self._lock:
            self.progress.add(**numbers)
