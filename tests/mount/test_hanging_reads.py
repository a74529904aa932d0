"""While an archive that answers nothing keeps readers waiting, the mount serves all others.

And whoever waits can be stopped: by Ctrl-C, by `kill` and by `kill -9`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.broken_server import BrokenServer, Fault, Request
from tests.support.campaign import tally
from tests.support.mounts import Mount, mounted
from tests.support.waiting import wait_until

pytestmark = pytest.mark.fuse

CONTENT = bytes(range(256)) * 1024
SEEN = "10000/seen.mrc"
MANY = 10**6
# What is at hand; on a machine that does much else.
AT_ONCE_S = 5.0

READERS = """
import os, sys, threading
directory, count = sys.argv[1], int(sys.argv[2])
files = [os.open(f"{directory}/{number}.mrc", os.O_RDONLY) for number in range(count)]
def read(file):
    try:
        os.pread(file, 4096, 0)
    except OSError:
        pass
threads = [threading.Thread(target=read, args=(file,), daemon=True) for file in files]
for thread in threads: thread.start()
print("reading", flush=True)
for thread in threads: thread.join()
"""


def gets(prefix: str) -> Callable[[Request], bool]:
    return lambda request: (
        request.method == "GET"
        and request.path.startswith(prefix)
        and request.path.endswith(".mrc")
    )


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer() as made:
        made.put(SEEN, CONTENT)
        yield made


@contextmanager
def readers(mount: Mount, directory: str, count: int) -> Iterator[None]:
    """Have so many threads of a process wait for bytes."""
    words = [sys.executable, "-c", READERS, str(mount.path / directory), str(count)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"reading\n"
            wait_until(lambda: waiting_threads(process.pid) >= count, 60)
            yield
            assert process.poll() is None, "they didn't wait"
        finally:
            process.kill()


def waiting_threads(pid: int) -> int:
    """Return how many threads of a process wait for an answer of FUSE, or for a page."""
    count = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            state = (thread / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        count += state == b"D"
    return count


def forget_pages(mount: Mount) -> None:
    """Have the kernel forget a file's pages, so that it must ask us."""
    forget = "import os, sys; os.posix_fadvise(os.open(sys.argv[1], 0), 0, 0, 4)"
    assert mount.run(sys.executable, "-c", forget, mount.path / SEEN).returncode == 0


def took_s(call: Callable[[], object]) -> float:
    began_s = time.monotonic()
    call()
    return time.monotonic() - began_s


@pytest.mark.slow
@pytest.mark.parametrize("count", [100, 400])
def test_readers_that_hang_keep_nobody_from_what_is_known(
    server: BrokenServer, count: int, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    seen.write_bytes(CONTENT)
    for number in range(count):
        server.put(f"10001/{number}.mrc", CONTENT)
    server.fault(gets("10001/"), Fault.silence(), times=MANY)
    with mounted(server.url, options=["wait=10m"]) as mount:
        mount.warnings_expected = True
        mount.run("cat", mount.path / SEEN)
        mount.run("ls", "-l", mount.path / "10001")
        with readers(mount, "10001", count):
            times = {
                "ls": took_s(lambda: mount.run("ls", mount.path / "10001")),
                "df": took_s(lambda: mount.run("df", mount.path)),
            }
            if count <= 100:
                forget_pages(mount)
                times["cat"] = took_s(lambda: mount.run("cmp", mount.path / SEEN, seen))
                assert mount.run("cmp", mount.path / SEEN, seen).returncode == 0

    late = {name: each for name, each in times.items() if each > AT_ONCE_S}
    tally.add("calls", "beside hanging readers", len(times))
    tally.add("calls_past_deadline", "beside hanging readers", len(late))
    assert late == {}


PROGRAMS = {
    "ls": ("ls", "{directory}"),
    "stat": ("stat", "{file}"),
    "cat": ("cat", "{known}"),
    "open": (sys.executable, "-c", "open({file!r})"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whoever_waits_can_be_stopped(server: BrokenServer, number: signal.Signals) -> None:
    paths = {name: f"{10001 + index}/data/a.mrc" for index, name in enumerate(PROGRAMS)}
    for path in paths.values():
        server.put(path, CONTENT)
    with mounted(server.url, options=["wait=10m"]) as mount:
        mount.run("ls", mount.path)
        mount.run("stat", mount.path / paths["cat"])
        # What the mount asks the archive for on behalf of each program, and in vain.
        asked = {name: path.rpartition("/")[0] + "/" for name, path in paths.items()}
        asked["cat"] = paths["cat"]
        for path in asked.values():
            server.fault(path, Fault.silence(), times=MANY)
        before = len(server.requests)
        started = {name: start(mount, name, path) for name, path in paths.items()}
        try:
            wait_until(lambda: set(asked.values()) <= {r.path for r in server.requests[before:]})
            began_s = time.monotonic()
            for process in started.values():
                process.send_signal(number)
            ends = {name: process.wait(30) for name, process in started.items()}
            took = time.monotonic() - began_s
        finally:
            for process in started.values():
                process.kill()
                process.wait()

    tally.add("calls", "stopped by a signal", len(ends))
    tally.add("calls_past_deadline", "stopped by a signal", len(ends) * (took > AT_ONCE_S))
    assert took < AT_ONCE_S
    # Python says goodbye to Ctrl-C in its own way, and dies of it all the same.
    assert ends == dict.fromkeys(PROGRAMS, -number)


def start(mount: Mount, name: str, path: str) -> subprocess.Popen[bytes]:
    file = str(mount.path / path)
    words = [
        word.format(file=file, known=file, directory=os.path.dirname(file))
        for word in PROGRAMS[name]
    ]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


MAPPED = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    flags = mmap.MAP_SHARED if sys.argv[2] == "shared" else mmap.MAP_PRIVATE
    mapped = mmap.mmap(file.fileno(), 0, flags, mmap.PROT_READ)
print(mapped[0], flush=True)
print(mapped[200_000], flush=True)
"""


def test_a_page_that_can_not_be_had_is_a_sigbus(server: BrokenServer) -> None:
    server.put("10001/a.mrc", CONTENT)
    with mounted(server.url, options=["wait=2s"]) as mount:
        mount.warnings_expected = True
        file = mount.path / "10001/a.mrc"
        file.stat()
        server.fault(gets("10001/a.mrc"), Fault.answer(500), times=MANY)
        ends = []
        for kind in ("shared", "private"):
            began_s = time.monotonic()
            ends.append(mount.run(sys.executable, "-c", MAPPED, file, kind).returncode)
            assert time.monotonic() - began_s < 2 + AT_ONCE_S
        server.forget_faults()
        # What failed is refused for a while, unless something else could be read.
        mount.run("cat", mount.path / SEEN)
        healed: list[bytes] = []

        def is_whole() -> bool:
            healed.append(mount.run(sys.executable, "-c", MAPPED, file, "shared").stdout)
            return healed[-1] == b"0\n64\n"

        wait_until(is_whole, 60)

    assert ends == [-signal.SIGBUS, -signal.SIGBUS]
    # Never zeros in place of what could not be had.
    assert set(healed) <= {b"", b"0\n64\n"}
