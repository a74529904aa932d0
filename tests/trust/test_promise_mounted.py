"""The promise through a real mount: the kernel, libfuse and the daemon in between.

Each kind of failure gets an entry of its own for each sort of request that it means anything
for, and happens to the first such request there. A program uses all entries at once, as
users do: it lists, asks for sizes, reads whole files, reads here and there, maps. What it saw
and how long each system call took is judged here; then it does all of it again, with nothing
failing, and once more with the server gone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.broken_server import BrokenServer, Request
from tests.support.campaign import is_whole, tally
from tests.support.fault_kinds import KINDS, Asked, FaultKind, asked
from tests.support.mounts import Mount, mounted
from tests.support.tree import contents
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.fuse, pytest.mark.slow]

WAIT_S = 120.0
# Of a machine that does much else.
SLACK_S = 20.0
SIZE = 300_000
NAMES = ("first.mrc", "second.mrc", "third.tif")

# Prints, as a line of JSON for each call: call, path, seconds, and what came of it.
VISIT = """
import concurrent.futures, errno, hashlib, json, mmap, os, sys, time
root, rounds = sys.argv[1], sys.argv[2:]
def timed(call, path, work):
    began = time.monotonic()
    try:
        came = work()
    except OSError as error:
        came = errno.errorcode[error.errno]
    print(json.dumps([call, path, time.monotonic() - began, came]), flush=True)
    return came
def digest(data):
    return hashlib.sha256(data).hexdigest()
def whole(opened):
    # What fails in the middle of a read makes that read short, and the next one fail.
    parts = []
    while data := os.read(opened, 300_000):
        parts.append(data)
    return digest(b"".join(parts))
def use(entry):
    folder = os.path.join(root, entry, "data")
    timed("readdir", entry, lambda: sorted(os.listdir(folder)))
    for name in ("first.mrc", "second.mrc", "third.tif"):
        path = os.path.join(folder, name)
        short = entry + "/" + name
        timed("stat", short, lambda: os.stat(path).st_size)
        opened = timed("open", short, lambda: os.open(path, os.O_RDONLY))
        if isinstance(opened, str):
            continue
        if name == "first.mrc":
            for offset in (250_000, 0, 100_000):
                timed(f"pread {offset}", short, lambda: digest(os.pread(opened, 4096, offset)))
        if name == "second.mrc":
            with mmap.mmap(opened, 0, access=mmap.ACCESS_READ) as mapped:
                # By a read first, since a page that can't be had would end this program.
                came = timed("read", short, lambda: whole(opened))
                if len(came) == 64:
                    timed("mmap", short, lambda: digest(mapped[:]))
        else:
            timed("read", short, lambda: whole(opened))
        os.close(opened)
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    list(pool.map(use, rounds))
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the archive, whose first request of a sort fails in one way."""

    name: str
    kind: FaultKind
    sort: Asked

    def concerns(self, request: Request) -> bool:
        """Tell whether a request is one of those that may fail."""
        return request.path.startswith(f"{self.name}/data") and asked(request) == self.sort


ENTRIES = {
    f"{10_001 + number}": Entry(f"{10_001 + number}", kind, sort)
    for number, (kind, sort) in enumerate((kind, sort) for kind in KINDS for sort in kind.on)
    if is_whole() or number % 5 == 0
}
FILES = {
    f"{entry}/data/{name}": contents(f"{entry} {name}".encode(), SIZE)
    for entry in ENTRIES
    for name in NAMES
}


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        for entry in ENTRIES.values():
            made.fault(entry.concerns, entry.kind.make(), name=entry.kind.name)
        yield made


def visited(mount: Mount) -> list[tuple[str, str, float, object]]:
    """Use all entries; what came of each call."""
    done = mount.run(sys.executable, "-c", VISIT, mount.path, *ENTRIES, timeout_s=WAIT_S + 180)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def expected(call: str, path: str) -> object:
    entry, _, name = path.partition("/")
    if call == "readdir":
        return sorted(NAMES)
    data = FILES[f"{entry}/data/{name}"]
    if call == "stat":
        return len(data)
    if call.startswith("pread"):
        start = int(call.split()[1])
        data = data[start : start + 4096]
    return hashlib.sha256(data).hexdigest()


def problems_in(
    calls: list[tuple[str, str, float, object]], *, first: bool, counted: bool = True
) -> list[str]:
    """Return what is wrong with what was seen; `first` while things fail.

    Not `counted` while what the archive said may still be believed.
    """
    wrong = []
    add = tally.add if counted else lambda *_: None
    for call, path, took_s, came in calls:
        entry = ENTRIES[path.partition("/")[0]]
        allowed = {errno.errorcode[code] for code in entry.kind.shows} if first else set()
        is_right = isinstance(came, int) if call == "open" else came == expected(call, path)
        add("calls", f"{call.split()[0]}, mounted")
        if took_s > WAIT_S + SLACK_S:
            add("calls_past_deadline", call)
            wrong.append(f"{call} {path}: took {took_s:.0f} s")
        if is_right or (isinstance(came, str) and came in allowed):
            continue
        if call == "readdir" and first and entry.kind.hides_names:
            continue
        if call in ("readdir", "stat") or came == "ENOENT":
            add("lost_names", f"{call}, mounted")
        elif isinstance(came, str) and len(came) == 64:
            add("wrong_bytes", f"{call}, mounted")
        wrong.append(f"{call} {path} ({entry.kind.name}, {entry.sort}): {came}")
    for column in ("calls_past_deadline", "lost_names", "wrong_bytes"):
        add(column, "mounted", 0)
    add("reads", "mounted", sum("read" in call or call == "mmap" for call, *_ in calls))
    return wrong


def test_whichever_request_fails_programs_see_what_is_right(server: BrokenServer) -> None:
    with mounted(server.url, options=[f"wait={WAIT_S:.0f}s"]) as mount:
        # What changed or was refused is worth a warning, and nothing else is; urllib3 has one
        # for the answer with two lengths.
        mount.expect_log(r"WARNING empiarfs\.vfs\S*: .* has changed in the archive")
        mount.expect_log(r"WARNING empiarfs\.fuse\.answers: .*(40[134]|410|has changed)")
        mount.expect_log(r"WARNING urllib3\.response: .*Content-Length and Transfer-Encoding")
        before = open_files(mount.pid)
        assert problems_in(visited(mount), first=True) == []
        met = server.faults_met
        assert len(met) >= 0.9 * len({entry.kind.name for entry in ENTRIES.values()})
        server.forget_faults()
        # What the archive answered may be believed for half a minute.
        until_s = time.monotonic() + 45
        while found := problems_in(calls := visited(mount), first=False, counted=False):
            assert time.monotonic() < until_s, "\n".join(found[:50])
        assert problems_in(calls, first=False) == []
        # Connections are kept for four seconds; open blocks for longer, and they are few.
        wait_until(lambda: not sockets_to(mount.pid, server.port), 60, 0.1)
        assert open_files(mount.pid) - before < 300
        server.stop()
        mount.remount()

        assert problems_in(visited(mount), first=False) == []
    for kind, count in met.items():
        tally.add("faults", kind, count)
    tally.add("leak_checks", "connections and files, mounted", 2)


def open_files(pid: int) -> int:
    """Return how many descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def sockets_to(pid: int, port: int) -> int:
    """Return how many connections to a port a process has."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return sum(row[9] in inodes and int(row[2].partition(":")[2], 16) == port for row in rows)
