"""Mounts with local copies below: one tree, of the archive's names and sizes."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support import tree
from tests.support.broken_server import BrokenServer
from tests.support.disks import faulty_disk
from tests.support.local_copies import put, wait_for_rest
from tests.support.mounts import mounted

pytestmark = pytest.mark.fuse

NAMES = [f"10934/data/movie_{number}.mrc" for number in range(6)]
FILES = {name: tree.contents(name.encode(), 400_000) for name in NAMES}
HERE, SHORT, LONG, OTHER, LINK, AWAY = NAMES


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """A directory with a copy that fits, and others that don't."""
    folder = tmp_path / "copies"
    put(folder / HERE, FILES[HERE])
    put(folder / SHORT, FILES[SHORT][:399_999])
    put(folder / LONG, FILES[LONG] + b"!")
    put(folder / OTHER, bytes(len(FILES[OTHER])))
    put(tmp_path / "elsewhere", FILES[LINK])
    (folder / LINK).symlink_to(tmp_path / "elsewhere")
    wait_for_rest(tmp_path)
    return folder


def gets(server: BrokenServer, since: int = 0) -> set[str]:
    """The files whose bytes were asked for."""
    return {
        request.path.removeprefix("/")
        for request in server.requests[since:]
        if request.method == "GET" and request.path.endswith(".mrc")
    }


def paths_asked_for(server: BrokenServer) -> set[str]:
    return {name for name in NAMES if any(path.endswith(name) for path in gets(server))}


def test_files_that_fit_are_local_and_the_rest_is_the_archives(
    server: BrokenServer, copies: Path
) -> None:
    with mounted(server.url, options=[f"local={copies}", "local_verify=sample"]) as mount:
        mount.expect_log("is not used, the archive's file is")
        assert f"copies:     {copies} (verify: sample)" in mount.output
        assert sorted(os.listdir(mount.path / "10934/data")) == [Path(n).name for n in NAMES]
        for name in NAMES:
            assert (mount.path / name).read_bytes() == FILES[name], name
        status = mount.status()

        assert paths_asked_for(server) == set(NAMES)  # a sample, at least
        assert status["counters"]["local_files"] == 1
        assert status["counters"]["local_bytes"] == len(FILES[HERE])
        [directory] = status["local"]["directories"]
        assert directory["directory"] == str(copies)
        assert directory["unwell"] is None
        assert directory["refused"] == {"short": 1, "long": 1, "different": 1, "no file": 1}
        shown = mount.command("status", mount.path).stdout
        assert "1 files, 400 KB read (verify: sample)" in shown
        assert f"{SHORT}: it has 399999 bytes instead of 400000" in shown


def test_by_name_and_size_no_byte_of_a_file_is_asked_for(
    server: BrokenServer, tmp_path: Path
) -> None:
    for name in NAMES[:3]:
        put(tmp_path / "a" / name, FILES[name])
    for name in NAMES[3:5]:
        put(tmp_path / "b/EMPIAR-10934" / name.partition("/")[2], FILES[name])
    wait_for_rest(tmp_path)

    with mounted(server.url, options=[f"local={tmp_path}/a", f"local={tmp_path}/b"]) as mount:
        done = mount.run("sh", "-c", f"cat {mount.path}/10934/data/*.mrc")
        assert done.stdout == b"".join(FILES[name] for name in NAMES)
        assert paths_asked_for(server) == {AWAY}
        assert (mount.path / HERE).stat().st_mtime != put(tmp_path / "x", b"").stat().st_mtime
        assert mount.status()["counters"]["local_files"] == 5


def test_without_the_archive_what_is_known_is_read(server: BrokenServer, tmp_path: Path) -> None:
    put(tmp_path / "copies" / HERE, FILES[HERE])
    wait_for_rest(tmp_path)
    with mounted(server.url, cache_dir=tmp_path / "cache") as mount:
        assert len(mount.run("ls", "-l", mount.path / "10934/data").stdout.splitlines()) == 7
    before = len(server.requests)

    options = [f"local={tmp_path}/copies", "lookup_wait=5s", "wait=5s"]
    with mounted(server.url, cache_dir=tmp_path / "cache", options=options) as mount:
        assert (mount.path / HERE).read_bytes() == FILES[HERE]
        assert gets(server, before) == set()
        assert len(server.requests) == before
        server.stop()
        assert mount.run("cat", mount.path / HERE).stdout == FILES[HERE]


