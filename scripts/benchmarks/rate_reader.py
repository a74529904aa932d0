"""Programs that receive for as long as they are let, and say when they had how much.

    python -m scripts.benchmarks.rate_reader client URL PATH SIZE LIMIT
    python -m scripts.benchmarks.rate_reader file PATH

The first asks an archive for a file as the commands do, in eight threads; the second reads a
file of a mount, again and again from the start if it must. Both print a line for each piece
of work done: nanoseconds of the monotonic clock, and bytes so far.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.patience import Patience
from empiarfs.stats import Counters

_SPAN = 2**20
_PIECE = 65_536
_THREADS = 8


class _Account:
    """Counts bytes of several threads, and prints how many there are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = 0

    def add(self, count: int) -> None:
        with self._lock:
            self._total += count
            sys.stdout.write(f"{time.monotonic_ns()} {self._total}\n")
            sys.stdout.flush()


def _ask(url: str, path: str, size: str, limit: str) -> None:
    client = ArchiveClient(ClientConfig(base_url=url, limit_rate=int(limit)), Counters())
    patience = Patience(float("inf"))
    version = client.head(path, patience=patience).version
    assert version == FileVersion(int(size), version.modified_s if version else None)
    file = RemoteFile(client.base_url, path, version)
    account = _Account()

    def receive(number: int) -> None:
        start = number * _SPAN
        while True:
            wanted = ByteRange(start, min(start + _SPAN, version.size))
            buffers = _buffers(len(wanted), account)
            client.read_range(file, wanted, buffers, urgent=True, patience=patience)
            start += _THREADS * _SPAN
            if start >= version.size:
                start = number * _SPAN

    threads = [threading.Thread(target=receive, args=(n,), daemon=True) for n in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _buffers(size: int, account: _Account) -> Iterator[memoryview]:
    """Yield memory, and count what is in it once the next is asked for."""
    for start in range(0, size, _PIECE):
        count = min(_PIECE, size - start)
        yield memoryview(bytearray(count))
        account.add(count)


def _read(path: str) -> None:
    account = _Account()
    buffer = bytearray(_SPAN)
    while True:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(buffer):
                account.add(count)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "client":
        _ask(*words)
    else:
        _read(*words)
