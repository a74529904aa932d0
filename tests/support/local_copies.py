"""Local copies of a fake archive's files, in front of a fetcher; and files at rest.

`Rig` is told the time, so that what a test has just written counts as being at rest.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from empiarfs.cache.store import MemoryBlockStore
from empiarfs.core.ranges import ByteRange
from empiarfs.fetcher import Fetcher
from empiarfs.local import LocalConfig, LocalFirst
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.support.fake_archive import FakeArchive
from tests.support.waiting import wait_until

LATER_NS = 5 * 10**9
_LONG_AGO_S = 1_600_000_000
_REST_NS = 1_100_000_000


def put(path: Path, data: bytes, modified_s: float = _LONG_AGO_S) -> Path:
    """Write a file as programs leave one that they have copied: with its old time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (modified_s, modified_s))
    return path


def wait_for_rest(folder: Path) -> None:
    """Wait until nothing below a folder was written during the last second."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    newest_ns = max((path.lstat().st_ctime_ns for path in files), default=0)
    wait_until(lambda: time.time_ns() - newest_ns > _REST_NS)


class Rig:
    """A fetcher on an archive in memory, with local copies in front of it.

    Attributes:
        is_reachable: What it is told of the archive.
        ahead_ns: How much later its clock is than the real one.
    """

    def __init__(
        self,
        files: dict[str, bytes],
        *directories: Path,
        verify: str = "none",
        record: Path | None = None,
    ) -> None:
        self.archive = FakeArchive(dict(files))
        self.counters = Counters()
        self.is_reachable = True
        self.ahead_ns = LATER_NS
        self.store = MemoryBlockStore(256 * 1024 * 1024)
        self.fetcher = Fetcher(self.archive.as_client(), self.store, self.counters)
        self.local = LocalFirst(
            self.fetcher,
            self.counters,
            LocalConfig(directories, verify, record),
            self.archive.base_url,
            lambda: self.is_reachable,
            now_ns=lambda: time.time_ns() + self.ahead_ns,
            clock=lambda: time.monotonic() + self.ahead_ns / 1e9,
        )

    def read(self, path: str, start: int = 0, stop: int | None = None) -> bytes:
        """Read a part of a file, or all of it."""
        file = self.archive.remote(path)
        wanted = ByteRange(start, file.size if stop is None else stop)
        return self.local.read(file, wanted, Patience(30.0))[0]

    @property
    def requests(self) -> list[tuple[str, int, int]]:
        """What the archive was asked for."""
        return self.archive.ranges

    def refused(self) -> dict[str, str]:
        """Return the reasons why copies weren't read, by path, of all directories."""
        status = self.local.status()["directories"]
        assert isinstance(status, list)
        return {name["path"]: name["reason"] for each in status for name in each["names"]}

    def close(self) -> None:
        """End it."""
        self.archive.gate.set()
        self.local.close()
        self.fetcher.close()
        self.store.close()
