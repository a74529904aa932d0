"""Which programs read most: counted for who opened the file, and bounded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.broken_server import BrokenServer
from tests.support.mounts import mounted
from tests.support.waiting import wait_until

try:
    from empiarfs.fuse.readers import Readers
except OSError as exc:  # libfuse is loaded with the package
    pytest.skip(f"no libfuse: {exc}", allow_module_level=True)

DATA = os.urandom(2_000_000)


class Programs:
    """Names of threads, and how often they were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.now_s = 100.0

    def name(self, pid: int) -> tuple[int, str]:
        self.asked += 1
        return pid // 10 * 10, f"program{pid // 10}"

    def now(self) -> float:
        return self.now_s


def read(readers: Readers, handle: int, size: int) -> None:
    readers.ended(handle, readers.begin(handle, 0, size), size)


def test_bytes_count_for_the_process_of_whatever_thread_opened_the_file() -> None:
    programs = Programs()
    readers = Readers(programs.name, programs.now)
    readers.opened(1, 11)
    readers.opened(2, 12)
    readers.opened(3, 21)
    read(readers, 1, 100)
    read(readers, 2, 50)
    read(readers, 3, 120)
    readers.released(2)
    read(readers, 2, 999)

    found = [(e["pid"], e["program"], e["read_bytes"], e["files"], e["open_files"])
             for e in readers.as_json()]  # fmt: skip
    assert found == [(10, "program1", 150, 2, 1), (20, "program2", 120, 1, 1)]


def test_a_thread_is_looked_up_once_a_second() -> None:
    programs = Programs()
    readers = Readers(programs.name, programs.now)
    for handle in range(50):
        readers.opened(handle, 11)
    assert programs.asked == 1
    programs.now_s += 1.0
    readers.opened(99, 11)

    assert programs.asked == 2


def test_no_more_than_some_are_kept_and_those_that_read_stay() -> None:
    programs = Programs()
    readers = Readers(programs.name, programs.now)
    readers.opened(0, 10)
    read(readers, 0, 5)
    for number in range(1, 2_000):
        readers.opened(number, 10 * (number + 1))
        read(readers, number, 1)
        readers.released(number)

    found = readers.as_json()
    assert (len(found), found[0]["pid"], found[0]["read_bytes"]) == (10, 10, 5)
    assert len(readers._readers) == 256


@pytest.mark.fuse
def test_status_names_the_program_that_read_most() -> None:
    with (
        BrokenServer({"10934/data/a.mrc": DATA, "10934/data/b.mrc": DATA[:5000]}) as server,
        mounted(server.url) as mount,
    ):
        assert (mount.path / "10934/data/b.mrc").read_bytes() == DATA[:5000]
        script = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
        path = str(mount.path / "10934/data/a.mrc")
        done = subprocess.run(
            [sys.executable, "-c", script, path], capture_output=True, check=True
        )
        assert done.stdout == DATA
        # The kernel tells of a close when it has answered the program.
        wait_until(lambda: not any(e["open_files"] for e in mount.status()["readers"]), 30)

        most, mine = mount.status()["readers"]
        assert (most["read_bytes"], most["files"], most["has_ended"]) == (len(DATA), 1, True)
        assert most["program"].startswith("python")
        assert (mine["pid"], mine["read_bytes"]) == (os.getpid(), 5000)
        shown = mount.command("status", mount.path).stdout
        assert f"(process {most['pid']}): 2 MB of 1 file, ended" in shown
