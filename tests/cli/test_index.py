"""`empiarfs index`, on a real Apache: what is known then, and what it costs before and after."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from empiarfs.browse.indexing import Progress
from empiarfs.catalog import Catalog
from empiarfs.cli.index_progress import Rate, words
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer, Fault
from tests.support.commands import Commands
from tests.support.slow_link import LinkSettings, SlowLink
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.apache

FAR = LinkSettings(round_trip_s=0.3)


def true_files(folder: Path) -> dict[str, int]:
    """Return the size of each file below a directory, by its path there."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }


def known_sizes(run: Commands, directories: list[str]) -> bool:
    """Tell whether any size of these directories has been written down."""
    for file in run.cache.rglob("catalog-*.db"):
        with closing(Catalog(file, archive_url=run.url)) as catalog:
            known = [directory for each in directories if (directory := catalog.directory(each))]
            return any(row.version for directory in known for row in directory.rows)
    return False


def test_after_an_index_find_du_and_ls_ask_for_nothing(
    commands: Commands, served: ApacheServer
) -> None:
    done = commands("index", "EMPIAR-10028", "10005")
    assert (done.status, done.err) == (0, "")
    mark = served.mark()

    found = commands("find", "--json", "10028", "--type", "f").json
    odd = commands("find", "--json", "10005", "--type", "f").json
    [total] = commands("du", "--json", "10028").json
    listed = commands("ls", "--json", "10028/data/many").json

    assert served.requests_since(mark) == []
    sizes = true_files(served.root / "10028")
    assert {each["path"].removeprefix("10028/"): each["size"] for each in found} == sizes
    assert len(odd) == len([p for p in (served.root / "10005").rglob("*") if p.is_file()])
    assert (total["size"], total["files"]) == (sum(sizes.values()), len(sizes))
    assert len(listed) == 1200


@pytest.mark.parametrize(
    "words",
    [
        ("--name", "*.mrc"),
        ("--name", "*.mrc", "--name", "inside*", "-l"),
        ("--name", "*", "--type", "d"),
        ("--name", "MOVIE*", "--ignore-case", "--size", "+10"),
        ("--name", "*.dat", "--regex", "level", "--json"),
        ("--name", "*/files/*.mrc"),
    ],
    ids=range(6),
)
def test_a_find_tells_the_same_before_and_after_an_index(
    commands: Commands, served: ApacheServer, words: tuple[str, ...]
) -> None:
    before = commands("find", "10028", "10005", *words)
    assert commands("index", "10028", "10005").status == 0
    mark = served.mark()
    after = commands("find", "10028", "10005", *words)

    assert served.requests_since(mark) == []
    assert after.out == before.out != b""
    assert (before.status, after.status) == (0, 0)


def test_each_file_and_directory_is_asked_for_once(
    commands: Commands, served: ApacheServer
) -> None:
    mark = served.mark()
    [found] = commands("index", "--json", "10028").json

    sizes = true_files(served.root / "10028")
    requests = served.requests_since(mark)
    heads = [each.name for each in requests if each.method == "HEAD" and each.status == 206]
    # Of a file of no bytes there is no range, so that it has another status.
    assert len(heads) <= len(sizes)
    listings = [each.name for each in requests if each.method == "GET"]
    assert len(listings) == len(set(listings)) == found["directories"] + 1  # and the root
    assert found == {
        "target": "10028",
        "path": "10028",
        "complete": True,
        "files": len(sizes),
        "directories": 1 + sum(path.is_dir() for path in (served.root / "10028").rglob("*")),
        "size": sum(sizes.values()),
        "known_before": 0,
        "requests": found["requests"],
        "seconds": found["seconds"],
        "refused_names": 0,
        "unknown": [],
    }


def test_a_second_index_asks_for_nothing(commands: Commands, served: ApacheServer) -> None:
    commands("index", "10028")
    mark = served.mark()
    [found] = commands("index", "--json", "10028").json

    assert served.requests_since(mark) == []
    assert (found["known_before"], found["requests"]) == (found["files"], 0)
    commands("index", "--refresh", "10028/data/many")
    # Whatever is listed as before has the size that it had.
    assert [each.method for each in served.requests_since(mark)] == ["GET"]


