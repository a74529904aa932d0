"""`empiarfs find`, on a real Apache, against the local tree that it serves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands

pytestmark = pytest.mark.apache


def below(served: ApacheServer, target: str) -> dict[str, Path]:
    """Return what lies below a directory, by path below the archive's root."""
    return {str(path.relative_to(served.root)): path for path in (served.root / target).rglob("*")}


def paths(lines: list[str]) -> list[str]:
    return sorted(line.rstrip("/") for line in lines)


def test_everything_below_is_found(commands: Commands, served: ApacheServer) -> None:
    done = commands("find", "10028", "10017/data")

    expected = below(served, "10028") | below(served, "10017/data")
    assert (done.status, done.err) == (0, "")
    assert paths(done.lines) == sorted(expected)
    for line in done.lines:
        assert line.endswith("/") == (served.root / line).is_dir()


def test_odd_names_survive(commands: Commands, served: ApacheServer) -> None:
    done = commands("find", "-0", "10005")

    found = {line.rstrip(b"/") for line in done.out.split(b"\0")[:-1]}
    assert found == {os.fsencode(path) for path in below(served, "10005")}


@pytest.mark.parametrize(
    ("words", "real"),
    [
        (["--name", "*.mrc*"], ["-name", "*.mrc*"]),
        (["-name", "*.MRC", "-i"], ["-iname", "*.MRC"]),
        (["--name", "[0-9]*", "--type", "f"], ["-name", "[0-9]*", "-type", "f"]),
        (["--type", "d"], ["-type", "d"]),
        (["--size", "+1M"], ["-type", "f", "-size", "+1048576c"]),
        (["--size=-1000", "-type", "f"], ["-type", "f", "-size", "-1000c"]),
        (["--size", "1024"], ["-type", "f", "-size", "1024c"]),
        (["--size", "1000..1025"], ["-type", "f", "-size", "+999c", "-size", "-1026c"]),
        (["-L", "1"], ["-maxdepth", "1"]),
        (["--max-depth", "3", "--name", "*.star"], ["-maxdepth", "3", "-name", "*.star"]),
        (["--newer", "2022-02-08T02:00:00Z", "--type", "f"],
         ["-type", "f", "-newermt", "2022-02-08 02:00:00 UTC"]),
        (["--regex", r"level \d+/deep"], ["-regex", ".*level [0-9]+/deep.*"]),
    ],
)  # fmt: skip
def test_what_is_found_is_what_find_finds(
    commands: Commands, served: ApacheServer, words: list[str], real: list[str]
) -> None:
    done = subprocess.run(
        ["find", "10017", "10028", "-mindepth", "1", *real],
        cwd=served.root,
        capture_output=True,
        timeout=20,
        check=True,
    )

    assert paths(commands("find", *words, "10017", "10028").lines) == sorted(
        done.stdout.decode().splitlines()
    )
    assert done.stdout


def test_a_glob_with_a_slash_is_for_the_path_below_the_target(commands: Commands) -> None:
    def found(glob: str, target: str = "10028") -> list[str]:
        return commands("find", "--name", glob, target).lines

    assert found("data/*/*.star") == ["10028/data/particles/particles.star"]
    assert found("**/*.star") == ["10028/data/particles/particles.star"]
    assert found("*.star", "10028/data") == ["10028/data/particles/particles.star"]
    assert found("data/**/level 11/*")[0].endswith("/level 11/deep.dat")


def test_rules_count_in_the_order_in_which_they_are_given(
    commands: Commands, served: ApacheServer
) -> None:
    for words in (
        ["--include", "*.star", "--include=*/", "--exclude", "*"],
        ["--exclude", "/data/many", "--include", "m*", "--exclude", "level*/"],
        ["--include=/data/", "--include=/data/sizes/***", "--exclude=*"],
        ["--exclude=*.star", "--include=*.star"],
    ):
        done = subprocess.run(
            ["rsync", "-r", "-n", "--out-format=%n", *words, f"{served.root}/10028/", "/nowhere/"],
            capture_output=True,
            timeout=20,
            check=True,
        )
        kept = [line for line in done.stdout.decode().splitlines() if line != "./"]

        found = [line.removeprefix("10028/") for line in commands("find", "10028", *words).lines]
        assert sorted(found) == sorted(line for line in kept if "created" not in line)


