"""A mount below a limit of the rate: slow, right, and never in the way of what is here."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.archive.rate_file import machine_file
from tests.support.broken_server import BrokenServer
from tests.support.mounts import mounted
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

LIMIT = 65_536
SEEN = "10000/data/seen.mrc"
OTHER = "10000/data/other.mrc"
# What is at hand, on a machine that does much else; and what others have used of the limit.
AT_ONCE_S = 15.0
USED_UP_S = 60.0


@pytest.fixture
def shared() -> Iterator[Path]:
    """The file that all limited mounts share; removed unless it was there before."""
    path = machine_file("empiarfs")
    was_there = path.exists()
    yield path
    path.write_bytes(struct.pack("<q", 0))
    if not was_there:
        path.unlink()


def test_what_is_here_is_exempt_and_who_waits_can_be_stopped(shared: Path) -> None:
    content = os.urandom(4 * LIMIT)
    with BrokenServer() as server:
        server.put(SEEN, content)
        server.put(OTHER, content)
        with mounted(server.url, options=[f"limit_rate={LIMIT}"]) as mount:
            began_s = time.monotonic()
            first = mount.run("cat", mount.path / SEEN)
            took_s = time.monotonic() - began_s
            os.stat(mount.path / OTHER)
            mount.remount()
            until_ns = time.monotonic_ns() + int(USED_UP_S * 1e9)
            shared.write_bytes(struct.pack("<q", until_ns))

            with mount.start("cat", OTHER) as waiting:
                wait_until(lambda: mount.status()["open_files"] >= 1, 30)
                began_s = time.monotonic()
                again = mount.run("cat", mount.path / SEEN)
                again_s = time.monotonic() - began_s
                status = mount.status()
                began_s = time.monotonic()
                waiting.send_signal(signal.SIGINT)
                waiting.wait(USED_UP_S)
                stopped_s = time.monotonic() - began_s

    # The last of four seconds' worth comes after three; a quarter of one may come at once.
    assert took_s > 2.5
    assert first.stdout == again.stdout == content
    assert again_s < AT_ONCE_S
    assert status["counters"]["network_bytes"] == 0
    assert status["limit_rate"] == LIMIT
    assert status["counters"]["stalls"] == 0
    assert stopped_s < AT_ONCE_S
    assert waiting.returncode == -signal.SIGINT
