"""The command `warm`: what it has fetched is read without a request, and nobody waits for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import tree
from tests.support.broken_server import BrokenServer, Fault
from tests.support.commands import CommandLine, Commands
from tests.support.interrupted import INTERRUPTED
from tests.support.mounts import mounted
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

FILES = {
    f"10934/data/movie_{number}.mrc": tree.contents(b"%d" % number, 3_000_000)
    for number in range(4)
} | {"10934/10934.xml": b"<entry/>"}
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture
def warm(
    server: BrokenServer,
    command_line: CommandLine,
) -> Commands:
    return command_line(server.url)


def gets(server: BrokenServer, since: int = 0) -> list[str]:
    """The files that were asked for, apart from listings."""
    return [
        request.path
        for request in server.requests[since:]
        if request.method == "GET" and request.path.endswith((".mrc", ".xml"))
    ]


@pytest.mark.fuse
def test_a_mount_finds_it_there(warm: Commands, server: BrokenServer) -> None:
    done = warm("warm", "10934", "--json")
    assert (done.status, done.json["files"], done.json["bytes"]) == (0, 5, SIZE)
    before = len(server.requests)

    with mounted(server.url, cache_dir=warm.cache) as mount:
        for path, data in FILES.items():
            assert (mount.path / path).read_bytes() == data
    assert gets(server, before) == []


def test_what_is_there_is_not_fetched_again(warm: Commands, server: BrokenServer) -> None:
    assert warm("warmup", "10934/data", "--name", "*_1.mrc").status == 0
    before = len(server.requests)
    done = warm("warm", "10934/data")

    assert "movie_1.mrc" not in "".join(gets(server, before))
    assert done.lines == ["12 MB of 4 files are warm; 9 MB came now"]
    assert warm("warm", "10934/data").lines == ["12 MB of 4 files are warm; 0 B came now"]


def test_heads_are_the_first_piece_of_each(warm: Commands, server: BrokenServer) -> None:
    found = warm("warm", "10934/data", "--heads", "--json").json

    assert (found["files"], found["bytes"]) == (4, 4 * 65_536)
    ranges = [r.headers.get("range") for r in server.requests if r.path.endswith(".mrc")]
    assert [r for r in ranges if r and r.startswith("bytes=0-65535")]
    assert warm("cache", "list", "--json").json["blocks"] == 4


def test_a_file_that_fails_is_told_and_the_others_come(
    warm: Commands, server: BrokenServer
) -> None:
    refused = "10934/data/movie_2.mrc"
    server.fault(lambda r: r.path == refused and r.method == "GET", Fault.answer(403), times=50)
    done = warm("warm", "10934/data")

    assert done.status == 1
    assert "movie_2.mrc" in done.err
    assert "1 FAILED" in done.lines[0]
    before = len(server.requests)
    assert warm("cat", "10934/data/movie_3.mrc").out == FILES["10934/data/movie_3.mrc"]
    assert gets(server, before) == []


def test_more_than_the_cache_holds_is_refused_with_a_remedy(
    warm: Commands, server: BrokenServer
) -> None:
    server.put("10934/data/big.mrc", bytes(40_000_000))
    warm("cache", "size", "32M")
    done = warm("warm", "10934")

    assert done.status == 1
    assert "--heads" in done.err
    assert gets(server) == []


def test_readers_go_before_it(warm: Commands, server: BrokenServer) -> None:
    server.fault(lambda r: r.path.endswith("_0.mrc"), Fault.delay(0.5), times=1000)
    with subprocess.Popen(
        [sys.executable, "-m", "empiarfs", "warm", "10934/data", "--max-connections", "4"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_until(lambda: len(gets(server)) > 0, 30)
        assert warm("cat", "10934/10934.xml").out == b"<entry/>"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode in (0, *INTERRUPTED)
    assert (b"goes on from here" in said) == (process.returncode != 0)
    assert b"Traceback" not in said
    server.forget_faults()
    assert warm("warm", "10934/data").status == 0
