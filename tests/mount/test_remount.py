"""What was seen stays: over a remount without a request, and while the archive is away."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

SEEN = "10017/data/three_blocks.dat"
NOT_SEEN = "10028/data/sizes/10433536"


@pytest.fixture
def server(root: Path) -> Iterator[ApacheServer]:
    tree.make_entries(root)
    tree.set_times(root)
    with ApacheServer(root) as started:
        yield started


def long_listing(mount: Mount) -> bytes:
    done = mount.run("ls", "-lR", "--time-style=full-iso", "--inode", mount.path)

    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def test_a_remount_lists_everything_without_a_request(served: Served) -> None:
    with mounted(served.server.url) as mount:
        before = long_listing(mount)
        mark = served.server.mark()
        mount.remount()

        assert long_listing(mount) == before
        assert served.server.requests_since(mark) == []


def test_a_remount_reads_what_was_read_without_a_request(served: Served) -> None:
    with mounted(served.server.url) as mount:
        before = (mount.path / SEEN).read_bytes()
        mark = served.server.mark()
        mount.remount()

        assert (mount.path / SEEN).read_bytes() == before
        assert served.server.requests_since(mark) == []


def test_what_was_seen_is_there_while_the_archive_is_away(
    root: Path, server: ApacheServer
) -> None:
    with mounted(server.url, options=["wait=2s"]) as mount:
        mount.warnings_expected = True
        before = long_listing(mount)
        (mount.path / SEEN).read_bytes()
        server.stop()
        mount.remount()

        assert long_listing(mount) == before
        assert (mount.path / SEEN).read_bytes() == (root / SEEN).read_bytes()


def test_what_was_not_seen_is_an_error_and_never_absent_while_the_archive_is_away(
    server: ApacheServer,
) -> None:
    with mounted(server.url, options=["wait=2s"]) as mount:
        mount.warnings_expected = True
        os.listdir(mount.path)
        server.stop()

        with pytest.raises(OSError, match="10017") as caught:
            os.listdir(mount.path / "10017")
        assert caught.value.errno in {errno.EIO, errno.EHOSTUNREACH, errno.ETIMEDOUT}


def test_many_look_ups_fail_fast_while_the_archive_is_away(server: ApacheServer) -> None:
    with mounted(server.url, options=["wait=2s"]) as mount:
        mount.warnings_expected = True
        os.listdir(mount.path)
        server.stop()
        for _ in range(3):
            with pytest.raises(OSError, match="10017"):
                os.listdir(mount.path / "10017")

        started = time.monotonic()
        for number in range(100):
            with pytest.raises(OSError, match="9"):
                os.stat(mount.path / f"10028/{number}9")

        assert time.monotonic() - started < 5


def test_a_read_that_waits_goes_on_when_the_archive_is_back(
    root: Path, server: ApacheServer
) -> None:
    with mounted(server.url, options=["wait=60s"]) as mount:
        mount.warnings_expected = True
        (mount.path / NOT_SEEN).stat()
        server.stop()
        script = f"(sleep 2; echo up) & md5sum < {NOT_SEEN}"
        reader = mount.start("bash", "-c", script)
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"up\n"
        server.start()
        printed, _ = reader.communicate(timeout=60)
        expected = mount.run("md5sum", root / NOT_SEEN).stdout.split()[0]

    assert printed.split()[0] == expected


def test_a_read_that_waits_too_long_fails(server: ApacheServer) -> None:
    with mounted(server.url, options=["wait=2s"]) as mount:
        mount.warnings_expected = True
        (mount.path / NOT_SEEN).stat()
        server.stop()

        started = time.monotonic()
        with pytest.raises(OSError, match="Input/output error"):
            (mount.path / NOT_SEEN).read_bytes()

        assert time.monotonic() - started < 20
