"""`empiarfs diff`: what has changed since an index, on an Apache whose tree changes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer, Fault
from tests.support.commands import CommandLine, Commands, Done
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.apache


@pytest.fixture
def server() -> Iterator[ApacheServer]:
    """Serve an entry that the test may change at will."""
    with tree.temporary_root() as root:
        tree.make_many(root / "10934/data/movies", 50)
        tree.make_many(root / "10934/data/old/older", 3)
        tree.write_file(root / "10934/data/stack.mrcs", b"x" * 5000)
        tree.write_file(root / "10934/10934.xml", b"<entry/>")
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield server


@pytest.fixture
def run(
    server: ApacheServer,
    command_line: CommandLine,
) -> Commands:
    run = command_line(server.url)
    assert run("index", "10934").status == 0
    return run


def changes(done: Done) -> set[tuple[str, str]]:
    return {(each["change"], each["path"].removeprefix("10934/data/")) for each in done.json}


def test_nothing_has_changed(run: Commands, server: ApacheServer) -> None:
    mark = server.mark()
    done = run("diff", "EMPIAR-10934")

    assert (done.status, done.out) == (0, b"")
    assert "EMPIAR-10934: nothing has changed since " in done.err
    assert [each.method for each in server.requests_since(mark)] == ["GET"] * 5


def test_what_is_new_gone_or_other_is_told_for_a_request_each(
    run: Commands, server: ApacheServer
) -> None:
    data = server.root / "10934/data"
    tree.write_file(data / "movies/movie_00050.tif", b"new")
    tree.write_file(data / "raw/first.mrc", b"12345")
    (data / "movies/movie_00003.tif").unlink()
    shutil.rmtree(data / "old/older")
    os.utime(data / "movies/movie_00004.tif", (1_700_000_000, 1_700_000_000))
    (data / "stack.mrcs").write_bytes(b"y" * 9000)
    mark = server.mark()
    done = run("diff", "--json", "10934")

    assert done.status == 1
    assert changes(done) == {
        ("added", "movies/movie_00050.tif"),
        ("added", "raw"),
        ("added", "raw/first.mrc"),
        ("removed", "movies/movie_00003.tif"),
        ("removed", "old/older"),
        *(("removed", f"old/older/movie_{number:05}.tif") for number in range(3)),
        ("changed", "movies/movie_00004.tif"),
        ("changed", "stack.mrcs"),
    }
    found = {each["path"].removeprefix("10934/data/"): each for each in done.json}
    assert (found["stack.mrcs"]["size_before"], found["stack.mrcs"]["size"]) == (5000, 9000)
    assert found["movies/movie_00004.tif"]["modified_s"] == 1_700_000_000
    assert found["raw/first.mrc"]["size"] == 5
    assert found["movies/movie_00003.tif"]["size_before"] == 13
    # Five directories, one of them new and one gone, and some seven names.
    assert len(server.requests_since(mark)) <= 5 + 10


def test_it_tells_the_same_again_until_the_index_is_renewed(
    run: Commands, server: ApacheServer
) -> None:
    (server.root / "10934/data/stack.mrcs").write_bytes(b"y" * 9000)
    first, second = run("diff", "10934"), run("diff", "10934")
    assert run("index", "--refresh", "10934").status == 0

    assert (first.status, first.out) == (1, second.out)
    assert first.lines[0].startswith("changed           9000 ")
    assert first.lines[0].endswith("10934/data/stack.mrcs  (was 5000, 2022-02-07 11:30:59)")
    assert run("diff", "10934").status == 0


def test_a_file_may_be_what_it_is_compared_with(
    run: Commands, server: ApacheServer, tmp_path: Path
) -> None:
    file = str(tmp_path / "before.tsv")
    run("index", "10934", "--export", file)
    (server.root / "10934/data/stack.mrcs").write_bytes(b"y" * 9000)
    run("index", "--refresh", "10934")

    assert run("diff", "10934").status == 0
    assert changes(run("diff", "--json", "10934", "--from", file)) == {("changed", "stack.mrcs")}
    assert run("diff", "10934", "--from", str(tmp_path / "nothing.tsv")).status == 2


def test_names_that_change_places_with_directories(run: Commands, server: ApacheServer) -> None:
    data = server.root / "10934/data"
    (data / "stack.mrcs").unlink()
    tree.write_file(data / "stack.mrcs/inside", b"1")
    shutil.rmtree(data / "old/older")
    tree.write_file(data / "old/older", b"22")

    found = changes(run("diff", "--json", "10934"))
    assert found >= {
        ("removed", "stack.mrcs"),
        ("added", "stack.mrcs"),
        ("added", "stack.mrcs/inside"),
        ("removed", "old/older"),
        ("removed", "old/older/movie_00000.tif"),
        ("added", "old/older"),
    }


def test_an_entry_that_is_gone_is_removed(run: Commands, server: ApacheServer) -> None:
    shutil.rmtree(server.root / "10934")
    done = run("diff", "--json", "10934")

    assert done.status == 1
    assert {each["change"] for each in done.json} == {"removed"}
    assert len(done.json) == 5 + 55


def test_what_is_not_indexed_is_trouble(run: Commands, server: ApacheServer) -> None:
    tree.write_file(server.root / "10017/data/a", b"1")
    assert run("diff", "10017").status == 2
    run("ls", "10017")
    done = run("diff", "10017")

    assert done.status == 2
    assert "10017/data/: isn't indexed" in done.err


def test_a_row_that_a_listing_lacks_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with BrokenServer() as server:
        for name in ("a.mrc", "b.mrc", "c.mrc"):
            server.put(f"10934/data/{name}", b"abc")
        run = Commands(server.url, tmp_path, monkeypatch, capfdbinary)
        run("index", "10934")
        server.fault("10934/data/", Fault.lost_row(1), times=1)
        same = run("diff", "10934")
        server.fault("10934/data/", Fault.answer(403), times=1)
        trouble = run("diff", "10934")

    assert (same.status, same.out) == (0, b"")
    assert trouble.status == 2
    assert "10934/data/: " in trouble.err


def test_ctrl_c_ends_it_while_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with BrokenServer({"10934/data/x.mrc": b"x"}) as broken:
        run = Commands(broken.url, tmp_path, monkeypatch, capfdbinary)
        assert run("index", "10934").status == 0
        before = len(broken.requests)
        broken.fault(lambda request: True, Fault.silence(), times=100)
        with subprocess.Popen(
            [sys.executable, "-m", "empiarfs", "diff", "10934"],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            wait_until(lambda: len(broken.requests) > before, 60)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
