"""Programs that go through all of the archive are named, in real mounts."""

from __future__ import annotations

import subprocess

import pytest

from tests.mount.conftest import Served
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]


def test_who_looks_into_one_entry_is_no_crawl(mount: Mount) -> None:
    mount.run("ls", mount.path)
    mount.run("find", mount.path / "10028", "-type", "f")
    mount.run("bash", "-c", 'ls "$1"; ls "$1/10002" "$1/10005"', "-", mount.path)

    assert mount.status()["crawls"] == []
    assert "crawl" not in mount.log


@pytest.mark.parametrize("words", [("find",), ("du", "-s")])
def test_a_find_at_the_root_is_named_in_the_log_and_by_status(
    served: Served, words: tuple[str, ...]
) -> None:
    with mounted(served.server.url) as mount:
        mount.run(*words, mount.path)
        [crawl] = mount.status()["crawls"]
        shown = mount.command("status", mount.path).stdout
        log = mount.log

    assert (crawl["program"], crawl["entries"], crawl["has_ended"]) == (words[0], 4, True)
    assert crawl["directories"] > 20
    assert f"crawl: {words[0]} (process {crawl['pid']}) goes through all of the archive" in log
    assert f"{words[0]} (process {crawl['pid']}) since " in shown


def test_a_crawl_that_goes_on_stands_below_the_table(served: Served) -> None:
    with mounted(served.server.url) as mount:
        python = (
            "import os, sys\nfor each in os.walk(sys.argv[1]): pass\n"
            "print('done', flush=True)\nsys.stdin.read()\n"
        )
        with subprocess.Popen(
            [mount._python.executable, "-c", python, str(mount.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as walker:
            assert walker.stdout is not None
            assert walker.stdout.readline() == b"done\n"
            shown = mount.command("status").stdout
            walker.communicate()

    assert f"(process {walker.pid}) since " in shown
    assert f"crawl on {mount.path}: python" in shown
