"""Wildcards in a TARGET, on a real Apache, against bash's on the tree that it serves."""

from __future__ import annotations

import subprocess

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands

pytestmark = pytest.mark.apache


@pytest.mark.parametrize(
    "pattern",
    [
        "10017/data/*.dat",
        "10017/*/movies",
        "100[12]7/10017.xml",
        "10028/data/**/*.star",
        "10028/**/level [0-3]",
        "10002/data/m*/*_00?.tif",
    ],
)
def test_a_pattern_stands_for_what_bash_makes_of_it(
    commands: Commands, served: ApacheServer, pattern: str
) -> None:
    script = 'shopt -s globstar nullglob; IFS=; printf "%s\\n" $1'
    done = subprocess.run(
        ["bash", "-c", script, "-", pattern],
        cwd=served.root, capture_output=True, timeout=20, check=True,
    )  # fmt: skip

    found = commands("ls", "-d", f"empiar:{pattern}").lines
    assert [line.rstrip("/").removeprefix("empiar:") for line in found] == (
        done.stdout.decode().splitlines()
    )


def test_only_directories_that_may_lead_there_are_asked_for(
    commands: Commands, served: ApacheServer
) -> None:
    commands("ls", "10028/data")
    mark = served.mark()
    commands("ls", "10028/data/p*/*.star")

    listed = {each.name for each in served.requests_since(mark) if each.method == "GET"}
    # And whether there is one that is called as the pattern is.
    assert listed == {"10028/data/particles", "10028/data/p*"}


def test_files_that_match_are_read_one_after_the_other(
    commands: Commands, served: ApacheServer
) -> None:
    paths = sorted((served.root / "10017/data").glob("a*.dat"))
    done = commands("cat", "EMPIAR-10017/data/a*.dat")

    assert done.out == b"".join(path.read_bytes() for path in paths)
    assert commands("info", "--json", "10017/data/micrographs/*").json[0]["format"] == "MRC"


def test_a_pattern_without_a_match_is_a_line(commands: Commands) -> None:
    for pattern in ("10017/data/*.nothing", "10017/nowhere/*"):
        done = commands("ls", pattern)

        assert (done.status, done.out) == (1, b"")
        assert done.err == (
            f"empiarfs: error: {pattern}: there is no such file or directory in the archive\n"
        )


def test_a_name_with_such_characters_is_meant_as_it_is(commands: Commands) -> None:
    with tree.temporary_root() as root:
        for name in ("[ab].mrc", "a.mrc", "b.mrc"):
            tree.write_file(root / "10099/data" / name, name.encode())
        with ApacheServer(root) as server:
            words = ("cat", "--archive-url", server.url)
            assert commands(*words, "10099/data/[ab].mrc").out == b"[ab].mrc"
            assert commands(*words, "10099/data/[a-b].mrc").out == b"a.mrcb.mrc"
