"""`.empiar/preview.png` in real mounts: who has it made, by what, and what becomes of that."""

from __future__ import annotations

import io
import mmap
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy
import pytest
from PIL import Image

from empiarfs.config import Config
from empiarfs.errors import EmpiarFSError, InterruptedCallError
from empiarfs.mount.sheets import ChildSheets
from tests.mount.test_variants import require_library
from tests.support import mounts, pictures, tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer, Fault
from tests.support.mounts import Mount, mounted
from tests.support.waiting import wait_until

NOTES = "10934/.empiar"
SHEET = f"{NOTES}/preview.png"
NO_API = "api_url=http://127.0.0.1:9/"


@dataclass
class Child:
    """The process that makes a sheet.

    Attributes:
        pid: Its number.
        words: Its command line.
    """

    pid: int
    words: list[str]


def children(cache_dir: Path) -> list[Child]:
    """Return the processes that make sheets for whoever has this cache."""
    wanted = f"EMPIARFS_CACHE_DIR={cache_dir}".encode()
    found = []
    for pid, words in mounts.command_lines():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if b"preview" in words and wanted in environment:
            found.append(Child(pid, [word.decode() for word in words]))
    return found


def is_sheet(data: bytes) -> bool:
    """Tell whether these bytes are a picture, wholly, with something in it."""
    with Image.open(io.BytesIO(data)) as image:
        return image.format == "PNG" and float(numpy.asarray(image).std()) > 1


@pytest.fixture(scope="module")
def archive() -> Iterator[ApacheServer]:
    with tree.temporary_root() as root:
        pictures.make_images(root)
        tree.write_file(root / "10017/data/particles.star", b"data_\n")
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield server


@pytest.mark.fuse
@pytest.mark.apache
@pytest.mark.parametrize("libfuse", [2, 3])
def test_only_who_opens_it_has_it_made_and_then_it_is_a_file_like_others(
    archive: ApacheServer, tmp_path: Path, libfuse: Literal[2, 3]
) -> None:
    require_library(libfuse)
    with mounted(archive.url, options=[NO_API, "metadata=visible"], libfuse=libfuse) as mount:
        mount.expect_log("the archive can't be reached")  # its API, of which `ls -l` has asked
        sheet = mount.path / SHEET
        mount.run("ls", "-la", mount.path / NOTES)
        mount.run("find", mount.path / NOTES, "-name", "*.png", "-size", "+1k")
        assert mount.run("file", "-b", sheet).stdout == b"empty\n"
        assert sheet.stat().st_size == 0
        assert children(mount.cache_dir) == []
        assert "contact sheet" not in mount.log

        if libfuse == 2:
            mount.run("cp", sheet, tmp_path / "first.png")
            data = (tmp_path / "first.png").read_bytes()
        else:
            with sheet.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read()
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    assert mapped[:] == data
            assert size == len(data)
        assert is_sheet(data)
        assert mount.log.count("made the contact sheet of EMPIAR-10934") == 1
        # libfuse 2 can't tell the kernel, which believes what it was told for a second.
        wait_until(lambda: sheet.stat().st_size == len(data), 60)
        mark = archive.mark()
        assert mount.run("file", "-b", sheet).stdout.startswith(b"PNG image data")
        mount.run("cp", sheet, tmp_path / "copied.png")
        mount.run("rsync", sheet, tmp_path / "synchronised.png")
        assert {path.read_bytes() for path in tmp_path.glob("*.png")} == {data}
        assert archive.requests_since(mark) == []
        assert mount.log.count("made the contact sheet") == 1


@pytest.mark.fuse
@pytest.mark.apache
def test_an_entry_without_images_has_an_error_that_says_so(archive: ApacheServer) -> None:
    with mounted(archive.url, options=[NO_API]) as mount:
        mount.expect_log("no file that may hold images")
        done = mount.run("cat", mount.path / "10017/.empiar/preview.png")
        assert done.returncode == 1
        assert b"Input/output error" in done.stderr
        said = mount.command("status", "--errors", mount.path).stdout
        assert "10017/.empiar/preview.png" in said
        assert "no contact sheet: EMPIAR-10017: no file that may hold images" in said


@pytest.fixture
def stalled() -> Iterator[BrokenServer]:
    """Serve an image whose bytes never come."""
    with BrokenServer() as server:
        server.put("10934/data/x.mrc", bytes(200_000))
        server.fault(
            lambda request: request.method == "GET" and request.path.endswith("x.mrc"),
            Fault.silence(),
            times=10**6,
        )
        yield server