def test_an_index_that_was_killed_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with tree.temporary_root() as root:
        for number in range(4):
            tree.make_many(root / f"10391/data/TS_{number:02}", 150)
        with ApacheServer(root) as server, SlowLink(server.url, FAR) as link:
            run = Commands(link.url_for(server.url), tmp_path, monkeypatch, capfdbinary)
            program = subprocess.Popen(
                [sys.executable, "-m", "empiarfs", "index", "-q", "10391"],
                cwd=CHECKOUT,
                env=dict(os.environ),
            )
            try:
                directories = [f"10391/data/TS_{number:02}" for number in range(4)]
                wait_until(lambda: known_sizes(run, directories), 30.0, 0.1)
            finally:
                program.kill()
                program.wait()
            mark = server.mark()
            [found] = run("index", "--json", "10391").json

            assert (found["complete"], found["files"]) == (True, 600)
            assert found["known_before"] > 0
            asked = {each.name for each in server.requests_since(mark) if each.method == "HEAD"}
            assert len(asked) == 600 - found["known_before"]
            mark = server.mark()
            assert run("du", "--json", "10391").json[0]["files"] == 600
            assert server.requests_since(mark) == []


def test_what_cannot_be_had_is_told_and_the_rest_is_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with BrokenServer() as server:
        for name in ("a.mrc", "b.mrc", "raw/c.mrc", "secret/d.mrc"):
            server.put(f"10934/data/{name}", b"abc")
        server.fault("10934/data/secret/", Fault.answer(403), times=99)
        server.fault("10934/data/b.mrc", Fault.answer(404), times=99)
        run = Commands(server.url, tmp_path, monkeypatch, capfdbinary)
        done = run("index", "--json", "EMPIAR-10934")
        line = run("index", "EMPIAR-10934").lines[0]

    [found] = done.json
    assert (done.status, found["complete"], found["files"], found["size"]) == (1, False, 2, 6)
    assert {each["path"] for each in found["unknown"]} == {
        "10934/data/b.mrc",
        "10934/data/secret",
    }
    assert "EMPIAR-10934/data/secret/: " in done.err
    assert "EMPIAR-10934/data/b.mrc: " in done.err
    assert line.endswith("; incomplete, 2 couldn't be had")


def test_an_archive_that_is_out_of_reach_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with BrokenServer() as server:
        url = server.url
    monkeypatch.setenv("EMPIARFS_WAIT", "1s")
    done = Commands(url, tmp_path, monkeypatch, capfdbinary)("index", "10934")

    assert (done.status, done.out) == (1, b"")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("targets", "said"),
    [((), "name an entry"), (("empiar",), "name entries"), (("10017", "nothing"), "neither")],
)
def test_wrong_usage_is_told_before_anything_is_asked(
    commands: Commands, served: ApacheServer, targets: tuple[str, ...], said: str
) -> None:
    mark = served.mark()
    done = commands("index", *targets)

    assert (done.status, done.out) == (2, b"")
    assert said in done.err
    assert served.requests_since(mark) == []


def test_a_file_and_a_name_that_is_not_there_are_told(
    commands: Commands, served: ApacheServer
) -> None:
    done = commands("index", "10017/10017.xml", "99999", "10002")

    assert done.status == 1
    assert "10017/10017.xml: is a file" in done.err
    assert "99999: there is no such file or directory" in done.err
    size = sum(true_files(served.root / "10002").values())
    assert f"10002: 4 files in 3 directories, 1.91 MB ({size} bytes); " in done.lines[0]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    now = 0.0
    rate = Rate(lambda: now)
    assert rate.per_s is None
    for asked in range(0, 4000, 100):
        now += 1.0
        rate.note(asked)

    assert rate.per_s == 100.0


def test_what_is_left_is_told_as_far_as_it_is_known() -> None:
    assert words(Progress(files=1, size=5), 3.0) == "1 files (5 B)"
    assert words(Progress(files=5, files_left=7200), 1.0).endswith("1 files/s, 2:00:00 left")
