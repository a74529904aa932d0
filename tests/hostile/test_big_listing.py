"""A listing of a million rows (fewer outside of a campaign): bounded, and in nobody's way."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

from tests.support.broken_server import BrokenServer
from tests.support.campaign import is_whole, tally
from tests.support.listing_cases import page_of
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.campaign, pytest.mark.slow]

ROWS = 1_000_000 if is_whole() else 60_000
_ROW = (
    b'<tr><td valign="top"><img src="/icons/unknown.gif" alt="[   ]"></td>'
    b'<td><a href="movie_%07d.mrc">movie_%07d.mrc</a></td>'
    b'<td align="right">2020-09-04 03:12  </td><td align="right">543M</td></tr>\n'
)
# Measured: 0.7 KB a row and 40 MB for a mount that knows nothing; a page has 0.2 KB a row.
_MOST_MEMORY = 150_000_000 + 1_000 * ROWS
# Measured: 0.11 s at the most, beside a million rows on two cores. Minutes if it had to wait
# for them; seconds if the parser kept the interpreter to itself.
_LONGEST_LOOK_S = 10.0


def big_page() -> bytes:
    heading = b'<tr><th><a href="?C=N;O=D">Name</a></th></tr>'
    rows = b"".join(_ROW % (number, number) for number in range(ROWS))
    return page_of(b"<table>" + heading + rows + b"</table>", b"Index of /archive/10002/data")


def peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


class Looker:
    """Looks at a small directory again and again, and notes how long each look took."""

    def __init__(self, mount: Mount) -> None:
        self._mount = mount
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.looks_s: list[float] = []
        self.wrong: list[bytes] = []

    def __enter__(self) -> Looker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            began_s = time.monotonic()
            done = self._mount.run("ls", "-l", self._mount.path / "10003")
            self.looks_s.append(time.monotonic() - began_s)
            if b"small.mrc" not in done.stdout or done.stderr:
                self.wrong.append(done.stdout + done.stderr)


def test_a_million_rows_are_listed_whole_and_keep_nobody_from_looking_elsewhere() -> None:
    with BrokenServer() as server:
        server.put("10003/small.mrc", b"x")
        server.put("10002/data/movie_0000000.mrc", b"x")
        server.listings["10002/data/"] = big_page()
        with mounted(server.url) as mount:
            mount.run("ls", "-l", mount.path / "10003")
            with Looker(mount) as looker:
                names = mount.run("ls", "-U", mount.path / "10002/data", timeout_s=600)
                looks = len(looker.looks_s)
            memory = peak_memory(mount.pid)
            tally.add("names", "a listing of a million rows", ROWS)
            tally.add(
                "lost_names", "a listing of a million rows", ROWS - names.stdout.count(b"\n")
            )

            assert names.stdout.split() == [b"movie_%07d.mrc" % number for number in range(ROWS)]
            assert looker.wrong == []
            assert looks >= 3
            assert max(looker.looks_s) < _LONGEST_LOOK_S
            assert memory < _MOST_MEMORY
