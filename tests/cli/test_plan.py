"""The command `plan`: true bounds, no request that isn't needed, lists that other tools read."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from empiarfs.cache.speed_file import write_measured
from empiarfs.core.throughput import Measured
from tests.support import tree
from tests.support.broken_faults import Request
from tests.support.broken_server import BrokenServer, Fault
from tests.support.commands import CommandLine, Commands
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

FILES = {
    "10934/data/movie.mrc": tree.contents(b"a movie", 3_000_000),
    "10934/data/raw/it's 100% #1.mrc": tree.contents(b"odd", 70_000),
    "10934/data/raw/tiny.txt": b"x" * 650,
    "10005/data/other.mrc": tree.contents(b"other", 50_000),
}
SIZE = sum(len(data) for path, data in FILES.items() if path.startswith("10934/"))


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture
def plan(
    server: BrokenServer,
    command_line: CommandLine,
) -> Commands:
    """The command line, on a server that can break."""
    return command_line(server.url)


def heads(server: BrokenServer) -> int:
    return sum(request.method == "HEAD" for request in server.requests)


def asked(server: BrokenServer) -> set[str]:
    return {r.path for r in server.requests if r.method == "GET" and r.path in FILES}


def speed_file(commands: Commands) -> Path:
    (found,) = (commands.cache / "v1").glob("catalog-*.db")
    return found.with_name(found.stem.replace("catalog", "speed"))


def test_bounds_hold_the_true_size_and_no_file_is_asked_for(
    plan: Commands, server: BrokenServer
) -> None:
    done = plan("plan", "10934", "--json")
    found = done.json

    assert (done.status, done.err) == (0, "")
    assert found["files"] == 3
    assert found["bytes_low"] <= SIZE <= found["bytes_high"]
    assert found["bytes_low"] < found["bytes"] < found["bytes_high"]
    assert (heads(server), asked(server)) == (0, set())
    assert "--exact" in plan("plan", "10934").lines[0]


def test_exact_asks_once_and_is_remembered(plan: Commands, server: BrokenServer) -> None:
    found = plan("plan", "10934", "--exact", "--json").json
    assert found["bytes_low"] == found["bytes_high"] == found["bytes"] == SIZE
    before = heads(server)

    assert plan("plan", "10934").lines[0] == "3 files, 3.07 MB"
    assert heads(server) == before
    assert asked(server) == set()


def test_what_is_in_dest_already_is_told_and_nothing_is_made(
    plan: Commands, tmp_path: Path
) -> None:
    dest = tmp_path / "dest"
    assert plan("plan", "10934", str(dest)).status == 0
    assert not dest.exists()
    assert plan("get", "10934/data/movie.mrc", str(dest), "-q").status == 0
    (dest / "10934/data/raw").mkdir()
    (dest / "10934/data/raw/tiny.txt").write_bytes(b"y" * 650)

    found = plan("plan", "10934", str(dest), "--json").json
    assert (found["there_files"], found["there_bytes"]) == (1, 3_000_000)
    assert found["free_bytes"] > 0
    lines = plan("plan", "10934", str(dest)).lines
    assert lines[1].startswith("1 file, 3 MB, are there already; ")
    assert lines[3].startswith(f"fits into {dest} (")


def test_what_is_in_the_cache_already_is_told_and_takes_no_time(
    plan: Commands, server: BrokenServer, tmp_path: Path
) -> None:
    everything = plan("plan", "10934", "--exact", "--json").json
    assert everything["cached_bytes"] == 0
    assert plan("warm", "10934/data/movie.mrc", "-q").status == 0

    found = plan("plan", "10934", "--json").json
    assert found["cached_bytes"] == 3_000_000
    assert found["seconds"] < everything["seconds"]
    lines = plan("plan", "10934").lines
    assert lines[1] == "3 MB are in the cache already; 70.7 KB to be fetched"
    dry = plan("get", "-n", "10934", str(tmp_path / "dest"), "--json").json
    assert dry["cached_bytes"] == 3_000_000


def test_get_says_the_same_before_it_begins(plan: Commands, tmp_path: Path) -> None:
    dest = str(tmp_path / "dest")
    dry = plan("get", "-n", "10934", dest)
    lines = plan("plan", "10934", dest, "--exact").lines

    assert (dry.status, dry.err) == (0, "")
    assert dry.lines == [line for line in lines if "the cache" not in line]
    assert plan("get", "-n", "10934", dest, "--json").json["bytes"] == SIZE


@pytest.mark.parametrize(
    ("size", "words"), [(16, "fits into"), (3, "DOES NOT FIT into"), (17, "MAY NOT FIT into")]
)
def test_the_cache_is_compared_with_what_is_known(
    plan: Commands, server: BrokenServer, size: int, words: str
) -> None:
    # 16 MiB is the smallest cache; the listing shows 17 MiB for half a MiB less and more.
    data = {16: 1_000_000, 3: 40_000_000, 17: 17 * 1024**2}[size]
    server.put("10777/data/a.mrc", bytes(data))
    assert plan("cache", "size", {16: "16M", 3: "16M", 17: "17M"}[size]).status == 0

    assert plan("plan", "10777").lines[1].startswith(f"{words} the cache, which may hold ")


def test_the_time_goes_by_what_was_measured_here(plan: Commands) -> None:
    assumed = plan("plan", "10934")
    assert "at 5 MB/s, which is assumed: it wasn't measured here yet" in assumed.lines[-1]
    write_measured(speed_file(plan), [Measured(2_000, 10.0)], time.time() - 3 * 86_400)

    found = plan("plan", "10934", "--exact", "--json").json
    assert (found["bytes_per_s"], found["seconds"]) == (200, round(SIZE / 200, 1))
    assert "at 200 B/s, as measured 3.0 days ago" in plan("plan", "10934").lines[2]
    write_measured(speed_file(plan), [Measured(9_000_000, 0.1)], time.time() + 200_000)
    limited = plan("plan", "10934", "--limit-rate", "1M")
    assert "at 1.05 MB/s, the limit" in limited.lines[2]


def test_what_takes_hours_names_globus(plan: Commands, tmp_path: Path) -> None:
    assert plan("plan", "10934", "--json").json["is_much"] is False
    write_measured(speed_file(plan), [Measured(2_000, 10.0)], time.time())
    done = plan("plan", "10934", "10005", str(tmp_path / "dest"))

    assert done.lines[-3] == "that is much for HTTPS: EMPIAR recommends Globus above 4 GB"
    assert "/empiar/world_availability/10934/, /empiar/world_availability/10005/" in done.lines[-2]
    assert "--globus-batch" in done.lines[-1]
    started = plan("get", "10005", str(tmp_path / "dest"), "--limit-rate", "1M")
    assert "Globus" not in started.err


def test_what_is_fetched_is_measured(plan: Commands, server: BrokenServer, tmp_path: Path) -> None:
    def is_movie(request: Request) -> bool:
        return request.method == "GET" and request.path.endswith("movie.mrc")

    # Those that are sent since the first ones are late, too.
    server.fault(is_movie, Fault.delay(3.2), times=100)
    assert plan("get", "10934/data/movie.mrc", str(tmp_path / "dest")).status == 0

    found = plan("plan", "10934", "--json").json
    assert found["measured_s"] is not None
    assert 0 < found["bytes_per_s"] < 1_000_000


def words_of_globus(path: Path) -> list[list[str]]:
    """Read a list as Globus CLI does."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_the_list_for_globus_names_each_file(plan: Commands, tmp_path: Path) -> None:
    path = tmp_path / "a list"
    done = plan("plan", "10934", "--name", "*.mrc", "--globus-batch", str(path))

    assert (done.status, done.err) == (0, "")
    names = [name for name in FILES if name.startswith("10934/") and name.endswith(".mrc")]
    assert sorted(words_of_globus(path)) == sorted(
        [f"/empiar/world_availability/{name}", name] for name in names
    )
    assert done.lines[-1].endswith(f"--batch '{path}'")


