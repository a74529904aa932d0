"""Reads ranges through an `ArchiveClient`, as the fetcher does, for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from empiarfs.archive.client import ArchiveClient
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.patience import Patience
from tests.support.broken_server import DEFAULT_MODIFIED_S


def remote_file(client: ArchiveClient, path: str, size: int) -> RemoteFile:
    """Return the version that a `BrokenServer` serves by default."""
    return RemoteFile(client.base_url, path, FileVersion(size, DEFAULT_MODIFIED_S))


class Reading:
    """One range, and which of its pieces were received whole."""

    def __init__(self, wanted: ByteRange, piece: int) -> None:
        self.data = bytearray(len(wanted))
        self.whole = 0
        self._piece = piece

    def buffers(self) -> Iterator[memoryview]:
        """Yield the pieces in order; coming back means that the last one is whole."""
        view = memoryview(self.data)
        for start in range(0, len(view), self._piece):
            yield view[start : start + self._piece]
            self.whole += 1


def read(
    client: ArchiveClient,
    file: RemoteFile,
    start: int = 0,
    stop: int | None = None,
    *,
    piece: int = 1000,
    urgent: bool = True,
    seconds: float = 20.0,
    cancelled: Callable[[], bool] = lambda: False,
    reading: Reading | None = None,
) -> bytes:
    """Return a range of a file, read in pieces."""
    wanted = ByteRange(start, file.size if stop is None else stop)
    reading = reading or Reading(wanted, piece)
    client.read_range(
        file,
        wanted,
        reading.buffers(),
        urgent=urgent,
        patience=Patience(seconds),
        cancelled=cancelled,
    )
    return bytes(reading.data)
