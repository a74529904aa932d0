"""Commands on paths in a mount: the same place, the same cache, the mount itself untouched."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.mount.conftest import Served
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

NAME = "10017/data/three_blocks.dat"


def test_a_path_in_a_mount_is_listed_as_it_was_spelt(mount: Mount) -> None:
    done = mount.command("ls", mount.path / "10017/data/movies", "--json")

    [found] = json.loads(done.stdout)
    assert found["target"] == f"{mount.path}/10017/data/movies/movie_001.mrcs"
    assert found["path"] == "10017/data/movies/movie_001.mrcs"
    assert found["url"] == f"{mount.archive_url}{found['path']}"
    assert found["size"] == (mount.path / found["path"]).stat().st_size


def test_links_into_a_mount_are_followed(mount: Mount, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(mount.path / "EMPIAR-10017/data")

    done = mount.command("ls", tmp_path / "data/movies")
    assert (done.stdout, done.stderr) == ("movie_001.mrcs\n", "")


def test_a_table_in_a_mount_names_files_in_it(mount: Mount) -> None:
    table = mount.path / "10028/data/particles/particles.star"
    done = mount.command("find", mount.path / "10028/data", "--from-star", table)

    assert done.stdout == f"{mount.path}/10028/data/particles/particles.mrcs\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_mount_has_read_is_not_fetched_again(served: Served) -> None:
    with mounted(served.server.url) as mount:
        expected = (mount.path / NAME).read_bytes()
        mount.remount()  # so that everything has been stored
        mark = served.server.mark()
        done = mount.run(
            "bash", "-c", f'{_empiarfs(mount)} cat "$1" | cmp - "$2"', "-",
            mount.path / NAME, served.root / NAME,
        )  # fmt: skip

        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert served.server.requests_since(mark) == []
        assert len(expected) == (served.root / NAME).stat().st_size


def test_what_was_indexed_costs_the_mount_nothing(served: Served) -> None:
    with mounted(served.server.url) as mount:
        assert mount.command("index", mount.path / "10028", mount.path / "10005").returncode == 0
        mark = served.server.mark()
        found = mount.run("find", mount.path / "10028", "-type", "f", "-printf", "%P %s\n")
        mount.run("du", "-s", mount.path / "10005")
        listed = mount.run("ls", "-lR", mount.path / "10005", mount.path / "10028")

        assert served.server.requests_since(mark) == []
    files = [path for path in (served.root / "10028").rglob("*") if path.is_file()]
    below = served.root / "10028"
    expected = {f"{path.relative_to(below)} {path.stat().st_size}".encode() for path in files}
    assert set(found.stdout.splitlines()) == expected
    assert listed.returncode == 0


def test_a_mount_of_one_entry_is_understood(served: Served) -> None:
    with mounted(served.server.url) as mount:
        mount.umount()
        point = mount.path
        options = f"archive_url={served.server.url},cache_dir={mount.cache_dir}"
        assert mount.command("empiar:10017", point, "-o", options).returncode == 0
        done = mount.command("ls", "--json", point / "data/movies", point)
        assert mount.command("umount", point).returncode == 0

    assert [found["path"] for found in json.loads(done.stdout)] == [
        "10017/data/movies/movie_001.mrcs",
        "10017/10017.xml",
        "10017/data",
    ]


def test_a_mount_that_hangs_is_one_line_and_holds_nobody_up(served: Served) -> None:
    with mounted(served.server.url) as mount:
        os.kill(mount.pid, signal.SIGSTOP)
        try:
            done = mount.command("ls", mount.path / "10017", timeout_s=20)
        finally:
            os.kill(mount.pid, signal.SIGCONT)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("empiarfs: error: the daemon of ")


def test_a_path_in_no_mount_is_wrong_usage(mount: Mount, tmp_path: Path) -> None:
    done = mount.command("cat", tmp_path / "x")

    assert (done.returncode, done.stdout) == (2, "")
    assert "nor a path in a mount of yours" in done.stderr


def _empiarfs(mount: Mount) -> str:
    return f"{mount._python.executable} -m empiarfs"
