"""The command `get`: whole files with right bytes, whatever comes between."""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_faults import Request
from tests.support.broken_server import BrokenServer, Fault
from tests.support.commands import CommandLine, Commands
from tests.support.disks import memory_disk
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.apache

MOVIE = tree.contents(b"a movie", 6_000_000)
FILES = {"10934/data/movie.mrc": MOVIE} | {
    f"10934/data/small_{number}.mrc": tree.contents(b"%d" % number, 70_000) for number in range(5)
}


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture
def get(
    server: BrokenServer,
    command_line: CommandLine,
) -> Commands:
    """The command line, on a server that can break."""
    return command_line(server.url)


def names_below(folder: Path) -> set[str]:
    return {os.fspath(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def started(commands: Commands, *words: str | Path) -> subprocess.Popen[bytes]:
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "empiarfs", "get", *map(str, words)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def bytes_so_far(folder: Path) -> int:
    found = 0
    for path in folder.rglob(".movie.mrc.empiarfs-*"):
        with suppress(FileNotFoundError):  # one that is being replaced
            found += path.stat().st_size
    return found


def test_what_is_copied_equals_what_is_served(
    served: ApacheServer, commands: Commands, tmp_path: Path
) -> None:
    done = commands("get", "10017", "10005", str(tmp_path / "dest"))
    assert (done.status, done.err) == (0, "")

    for entry in ("10017", "10005"):
        here, there = tmp_path / "dest" / entry, served.root / entry
        paths = [path.relative_to(there) for path in there.rglob("*") if path.is_file()]
        assert len(paths) > 5
        _, wrong, missing = filecmp.cmpfiles(here, there, paths, shallow=False)
        assert (wrong, missing) == ([], [])
        assert len(names_below(here)) == len(paths)
        for path in paths:
            assert int((here / path).stat().st_mtime) == int((there / path).stat().st_mtime)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=tmp_path / "dest",
        capture_output=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_selectors_choose(commands: Commands, tmp_path: Path) -> None:
    words = ("10017/data", "--name", "*.dat", "--size", "60K..1M", "--first", "2")

    assert commands("download", *words, str(tmp_path / "dest")).status == 0
    assert names_below(tmp_path / "dest") == {
        "10017/data/a_piece.dat",
        "10017/data/above_a_piece.dat",
        "SHA256SUMS",
    }


def test_a_second_run_fetches_nothing(get: Commands, server: BrokenServer, tmp_path: Path) -> None:
    dest = str(tmp_path / "dest")
    assert get("get", "10934", dest, "--json").json["files"] == 6
    before = len(server.requests)
    found = get("get", "10934", dest, "--json").json

    assert (found["files"], found["there_files"], found["bytes"]) == (0, 6, 0)
    assert not [r for r in server.requests[before:] if r.method == "GET"]


def test_what_is_cached_is_not_fetched_again_and_the_cache_does_not_grow(
    get: Commands, server: BrokenServer, tmp_path: Path
) -> None:
    assert get("cat", "10934/data/movie.mrc").out == MOVIE
    before, used = len(server.requests), get("cache", "list", "--json").json["blocks"]
    assert get("get", "10934/data", str(tmp_path / "dest")).status == 0

    fetched = {r.path for r in server.requests[before:] if r.method == "GET"}
    assert "10934/data/movie.mrc" not in fetched
    assert get("cache", "list", "--json").json["blocks"] == used == 6
    assert (tmp_path / "dest/10934/data/movie.mrc").read_bytes() == MOVIE


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_what_was_interrupted_goes_on_where_it_was(
    get: Commands, server: BrokenServer, tmp_path: Path, sent: signal.Signals
) -> None:
    dest = tmp_path / "dest"
    server.fault(lambda request: reaches(request, 4_000_000), Fault.silence(), times=100)
    with started(get, "10934/data/movie.mrc", dest) as process:
        wait_until(lambda: bytes_so_far(dest) >= 2_000_000, 30)
        process.send_signal(sent)
        said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == (130 if sent == signal.SIGINT else -sent)
    assert "Traceback" not in said
    assert ("goes on from here" in said) == (sent == signal.SIGINT)
    assert not (dest / "10934/data/movie.mrc").exists()

    server.forget_faults()
    found = get("get", "10934/data/movie.mrc", str(dest), "--json").json
    assert found["resumed_bytes"] >= 2_000_000
    assert found["resumed_bytes"] + found["bytes"] == len(MOVIE)
    assert names_below(dest) == {"10934/data/movie.mrc", "SHA256SUMS"}
    assert (dest / "10934/data/movie.mrc").read_bytes() == MOVIE


def reaches(request: Request, offset: int) -> bool:
    """Tell whether a request is for bytes of the movie from `offset` on."""
    found = re.fullmatch(r"bytes=(\d+)-\d+", request.headers.get("range", ""))
    is_get = request.method == "GET" and request.path.endswith("movie.mrc")
    return is_get and found is not None and int(found[1]) >= offset


def test_a_file_that_fails_is_told_and_the_others_come(
    get: Commands, server: BrokenServer, tmp_path: Path
) -> None:
    server.fault("10934/data/small_2.mrc", Fault.answer(403), times=50)
    done = get("get", "10934", str(tmp_path / "dest"))

    assert done.status == 1
    assert "small_2.mrc" in done.err
    assert names_below(tmp_path / "dest") >= {p for p in FILES if "small_2" not in p}


def test_a_local_file_that_differs_is_left_unless_told(get: Commands, tmp_path: Path) -> None:
    mine = tmp_path / "dest/10934/data/movie.mrc"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own work")
    done = get("get", "10934/data/movie.mrc", str(tmp_path / "dest"))

    assert done.status == 1
    assert "--overwrite" in done.err
    assert mine.read_bytes() == b"my own work"
    assert get("get", "10934/data/movie.mrc", str(tmp_path / "dest"), "--overwrite").status == 0
    assert mine.read_bytes() == MOVIE


def test_verify_finds_what_is_missing_cut_or_changed(get: Commands, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    assert get("get", "10934", str(dest)).status == 0
    assert get("get", "10934", str(dest), "--verify", "--json").json == {
        "files": 6, "bytes": sum(map(len, FILES.values())), "sound": 6, "unknown": 0, "wrong": 0,
    }  # fmt: skip
    movie = dest / "10934/data/movie.mrc"
    status = movie.stat()
    data = bytearray(movie.read_bytes())
    data[3_000_000] ^= 1
    movie.write_bytes(data)
    os.utime(movie, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.truncate(dest / "10934/data/small_0.mrc", 100)
    (dest / "10934/data/small_1.mrc").unlink()

    done = get("get", "10934", str(dest), "--verify")
    assert done.status == 1
    assert "3 of 6 files are whole, 3 are missing or wrong" in done.lines[0]
    assert "movie.mrc: its bytes aren't those that were written" in done.err


def test_a_file_from_elsewhere_gets_its_checksum(get: Commands, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    assert get("get", "10934", str(dest)).status == 0
    (dest / "SHA256SUMS").unlink()
    assert get("get", "10934", str(dest), "--verify", "--json").json["unknown"] == 6
    assert get("get", "10934", str(dest)).status == 0
    assert get("get", "10934", str(dest), "--verify", "--json").json["sound"] == 6


def test_a_dry_run_says_what_would_be_done_and_does_nothing(get: Commands, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    done = get("get", "-n", "10934", str(dest))

    assert done.status == 0
    assert done.lines[0] == "6 files, 6.35 MB"
    assert "fits into" in done.lines[1]
    assert not dest.exists()
    assert get("get", "-n", "10934", str(dest), "--json").json["files"] == 6


def test_a_command_runs_at_the_end(get: Commands, tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = f'echo "$EMPIARFS_GET_FILES $EMPIARFS_GET_STATUS $EMPIARFS_GET_DEST" > {told}'
    dest = tmp_path / "dest"

    assert get("get", "10934", str(dest), "--on-done", command).status == 0
    assert told.read_text() == f"6 0 {dest}\n"
    failed = get("get", "10934", str(dest), "--on-done", "exit 3")
    assert failed.status == 1
    assert "status 3" in failed.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("10934",), "DEST is missing"),
        (("10934", "EMPIAR-10935"), "./EMPIAR-10935"),
        (("10934", "https://example.org/x"), "a place in the archive"),
        (("10934/none", "here"), "no such file"),
        (("10934", "here", "--verify", "-n"), "don't go together"),
    ],
)
def test_wrong_words_are_told_and_nothing_is_made(
    get: Commands,
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = get("get", *words)

    assert done.status in (1, 2)
    assert said in done.err
    assert not (tmp_path / "EMPIAR-10935").exists()


def test_a_file_where_a_directory_belongs_is_told(get: Commands, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "10934").write_text("a file")
    done = get("get", "10934", str(dest))

    assert done.status == 1
    assert "Not a directory" in done.err or "File exists" in done.err
    assert (dest / "10934").read_text() == "a file"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")
def test_a_disk_without_room_is_told_before_and_when_it_fills(
    get: Commands, tmp_path: Path
) -> None:
    with memory_disk(tmp_path / "disk", "size=4m") as disk:
        done = get("get", "10934", str(disk.path / "dest"))
        assert done.status == 1
        assert "has room for" in done.err
        assert names_below(disk.path / "dest") == set()

    with memory_disk(tmp_path / "full", "size=7m") as disk:
        (disk.path / "others").write_bytes(bytes(500_000))
        others = disk.path / "others"
        wanted = ("get", "10934/data/movie.mrc", str(disk.path / "dest"))
        with started(get, *wanted[1:]) as process:
            wait_until(lambda: bytes_so_far(disk.path) > 0 or process.poll() is not None, 30)
            disk.fill()
            said = process.communicate(timeout=60)[1].decode()
        if process.returncode:  # else it was quicker
            assert "No space left" in said
        for path in disk.path.glob("ballast*"):
            path.unlink()
        others.unlink()
        assert get(*wanted).status == 0
        assert (disk.path / "dest/10934/data/movie.mrc").read_bytes() == MOVIE


def test_a_file_that_changes_meanwhile_is_never_mixed(
    get: Commands, server: BrokenServer, tmp_path: Path
) -> None:
    dest = tmp_path / "dest"
    assert get("get", "10934/data/small_0.mrc", str(dest), "-q").status == 0
    fresh = tree.contents(b"a new movie", 6_000_000)
    server.fault(lambda r: reaches(r, 1), Fault.delay(0.1), times=100)
    with started(get, "10934/data/movie.mrc", dest) as process:
        wait_until(lambda: bytes_so_far(dest) > 0 or process.poll() is not None, 30)
        time.sleep(1.1)  # a time of whole seconds tells the versions apart
        server.put("10934/data/movie.mrc", fresh)
        process.communicate(timeout=60)
    server.forget_faults()
    movie = dest / "10934/data/movie.mrc"
    if process.returncode == 0:
        assert movie.read_bytes() == MOVIE
    else:
        assert not movie.exists()
    sums = (dest / "SHA256SUMS").read_text()
    assert hashlib.sha256(MOVIE).hexdigest() in sums or not movie.exists()
