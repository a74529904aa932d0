"""How long reads of what is cached take by a mount's daemon and by the process itself.

    python -m scripts.benchmarks.daemon_reads

in the checkout's root. It is no scenario of `scripts/bench`: nothing of it comes from the
archive, and nobody else has anything like it.

Threading: one thread.
"""

from __future__ import annotations

import os
import random
import time

import empiarfs
from tests.support.broken_server import BrokenServer
from tests.support.mounts import mounted

_PATH = "10934/data/x.mrc"
# Less than either keeps in memory, so that disks have no part in it.
_SIZE = 48 * 1024 * 1024
_SIZES = ((4096, 3000), (100_000, 1000), (4 * 1024 * 1024, 40))
_TURNS = 3


def _measure(title: str, *, by_daemon: bool) -> None:
    empiarfs.configure(daemon=by_daemon)
    with empiarfs.open(_PATH) as file:
        file.read()
        for size, count in _SIZES:
            took_s = min(_took_s(file, size, count) for _ in range(_TURNS)) / count
            rate = size / took_s / 1e6
            print(f"{title}: {size:7d} bytes  {took_s * 1e3:6.3f} ms  {rate:6.0f} MB/s")
    empiarfs.close()


def _took_s(file: empiarfs.ArchiveFile, size: int, count: int) -> float:
    places = random.Random(1)
    began_s = time.perf_counter()
    for _ in range(count):
        file.pread(size, places.randrange(_SIZE - size))
    return time.perf_counter() - began_s


def main() -> None:
    """Measure and print."""
    with (
        BrokenServer({_PATH: random.Random(1).randbytes(_SIZE)}) as server,
        mounted(server.url) as mount,
    ):
        os.environ |= {
            "EMPIARFS_ARCHIVE_URL": server.url,
            "EMPIARFS_API_URL": server.url,
            "EMPIARFS_CACHE_DIR": str(mount.cache_dir),
            "XDG_RUNTIME_DIR": mount.environment["XDG_RUNTIME_DIR"],
        }
        for _ in range(2):
            _measure("daemon ", by_daemon=True)
            _measure("process", by_daemon=False)


if __name__ == "__main__":
    main()