@contextmanager
def opened_by_a_reader(mount: Mount) -> Iterator[tuple[subprocess.Popen[bytes], Child]]:
    """Start a program that opens the sheet, and lend it and the process that makes that."""
    reader = mount.start("cat", mount.path / SHEET)
    try:
        yield reader, child_of(mount.cache_dir)
    finally:
        reader.kill()
        reader.communicate(timeout=60)


def child_of(cache_dir: Path) -> Child:
    """Return the process that makes a sheet, once it has its last shape, that of a command."""
    found: list[Child] = []

    def is_there() -> bool:
        found[:] = [each for each in children(cache_dir) if each.words[2] == "empiarfs"]
        return bool(found)

    wait_until(is_there, 60)
    return found[0]


@pytest.mark.fuse
def test_it_is_made_by_a_program_behind_all_others_and_nothing_else_waits(
    stalled: BrokenServer,
) -> None:
    with mounted(stalled.url, options=[NO_API, "limit_rate=50M"]) as mount:
        mount.expect_log("preview.png|x.mrc|contact sheet")
        with opened_by_a_reader(mount) as (_, child):
            look_at(Path(f"/proc/{child.pid}"), child, mount, stalled)
            assert mount.run("ls", mount.path / "10934/data").stdout == b"x.mrc\n"
            assert mount.run("stat", "-c", "%s", mount.path / SHEET).stdout == b"0\n"


def look_at(process: Path, child: Child, mount: Mount, server: BrokenServer) -> None:
    """Compare what the kernel says of a process that makes a sheet with what it should be."""
    assert child.words[1:5] == ["-m", "empiarfs", "preview", "EMPIAR-10934"]
    fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
    assert int(fields[1]) == mount.pid
    assert int(fields[16]) == min(19, os.nice(0) + 10)
    lines = (process / "status").read_text().splitlines()
    blocked = [int(line.split()[1], 16) for line in lines if line.startswith("SigBlk")]
    assert [each & 1 << (signal.SIGTERM - 1) for each in blocked] == [0]
    settings = (process / "environ").read_bytes().split(b"\0")
    assert f"EMPIARFS_ARCHIVE_URL={server.url}".encode() in settings
    assert b"EMPIARFS_LIMIT_RATE=52428800" in settings


@pytest.mark.fuse
def test_a_daemon_that_is_killed_leaves_no_program_behind(stalled: BrokenServer) -> None:
    with mounted(stalled.url, options=[NO_API]) as mount:
        mount.expect_log("preview.png|x.mrc|contact sheet")
        with opened_by_a_reader(mount) as (_, child):
            # So that it can't end by itself.
            os.kill(child.pid, signal.SIGSTOP)
            os.kill(mount.pid, signal.SIGKILL)
            wait_until(lambda: children(mount.cache_dir) == [], 60)


@pytest.mark.fuse
def test_who_is_killed_while_it_is_made_ends_at_once_and_the_making_with_it(
    stalled: BrokenServer,
) -> None:
    with mounted(stalled.url, options=[NO_API]) as mount:
        mount.expect_log("preview.png|x.mrc|contact sheet")
        with opened_by_a_reader(mount) as (reader, child):
            os.kill(child.pid, signal.SIGSTOP)
            reader.terminate()
            assert reader.wait(60) == -signal.SIGTERM
            wait_until(lambda: children(mount.cache_dir) == [], 60)
        assert mount.run("ls", mount.path).returncode == 0


def sheets_of(server: BrokenServer, cache_dir: Path, longest_s: float) -> ChildSheets:
    config = Config(archive_url=server.url, api_url="http://127.0.0.1:9/", daemon=False)
    return ChildSheets(config, cache_dir, os.environ, longest_s)


def test_what_takes_too_long_is_ended(stalled: BrokenServer, tmp_path: Path) -> None:
    sheets = sheets_of(stalled, tmp_path / "cache", 0.5)
    with pytest.raises(EmpiarFSError, match="no contact sheet within"):
        sheets.sheet(10934)

    assert children(tmp_path / "cache") == []


def test_to_close_ends_the_program(stalled: BrokenServer, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    sheets = sheets_of(stalled, cache, 600.0)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(sheets.sheet, 10934)
        os.kill(child_of(cache).pid, signal.SIGSTOP)
        sheets.close()

        assert isinstance(made.exception(), InterruptedCallError)
    assert children(cache) == []
    with pytest.raises(InterruptedCallError):
        sheets.sheet(10934)
