"""An archive in memory that keeps the promises of `ArchiveClient`, and breaks on request.

The fetcher, the tree and the file system are tested on it where the point is their own
logic; the same logic meets a real HTTP server in tests/mount and tests/archive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from empiarfs.archive.client import ArchiveClient, Head
from empiarfs.core import paths, sizes
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.latency import LatencyView
from empiarfs.core.listing import Listing, ListingItem
from empiarfs.core.ranges import ByteRange
from empiarfs.core.waits import Wait
from empiarfs.errors import (
    ArchiveError,
    EmpiarFSError,
    FileChangedError,
    InterruptedCallError,
    NotFoundError,
    StalledError,
)
from empiarfs.patience import Patience

BASE_URL = "http://archive.test/world_availability/"
MODIFIED_S = 1_600_000_000
MODIFIED_TEXT = "2020-09-13 12:26"


@dataclass
class FakeArchive:
    """Serves `files`; every request is logged, and may be held up or made to fail.

    Attributes:
        files: Contents by path.
        modified_s: Last-Modified by path, where it isn't `MODIFIED_S`.
        failures: Errors to raise, one for each request to come; None lets one through.
        gate: Requests for bytes wait until it is set.
        ranges: What was asked for, in order.
        listed: Directories whose listing was asked for.
        headed: Paths asked for singly by HEAD.
        probed: Names asked for in batches.
        batches: How many names each batch had.
        unlisted: Paths that listings leave out.
        swallowed: How many of the next requests for bytes are taken and never answered.
        silence_over: Once it is set, those fail as the client's own deadline makes them.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    modified_s: dict[str, int] = field(default_factory=dict)
    failures: list[EmpiarFSError | None] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    ranges: list[tuple[str, int, int]] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    headed: list[str] = field(default_factory=list)
    probed: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    unlisted: set[str] = field(default_factory=set)
    swallowed: int = 0
    silence_over: threading.Event = field(default_factory=threading.Event)
    base_url: str = BASE_URL
    reachability: str = "online"
    connections_in_use: int = 0
    limit_rate: int | None = None
    oldest_request_s: float | None = None

    def __post_init__(self) -> None:
        self.gate.set()
        self._lock = threading.Lock()

    def as_client(self) -> ArchiveClient:
        """Return this, typed as what it stands in for."""
        return self  # type: ignore[return-value]  # the same methods, by duck typing

    def version(self, path: str) -> FileVersion:
        """Return the version of the file now."""
        return FileVersion(len(self.files[path]), self.modified_s.get(path, MODIFIED_S))

    def remote(self, path: str) -> RemoteFile:
        """Return the file in its version now."""
        return RemoteFile(self.base_url, path, self.version(path))

    def read_range(
        self,
        file: RemoteFile,
        wanted: ByteRange,
        buffers: Iterator[memoryview],
        *,
        urgent: bool,
        patience: Patience,
        cancelled: Callable[[], bool] = lambda: False,
        turned: Callable[[Wait], None] = lambda wait: None,
        became_urgent: Callable[[], bool] = lambda: False,
    ) -> None:
        """See `ArchiveClient.read_range`; an error of `failures` comes after half the pieces."""
        with self._lock:
            self.ranges.append((file.path, wanted.start, wanted.stop))
            failure = self.failures.pop(0) if self.failures else None
            swallowed = self.swallowed > 0
            self.swallowed -= swallowed
        turned(Wait.FIRST_BYTE)
        while swallowed or not self.gate.wait(0.02):
            if cancelled():
                raise InterruptedCallError("closed")
            if swallowed and self.silence_over.is_set():
                raise StalledError("silence", url=file.path)
            time.sleep(0.02 if swallowed else 0)
        if file.path not in self.files:
            raise NotFoundError("gone", url=file.path)
        if self.version(file.path) != file.version:
            raise FileChangedError("changed", url=file.path)
        content, offset = self.files[file.path], wanted.start
        for buffer in buffers:
            if failure is not None and offset + len(buffer) > wanted.start + len(wanted) // 2:
                raise failure
            buffer[:] = content[offset : offset + len(buffer)]
            offset += len(buffer)
        assert offset == wanted.stop

    def range_latency(self) -> LatencyView:
        """See `ArchiveClient.range_latency`: a fast link."""
        return LatencyView(10, 0.01, 0.02, 0.03)

    def prepare(self, connections: int) -> None:
        """See `ArchiveClient.prepare`."""

    def listing(self, path: str, *, patience: Patience) -> Listing:
        """See `ArchiveClient.listing`."""
        self.listed.append(path)
        self._fail()
        prefix = path + "/" if path else ""
        items: dict[str, ListingItem] = {}
        for name in sorted(self.files):
            if name.startswith(prefix) and name not in self.unlisted:
                child, _, deeper = name[len(prefix) :].partition("/")
                size = "" if deeper else sizes.size_text(len(self.files[name]))
                items[child] = ListingItem(child, bool(deeper), size, MODIFIED_TEXT)
        if not items:
            raise NotFoundError("404", url=self.base_url + path)
        return Listing(tuple(items.values()), 0, ())

    def head(self, path: str, *, patience: Patience) -> Head:
        """See `ArchiveClient.head`."""
        self.headed.append(path)
        self._fail()
        if path in self.files:
            return Head(self.version(path), False)
        if any(name.startswith(path + "/") for name in self.files):
            return Head(None, True)
        raise NotFoundError("404", url=self.base_url + path)

    def heads(
        self,
        directory: str,
        rows: Sequence[ListingItem],
        *,
        patience: Patience,
        answered: Callable[[str, FileVersion], None],
    ) -> dict[str, ArchiveError]:
        """See `ArchiveClient.heads`."""
        failed: dict[str, ArchiveError] = {}
        self.batches.append(len(rows))
        for row in rows:
            path = paths.join(directory, row.name)
            self.probed.append(row.name)
            try:
                self._fail()
                if path not in self.files:
                    raise NotFoundError("404", url=path)
                answered(row.name, self.version(path))
            except ArchiveError as exc:
                failed[row.name] = exc
        return failed

    def _fail(self) -> None:
        with self._lock:
            failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure

    def wait_until_reachable(self, timeout_s: float) -> None:
        """See `ArchiveClient.wait_until_reachable`."""

    def close(self) -> None:
        """See `ArchiveClient.close`."""
