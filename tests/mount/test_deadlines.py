"""No look-up and no read outlives its deadline, whatever the server does.

The time is that of the whole system call, measured in the program that makes it. Look-ups
wait at most `LOOKUP_S` here and reads `READ_S`; the default of 90 s and 15 minutes is only
another number. Every way to be slow or wrong gets a directory of its own and all are asked
at once, so that the archive as a whole stays in reach and each deadline is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.broken_server import BrokenServer, Fault, Request
from tests.support.campaign import tally
from tests.support.mounts import Mount, mounted

pytestmark = pytest.mark.fuse

LOOKUP_S, READ_S = 4.0, 6.0
# Of a machine that does much else; a second deadline after the first would be seen.
SLACK_S = 3.0
CONTENT = bytes(range(256)) * 1024
MANY = 10**6

FAULTS = {
    "silence": Fault.silence(),
    "silence_in_body": Fault.silence_in_body(100),
    "late": Fault.delay(LOOKUP_S - 1),
    "trickle": Fault.trickle(50),
    "trickle_headers": Fault.trickle_headers(5),
    "busy_for_an_hour": Fault.busy(503, "3600"),
    "too_many": Fault.busy(429),
    "error": Fault.answer(500),
    "reset": Fault.reset(),
    "reset_in_body": Fault.reset("body", 100),
    "closed": Fault.close(),
    "garbage": Fault.garbage(),
    "html": Fault.html_page(),
    "html_of_a_proxy": Fault.html_page(502),
    "loop": Fault.redirect("./"),
}

# Prints for each word of the command line how long the call took and what it came to.
TIMED = """
import errno, json, os, sys, threading, time
call, *paths = sys.argv[1:]
def read(path):
    descriptor = os.open(path, os.O_RDONLY)
    assert len(os.pread(descriptor, 300_000, 0)) == 262144
def look_up(path):
    os.stat(path)
def list_(path):
    os.listdir(path)
def timed(path):
    began = time.monotonic()
    name = ""
    try:
        {"read": read, "stat": look_up, "list": list_}[call](path)
    except OSError as error:
        name = errno.errorcode[error.errno]
    print(json.dumps([path, time.monotonic() - began, name]), flush=True)
threads = [threading.Thread(target=timed, args=(path,)) for path in paths]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def timed(mount: Mount, call: str, *paths: str) -> dict[str, tuple[float, str]]:
    """Call something on all paths at once; how long each took, and its errno if it failed."""
    whole = [str(mount.path / path) for path in paths]
    done = mount.run(sys.executable, "-c", TIMED, call, *whole, timeout_s=120)
    assert done.stderr == b"", done.stderr.decode()
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {path.removeprefix(f"{mount.path}/"): (took, name) for path, took, name in lines}
    assert set(found) == set(paths)
    return found


def check(call: str, found: dict[str, tuple[float, str]], deadline_s: float) -> None:
    late = {path: took for path, (took, _) in found.items() if took > deadline_s + SLACK_S}
    tally.add("calls", call, len(found))
    tally.add("calls_past_deadline", call, len(late))
    assert late == {}


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer() as made:
        yield made


@contextmanager
def limited(server: BrokenServer, *options: str) -> Iterator[Mount]:
    with mounted(
        server.url, options=[f"wait={READ_S}s", f"lookup_wait={LOOKUP_S}s", *options]
    ) as mount:
        mount.warnings_expected = True
        yield mount


def below(path: str, method: str = "") -> Any:
    def applies(request: Request) -> bool:
        return request.path.startswith(path) and request.method.startswith(method)

    return applies


def test_a_look_up_ends_whatever_the_server_does(server: BrokenServer) -> None:
    paths = []
    for number, fault in enumerate(FAULTS.values()):
        paths.append(f"{10001 + number}/data/deep/er/a.mrc")
        server.put(paths[-1], CONTENT)
        server.fault(below(f"{10001 + number}/"), fault, times=MANY)
    with limited(server) as mount:
        stats = timed(mount, "stat", *paths)
        lists = timed(mount, "list", *(path.rpartition("/")[0] for path in paths))

    check("stat", stats, LOOKUP_S)
    check("list", lists, LOOKUP_S)
    # An error of the server never becomes "no such file"; a right answer may come in time.
    names = {name for _, name in (*stats.values(), *lists.values())}
    assert names in ({"EIO"}, {"EIO", ""})


# What makes the whole machine ask more slowly, other files' readers too.
SLOWING = {"busy_for_an_hour", "too_many"}
FLOWING = """
import sys, time
for number in range(400):
    with open(f"{sys.argv[1]}/{number}.mrc", "rb") as file:
        assert len(file.read()) == 262144
    time.sleep(0.2)
"""


@pytest.mark.parametrize("names", [set(FAULTS) - SLOWING - {"late"}, SLOWING], ids=["ill", "busy"])
def test_a_read_ends_whatever_the_server_does(server: BrokenServer, names: set[str]) -> None:
    paths = [f"{10001 + number}/a.mrc" for number in range(len(names))]
    for path, name in zip(paths, sorted(names), strict=True):
        server.put(path, CONTENT)
        server.fault(below(path, "GET"), FAULTS[name], times=MANY)
    for number in range(400):
        server.put(f"10000/{number}.mrc", CONTENT)
    with limited(server) as mount:
        assert {name for _, name in timed(mount, "stat", *paths).values()} == {""}
        # Somebody else's reads go well all the time: what failed must stay refused all the
        # same when the kernel repeats it.
        words = [sys.executable, "-c", FLOWING, str(mount.path / "10000")]
        with subprocess.Popen(words if names != SLOWING else ["sleep", "600"]) as others:
            try:
                found = timed(mount, "read", *paths)
                assert others.poll() is None
            finally:
                others.kill()

    check("read", found, READ_S)
    assert {name for _, name in found.values()} == {"EIO"}