def test_of_a_whole_directory_globus_gets_one_line(plan: Commands, tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("what stood there\n")
    words = ("10934/data/raw", "10934/data/movie.mrc", "10934/data/raw/tiny.txt")
    assert plan("plan", *words, "--globus-batch", str(path), "-q").out == b""

    root = "/empiar/world_availability/"
    assert words_of_globus(path) == [
        ["--recursive", f"{root}10934/data/raw/", "10934/data/raw/"],
        [f"{root}10934/data/movie.mrc", "10934/data/movie.mrc"],
    ]
    assert sorted(os.listdir(tmp_path)) == ["cache", "list", "run"]


def test_the_list_for_aria2_has_urls_and_names(
    plan: Commands, server: BrokenServer, tmp_path: Path
) -> None:
    path = tmp_path / "list"
    done = plan("plan", "10934", "--aria2", str(path))

    lines = path.read_text().splitlines()
    found = dict(zip(lines[1::2], lines[::2], strict=True))
    assert set(found) == {f"  out={name}" for name in FILES if name.startswith("10934/")}
    for option, url in found.items():
        name = option.removeprefix("  out=")
        assert unquote_to_bytes(url.removeprefix(server.url)) == name.encode()
    assert done.lines[-1].startswith(f"{path} has 3 lines; aria2c ")


@pytest.mark.parametrize(
    "words", ["plan {}", "plan {} there", "get -n {} there", "get {} there", "pin {}", "warm {}"]
)
def test_of_what_can_not_be_asked_for_no_figures_are_told(
    plan: Commands, server: BrokenServer, words: str, tmp_path: Path
) -> None:
    server.stop()
    done = plan(*words.replace("there", str(tmp_path / "there")).format("10934").split())

    assert (done.status, done.out) == (1, b"")
    assert "10934: " in done.err


def test_a_name_that_no_list_can_hold_is_told_and_left_out(
    plan: Commands, server: BrokenServer, tmp_path: Path
) -> None:
    for name in ("a\nb.mrc", "blank ", "\udcff.mrc", "next\x85line"):
        server.put(f"10934/odd/{name}", b"x")
    globus, aria2 = tmp_path / "globus", tmp_path / "aria2"
    done = plan("plan", "10934/odd", "--size", "..9", "--globus-batch", str(globus),
                "--aria2", str(aria2))  # fmt: skip

    assert done.status == 1
    assert done.err.count("can't be in a list for Globus") == 3
    assert done.err.count("can't be in a list for aria2") == 2
    assert [words[1] for words in words_of_globus(globus)] == ["10934/odd/blank "]
    assert aria2.read_bytes().count(b"\n  out=") == 2


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("plan",), 2, "missing argument"),
        (("plan", "nowhere"), 2, "neither a place in the archive"),
        (("plan", "10934/none"), 1, "no such file"),
        (("plan", "10934", "--aria2", "/proc/none/list"), 2, "--aria2"),
    ],
)
def test_wrong_words_are_told(
    plan: Commands, words: tuple[str, ...], status: int, said: str
) -> None:
    done = plan(*words)

    assert (done.status, said in done.err) == (status, True), done.err


def test_ctrl_c_ends_it_while_it_waits(plan: Commands, server: BrokenServer) -> None:
    server.fault(lambda request: request.path.endswith("data/"), Fault.silence(), times=100)
    with subprocess.Popen(
        [sys.executable, "-m", "empiarfs", "plan", "10934"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_until(lambda: any(r.path.endswith("data/") for r in server.requests), 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
