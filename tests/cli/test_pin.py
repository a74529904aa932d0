"""The commands `pin` and `unpin`: what is pinned stays, whatever others read."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import tree
from tests.support.broken_server import BrokenServer, Fault
from tests.support.commands import CommandLine, Commands
from tests.support.mounts import mounted
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

MOVIES = {
    f"10934/data/movie_{number}.mrc": tree.contents(b"%d" % number, 3_000_000)
    for number in range(2)
}
OTHER = tree.contents(b"other", 40_000_000)
FILES = MOVIES | {
    "10934/10934.xml": b"<entry/>",
    "10934/data/empty.txt": b"",
    "10005/data/other.mrc": OTHER,
}


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture
def run(
    server: BrokenServer,
    command_line: CommandLine,
) -> Commands:
    """The command line, with a cache that holds less than `OTHER`."""
    commands = command_line(server.url)
    assert commands("cache", "size", "32M").status == 0
    return commands


def gets(server: BrokenServer, since: int = 0) -> list[str]:
    """The files that were asked for, apart from listings."""
    return [r.path for r in server.requests[since:] if r.method == "GET" and r.path in FILES]


def test_what_is_pinned_is_there_after_others_have_filled_the_cache(
    run: Commands, server: BrokenServer
) -> None:
    done = run("pin", "10934")
    assert (done.status, done.err) == (0, "")
    assert done.lines == ["6 MB of 4 files are pinned; 6 MB came now"]
    for _ in range(2):
        assert run("cat", "10005/data/other.mrc").out == OTHER
    before = len(server.requests)

    for path, data in MOVIES.items():
        assert run("cat", path).out == data
    assert gets(server, before) == []
    assert run("pin", "10934", "--json").json["bytes"] == 0


def test_pinned_bytes_are_counted_apart(run: Commands) -> None:
    assert "pinned" not in run("cache", "size").lines[0]
    assert run("pin", "10934/data/movie_0.mrc", "-q").out == b""
    assert run("cat", "10934/data/movie_1.mrc").status == 0

    found = run("cache", "list", "--json").json
    (entry,) = found["entries"]
    assert 3_000_000 < found["pinned"] == entry["pinned"] < entry["size"] / 1.9
    assert "3.01 MB of it pinned" in run("cache", "size").lines[0]
    lines = run("cache", "list").lines
    assert (lines[0].split()[1], lines[1].split()[2:4]) == ("PINNED", ["3.01", "MB"])
    (pin,) = run("pin", "--list", "--json").json
    assert pin["url"].endswith("/10934/data/movie_0.mrc")
    assert run("pin", "--list").lines == [f" 3.01 MB  {pin['url']}"]


@pytest.mark.fuse
def test_two_mounts_and_a_command_agree(run: Commands, server: BrokenServer) -> None:
    with (
        mounted(server.url, cache_dir=run.cache) as one,
        mounted(server.url, cache_dir=run.cache) as two,
    ):
        movie, other = "10934/data/movie_0.mrc", "10005/data/other.mrc"
        assert (one.path / movie).read_bytes() == MOVIES[movie]
        assert run("pin", "10934/data").status == 0
        for mount in (one, two):
            assert (mount.path / other).read_bytes() == OTHER
        wait_until(lambda: one.status()["cache"]["pinned"] > 6_000_000, 30)
        wait_until(lambda: two.status()["counters"]["blocks_evicted"] > 0, 30)
    before = len(server.requests)

    with mounted(server.url, cache_dir=run.cache) as again:
        for path, data in MOVIES.items():
            assert (again.path / path).read_bytes() == data
    assert gets(server, before) == []
    assert run("cache", "verify").status == 0


def test_more_than_may_be_pinned_is_refused_and_nothing_is_fetched(
    run: Commands, server: BrokenServer
) -> None:
    assert run("pin", "10934/data/movie_0.mrc").status == 0
    before = len(server.requests)
    done = run("pin", "10934", "10005")

    assert done.status == 1
    assert "46.2 MB would be pinned, and of a cache of 33.6 MB no more than " in done.err
    assert "unpin" in done.err
    assert gets(server, before) == []
    assert len(run("pin", "--list").lines) == 1


def test_the_cache_does_not_become_smaller_than_what_is_pinned(
    run: Commands, server: BrokenServer
) -> None:
    server.put("10777/data/a.mrc", bytes(12_000_000))
    assert run("pin", "10777", "10934/data").status == 0
    done = run("cache", "size", "16M")

    assert done.status == 1
    assert "18.1 MB are pinned, and of 16.8 MB no more than" in done.err
    assert "33.6 MB" in run("cache", "size").lines[0]
    assert run("unpin", "10777").lines == ["unpinned 1 file, 12.1 MB"]
    assert run("cache", "size", "16M").status == 0


def test_warm_leaves_what_is_pinned_its_room(run: Commands, server: BrokenServer) -> None:
    server.put("10777/data/a.mrc", bytes(30_000_000))
    assert run("pin", "10934").status == 0
    done = run("warm", "10777")

    assert done.status == 1
    assert "beside 6.04 MB that are pinned" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("cache", "clean"),
        ("cache", "evict", "10934"),
        ("cache", "prune", "--entry", "10934"),
    ],
)
def test_what_is_removed_by_hand_is_not_what_is_pinned(
    run: Commands, words: tuple[str, ...]
) -> None:
    assert run("pin", "10934/data/movie_0.mrc").status == 0
    assert run("cat", "10934/data/movie_1.mrc").status == 0
    (line,) = run(*words).lines

    assert line.startswith("removed 3 blocks, ")
    assert line.endswith("; 3 are pinned and stay")
    assert run("unpin", "10934", "-q").out == b""
    assert "pinned" not in run(*words).lines[0]
    assert run("cache", "list", "--json").json["blocks"] == 0


def test_a_file_that_fails_is_told_and_the_others_are_pinned(
    run: Commands, server: BrokenServer
) -> None:
    server.fault("10934/data/movie_0.mrc", Fault.answer(403), times=100)
    done = run("pin", "10934/data")

    assert done.status == 1
    assert "movie_0.mrc" in done.err
    assert len(run("pin", "--list").lines) == 2
    server.forget_faults()
    assert run("pin", "10934/data").status == 0


def test_unpin_goes_by_places_and_asks_nobody(run: Commands, server: BrokenServer) -> None:
    assert run("pin", "10934").status == 0
    before = len(server.requests)

    assert run("unpin", "10934/dat").lines == ["unpinned 0 files, 0 B"]
    assert run("unpin", "--all", "--name", "*.tif").lines == ["unpinned 0 files, 0 B"]
    assert run("unpin", "10934/data/movie_0.mrc").lines == ["unpinned 1 file, 3.01 MB"]
    assert run("unpin", "10934/data", "10005").lines[0].startswith("unpinned 2 files, ")
    assert run("unpin", "--all").lines[0].startswith("unpinned 1 file, ")
    assert run("pin", "--list", "--json").json == []
    assert len(server.requests) == before


def test_unpin_takes_of_these_what_matches(run: Commands) -> None:
    assert run("pin", "10934").status == 0
    names = {line.rpartition("/")[2] for line in run("pin", "--list").lines}

    assert run("unpin", "10934/data", "--name", "*_0.*").lines[0].startswith("unpinned 1 file, ")
    assert run("unpin", "--all", "--name", "10934/data/*_1*").lines[0].startswith("unpinned 1 ")
    left = {line.rpartition("/")[2] for line in run("pin", "--list").lines}
    assert left == names - {"movie_0.mrc", "movie_1.mrc"} != set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pin",), "missing argument"),
        (("pin", "--list", "10934"), "takes no TARGET"),
        (("unpin",), "--all"),
        (("unpin", "--all", "10934"), "--all"),
        (("unpin", "empiar"), "unpin --all"),
        (("pin", "nowhere"), "neither a place in the archive"),
    ],
)
def test_wrong_words_are_told(run: Commands, words: tuple[str, ...], said: str) -> None:
    done = run(*words)

    assert (done.status, said in done.err) == (2, True), done.err


def test_ctrl_c_ends_it_and_the_same_command_goes_on(run: Commands, server: BrokenServer) -> None:
    server.fault(
        lambda request: request.method == "GET" and request.path in MOVIES,
        Fault.silence(),
        times=1000,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "empiarfs", "pin", "10934"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_until(lambda: bool(set(gets(server)) & set(MOVIES)), 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert b"goes on from here" in err

    server.forget_faults()
    assert run("pin", "10934").status == 0
    assert len(run("pin", "--list").lines) == 4