def test_a_disk_that_hangs_is_said_once_and_the_archive_is_read(
    server: BrokenServer, tmp_path: Path
) -> None:
    with faulty_disk(tmp_path) as disk:
        for name in NAMES:
            put(disk.behind / name, FILES[name])
        wait_for_rest(disk.behind)
        with mounted(server.url, options=[f"local={disk.path}"]) as mount:
            assert mount.run("head", "-c", "9", mount.path / HERE).stdout == FILES[HERE][:9]
            assert paths_asked_for(server) == set()
            mount.expect_log("reading local copies in .* (fails|works again)")
            disk.hang()

            script = f"cat {mount.path}/10934/data/*.mrc"
            assert mount.run("sh", "-c", script).stdout == b"".join(FILES.values())
            assert len([line for line in mount.complaints() if "local copies" in line]) == 1
            assert "no answer within" in mount.command("status", mount.path).stdout
            disk.wake()


def test_a_directory_that_is_not_there_is_noted_and_the_archive_is_read(
    server: BrokenServer, tmp_path: Path
) -> None:
    with mounted(server.url, options=[f"local={tmp_path}/later"]) as mount:
        mount.expect_log("reading local copies in")
        assert f"reading local copies in {tmp_path}/later fails" in mount.output
        assert "No such file or directory" in mount.output
        assert (mount.path / HERE).read_bytes() == FILES[HERE]


def test_a_mount_point_among_the_copies_is_refused(server: BrokenServer, tmp_path: Path) -> None:
    with mounted(server.url) as mount:
        mount.umount()
        (tmp_path / "link").symlink_to(mount.path.parent)
        above = mount.path.parent
        for local in (above, mount.path, mount.path / "inside", tmp_path / "link"):
            done = mount.command("mount", mount.path, "-o", f"local={local}")

            assert done.returncode == 1
            assert "lie in each other" in done.stderr
            assert len(done.stderr.splitlines()) == 2
            assert not mount.is_mounted


def test_copies_in_a_mount_of_ours_are_not_read(server: BrokenServer) -> None:
    with mounted(server.url) as below:
        (below.path / HERE).read_bytes()
        with mounted(server.url, options=[f"local={below.path}"]) as mount:
            mount.expect_log("lies in a mount of empiarfs")
            assert "it lies in a mount of empiarfs" in mount.output
            assert (mount.path / HERE).read_bytes() == FILES[HERE]
            assert mount.status()["counters"]["local_bytes"] == 0


def fetched_since(served: Served, mark: int) -> list[str]:
    """The files whose bytes were asked for since a mark."""
    requests = served.server.requests_since(mark)
    return [each.path for each in requests if each.method == "GET" and each.status == 206]


@pytest.mark.apache
def test_what_wget_has_made_is_found(served: Served, tmp_path: Path) -> None:
    if shutil.which("wget") is None:
        pytest.skip("wget is missing")
    wget = ["wget", "-q", "-r", "-np", "-e", "robots=off", "-R", "index.html*"]
    url = f"{served.server.url}10017/"
    subprocess.run([*wget, "-P", str(tmp_path), url], check=False, timeout=60)
    wait_for_rest(tmp_path)
    originals = served.root / "10017"
    mark = served.server.mark()

    with mounted(served.server.url, options=[f"local={tmp_path}"]) as mount:
        assert tree.differences(originals, mount.path / "10017") == []
        counters = mount.status()["counters"]
    assert counters["local_files"] == len([p for p in originals.rglob("*.*") if p.stat().st_size])
    assert fetched_since(served, mark) == []


@pytest.mark.apache
def test_names_are_found_whatever_their_bytes_are(served: Served) -> None:
    mark = served.server.mark()

    with mounted(served.server.url, options=[f"local={served.root}"]) as mount:
        assert tree.differences(served.root / "10005", mount.path / "10005") == []
    assert fetched_since(served, mark) == []


@pytest.mark.apache
def test_what_get_has_copied_is_found(served: Served, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    with mounted(served.server.url) as mount:
        assert mount.command("get", "10017", copies, "--archive-url", mount.archive_url,
                             "--cache-dir", mount.cache_dir).returncode == 0  # fmt: skip
    wait_for_rest(copies)
    mark = served.server.mark()

    with mounted(served.server.url, options=[f"local={copies}"]) as mount:
        assert tree.differences(served.root / "10017", mount.path / "10017") == []
    assert fetched_since(served, mark) == []
