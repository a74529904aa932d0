"""The connections of this machine, counted on the client's side, as the kernel lists them.

A server sees the end of a connection later than the beginning of its successor, so what it
counts may exceed what there was.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ESTABLISHED = "01"  # in /proc/net/tcp


@contextmanager
def most_connections_to(port: int) -> Iterator[list[int]]:
    """Yield a list whose one item is the most connections to `port` seen at once so far.

    The kernel's list isn't read in one go, so that it may show a connection that is closed
    and its successor; but what stands in two lists was there between them.
    """
    peak = [0]
    ended = threading.Event()

    def watch() -> None:
        before: set[str] = set()
        while not ended.is_set():
            now = connected_sockets(port)
            peak[0] = max(peak[0], len(before & now))
            before = now

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()


def connected_sockets(port: int) -> set[str]:
    """Return the inodes of the sockets of this machine that are connected to `port`."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        remote, state, inode = fields[2], fields[3], fields[9]
        if state == _ESTABLISHED and int(remote.partition(":")[2], 16) == port:
            found.add(inode)
    return found
