"""`empiarfs du` and `tree`, on a real Apache, against the local tree that it serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.apache import ApacheServer
from tests.support.commands import Commands

pytestmark = pytest.mark.apache


def size_of(folder: Path) -> tuple[int, int]:
    """Return the bytes and the number of the files below a directory."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(sizes), len(sizes)


def test_sums_are_exact(commands: Commands, served: ApacheServer) -> None:
    found = commands("du", "--json", "10017", "10028/data/many", "10017/10017.xml").json

    sizes = [size_of(served.root / path) for path in ("10017", "10028/data/many")]
    assert [(each["size"], each["files"]) for each in found[:2]] == sizes
    assert (found[2]["size"], found[2]["files"]) == (164, 1)


def test_directories_below_have_their_own_sums(commands: Commands, served: ApacheServer) -> None:
    found = commands("du", "--json", "-d", "2", "EMPIAR-10028").json

    expected = {
        path: size_of(served.root / path)
        for path in (
            "10028", "10028/data", "10028/data/many", "10028/data/particles", "10028/data/sizes",
            "10028/data/level 0", "10028/data/empty directory",
        )
    }  # fmt: skip
    assert {each["path"]: (each["size"], each["files"]) for each in found} == expected
    assert found[-1]["target"] == "EMPIAR-10028/"


def test_an_estimate_needs_no_sizes_and_holds_the_true_sum(
    commands: Commands, served: ApacheServer
) -> None:
    mark = served.mark()
    [found] = commands("du", "--json", "--estimate", "10028").json
    line = commands("du", "--estimate", "10028").lines[0]

    assert {each.method for each in served.requests_since(mark)} == {"GET"}
    assert found["size_low"] < size_of(served.root / "10028")[0] < found["size_high"]
    assert " ± " in line


def test_lines_are_for_people_or_exact(commands: Commands) -> None:
    assert commands("du", "10017/10017.xml").lines == [
        "           164 B          1 file  10017/10017.xml"
    ]
    assert commands("du", "-b", "10017/data/three_blocks.dat").lines[0].split()[:2] == [
        "3158073",
        "B",
    ]


def test_only_what_is_chosen_is_counted(commands: Commands, served: ApacheServer) -> None:
    [found] = commands("du", "--json", "--name", "*.mrc*", "10017").json
    true = [path.stat().st_size for path in (served.root / "10017").rglob("*.mrc*")]

    assert (found["size"], found["files"]) == (sum(true), len(true))


def test_sums_can_be_sorted(commands: Commands) -> None:
    lines = commands("du", "-b", "-d", "1", "--sort", "size", "-r", "10028/data").lines
    sizes = [int(line.split()[0]) for line in lines]

    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    assert sizes[-1] == sum(sizes[:-1])


def test_a_tree_shows_what_lies_below_in_order(commands: Commands) -> None:
    done = commands("tree", "10017", "--name", "*.mrc*")

    assert (done.status, done.err) == (0, "")
    assert done.lines == [
        "10017/",
        "└── data/",
        "    ├── Falcon_2012_06_12-14_33_35_0.mrc",
        "    ├── Falcon_2012_06_12-14_57_34_0.mrc",
        "    ├── micrographs/",
        "    │   └── Falcon_001.mrc",
        "    └── movies/",
        "        └── movie_001.mrcs",
        "",
        "3 directories, 4 files",
    ]


def test_a_tree_ends_where_it_is_told_to(commands: Commands, served: ApacheServer) -> None:
    mark = served.mark()
    done = commands("tree", "10028", "-L", "2", "--type", "d")

    assert done.lines[:3] == ["10028/", "└── data/", "    ├── empty directory/"]
    assert "level 1" not in done.out.decode()
    asked = {each.name for each in served.requests_since(mark)}
    assert not [path for path in asked if path.startswith("10028/data/")]


def test_a_tree_has_sizes_if_wanted(commands: Commands, served: ApacheServer) -> None:
    lines = commands("tree", "-l", "10028/data/sizes", "--sort", "size").lines
    found = commands("tree", "--json", "10028/data/sizes", "--sort", "size").json

    assert lines[1] == "├── [-            972 2022-02-07 23:38:07]  972" or lines[1].endswith(
        "  972"
    )
    assert [each["path"].rpartition("/")[2] for each in found] == [
        str(size) for size in sorted(each["size"] for each in found)
    ]


def test_a_tree_of_files_only_is_wrong_usage(commands: Commands) -> None:
    assert commands("tree", "--type", "f", "10017").status == 2