def test_an_excluded_directory_is_not_even_asked_for(
    commands: Commands, served: ApacheServer
) -> None:
    mark = served.mark()
    commands("find", "10028", "--exclude", "level*", "--exclude", "many")

    asked = {each.name for each in served.requests_since(mark)}
    assert not [path for path in asked if "level" in path or "many" in path]


def test_names_alone_cost_one_request_for_a_directory(
    commands: Commands, served: ApacheServer
) -> None:
    mark = served.mark()
    commands("find", "10028")

    directories = 1 + sum(path.is_dir() for path in below(served, "10028").values())
    requests = served.requests_since(mark)
    # The root and the entry's listing are looked at to find the target.
    assert len(requests) <= directories + 2
    assert {each.method for each in requests} == {"GET"}


def test_a_size_is_asked_for_only_where_the_listing_leaves_it_open(
    commands: Commands, served: ApacheServer
) -> None:
    mark = served.mark()
    done = commands("find", "10028/data/sizes", "--size", "+1024")

    # 1.0K may be 1023, 1024, 1025 or 1075 bytes; all others are told by their row.
    heads = [each for each in served.requests_since(mark) if each.method == "HEAD"]
    assert {each.name.rpartition("/")[2] for each in heads} == {
        "1023",
        "1024",
        "1025",
        "973",
        "1075",
    }
    assert len(done.lines) == 6


def test_what_is_found_can_be_sorted_and_shown_in_each_form(
    commands: Commands, served: ApacheServer
) -> None:
    words = ("find", "10028", "--type", "f", "--name", "[0-9]*", "--sort", "size")
    sizes = [item["size"] for item in commands(*words, "--json").json]
    urls = commands(*words, "--url").lines
    long = commands(*words, "-l", "-r").lines

    assert sizes == sorted(sizes)
    assert len(sizes) == len(urls) == len(long) == 11
    assert urls[0].startswith(f"{served.url}10028/")
    assert [int(line.split()[1]) for line in long] == sizes[::-1]


def test_what_is_found_can_be_given_to_a_command_again(commands: Commands) -> None:
    for target in ("EMPIAR-10005", f"{commands.url}10005/data", "empiar:10005"):
        names = commands("find", "-0", "--type", "f", "--size", "100..400", target).out
        words = [os.fsdecode(name) for name in names.split(b"\0")[:-1]]

        assert words
        assert commands("head", "-q", "-c", "1", *words).status == 0


def test_a_directory_that_can_not_be_read_is_a_line_and_the_rest_is_found(
    commands: Commands, expects_warnings: object
) -> None:
    with tree.temporary_root() as root:
        for path in ("10099/data/a/x", "10099/data/closed/x", "10099/data/z/x"):
            tree.write_file(root / path, b"x")
        (root / "10099/data/closed").chmod(0)
        with ApacheServer(root) as server:
            done = commands("find", "--archive-url", server.url, "10099/data")
            drawn = commands("tree", "--archive-url", server.url, "10099/data")
            counted = commands("du", "--archive-url", server.url, "10099/data")

    assert done.status == drawn.status == counted.status == 1
    assert paths(done.lines) == [
        "10099/data/a", "10099/data/a/x", "10099/data/closed", "10099/data/z", "10099/data/z/x",
    ]  # fmt: skip
    for each in (done, drawn, counted):
        assert len(each.err.splitlines()) == 1
        assert each.err.startswith("empiarfs: error: 10099/data/closed/: ")
    assert counted.lines == ["             2 B         2 files  10099/data/"]
    assert drawn.lines[-1] == "3 directories, 2 files"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "missing argument 'TARGET...'"),
        (["10017", "--regex", "["], "--regex: "),
        (["10017", "--size", "x"], "'x' is no size"),
        (["10017", "--newer", "x"], "--newer: 'x' is no time"),
        (["10017", "--exclude", ""], "empty pattern"),
        (["10017", "-r"], "--reverse goes with --sort"),
        (["10017", "--max-depth", "0"], "--max-depth"),
    ],
)
def test_wrong_usage_is_one_line(commands: Commands, words: list[str], said: str) -> None:
    done = commands("find", *words)

    assert (done.status, done.out) == (2, b"")
    assert said in done.err.splitlines()[0]


def test_who_reads_only_the_beginning_ends_it_quietly(commands: Commands) -> None:
    done = commands.in_shell("empiarfs find 10028 | head -n 1")

    assert (done.stdout, done.stderr) == (b"10028/10028.xml\n", b"")
