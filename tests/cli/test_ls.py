"""`empiarfs ls`, on a real Apache."""

from __future__ import annotations

import calendar
import os
import re
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.clocks import MovedClock
from tests.support.commands import Commands
from tests.support.tree import ODD_NAMES

pytestmark = pytest.mark.apache


def test_an_entry_is_listed_under_each_of_its_names(commands: Commands) -> None:
    for target in ("10017", "EMPIAR-10017", "empiar:10017/", f"{commands.url}10017"):
        done = commands("ls", target)

        assert (done.status, done.lines, done.err) == (0, ["10017.xml", "data/"], "")


def test_without_a_target_the_entries_are_listed(commands: Commands) -> None:
    assert commands("ls").lines == ["10002/", "10005/", "10017/", "10028/"]


def test_long_lines_have_the_exact_size_and_time(commands: Commands, served: ApacheServer) -> None:
    for line in commands("ls", "-l", "10017/data").lines:
        kind, size, day, clock, name = line.split(maxsplit=4)
        true = os.stat(served.root / "10017/data" / name)
        seconds = calendar.timegm(time.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S"))

        assert kind == ("d" if name.endswith("/") else "-")
        assert size == ("-" if kind == "d" else str(true.st_size))
        assert seconds == (int(true.st_mtime) // 60 * 60 if kind == "d" else true.st_mtime)


def test_names_are_the_bytes_that_the_archive_has(commands: Commands) -> None:
    done = commands("ls", "-0", "10005/data/files")

    assert sorted(done.out.split(b"\0")[:-1]) == sorted(ODD_NAMES)


def test_urls_lead_to_the_files(commands: Commands, served: ApacheServer) -> None:
    urls = commands("ls", "--url", "--sort", "none", "10005/data/files").lines

    sizes = []
    for url in urls:
        with urlopen(url, timeout=20) as answer:
            sizes.append(len(answer.read()))
    folder = os.fsencode(served.root / "10005/data/files")
    assert sorted(sizes) == sorted(os.stat(folder + b"/" + n).st_size for n in os.listdir(folder))


def test_urls_for_ftp_have_the_same_paths(commands: Commands) -> None:
    http, ftp = (commands("ls", form, "10017").lines for form in ("--url", "--ftp-url"))

    assert [url.partition("/empiar/")[2] for url in ftp] == [
        url.partition("/empiar/")[2] for url in http
    ]
    assert all(url.startswith("ftp://127.0.0.1/empiar/") for url in ftp)


def test_json_has_all_that_is_known_and_survives_any_name(
    commands: Commands, served: ApacheServer
) -> None:
    found = commands("ls", "--json", "EMPIAR-10005/data/files").json

    names = {os.fsencode(item["path"].rpartition("/")[2]): item for item in found}
    assert set(names) == set(ODD_NAMES)
    for name, item in names.items():
        true = os.stat(os.fsencode(served.root / "10005/data/files") + b"/" + name)
        assert (item["size"], item["modified_s"]) == (true.st_size, int(true.st_mtime))
        assert item["type"] == "file"
        assert item["target"] == f"EMPIAR-{item['path']}"


def test_an_empty_directory_is_an_empty_array(commands: Commands) -> None:
    assert commands("ls", "--json", "10028/data/empty directory").json == []


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ((), "1023"),
        (("--sort", "size"), "972"),
        (("--sort", "size", "-r"), "10433536"),
        (("--sort", "time"), "1023"),
        (("-r",), "976"),
    ],
)
def test_names_are_sorted_as_wanted(
    commands: Commands, served: ApacheServer, words: tuple[str, ...], first: str
) -> None:
    names = commands("ls", *words, "10028/data/sizes").lines
    true = sorted(path.name for path in (served.root / "10028/data/sizes").iterdir())

    assert sorted(names) == true
    if "size" in words:
        assert names == sorted(true, key=int, reverse="-r" in words)
    elif "-r" in words:
        assert names == true[::-1]
    else:
        assert names == true


def test_files_and_several_directories_are_told_apart(commands: Commands) -> None:
    done = commands("ls", "10017/10017.xml", "10017/data/movies", "EMPIAR-10028")

    assert done.lines == [
        "10017/10017.xml",
        "",
        "10017/data/movies:",
        "movie_001.mrcs",
        "",
        "EMPIAR-10028:",
        "10028.xml",
        "data/",
    ]
    assert commands("ls", "-d", "10017/data", "10028").lines == ["10017/data/", "10028/"]


def test_what_is_not_there_is_a_line_and_the_rest_is_listed(commands: Commands) -> None:
    done = commands("ls", "10017/nothing", "-d", "10017")

    assert (done.status, done.lines) == (1, ["10017/"])
    assert done.err == (
        "empiarfs: error: 10017/nothing: there is no such file or directory in the archive\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "neither a place in the archive"),
        (["https://elsewhere.org/10017"], "not below"),
        (["--json", "-0"], "don't go together"),
        (["--url", "--ftp-url"], "don't go together"),
        (["--sort", "colour"], "colour"),
    ],
)
def test_wrong_usage_is_told_and_asks_nothing(
    commands: Commands, words: list[str], said: str
) -> None:
    done = commands("ls", *words)

    assert (done.status, done.out) == (2, b"")
    assert said in done.err


def test_sizes_of_a_big_directory_cost_few_connections(
    commands: Commands, served: ApacheServer
) -> None:
    mark = served.mark()
    done = commands("ls", "-l", "10028/data/many")

    requests = served.requests_since(mark)
    assert len(done.lines) == 1200
    # Listings, and on a busy machine what is asked for a second time.
    assert sum(each.method == "GET" for each in requests) <= 8
    assert sum(each.method == "HEAD" for each in requests) <= 1800


def test_what_is_known_is_not_asked_for_again(commands: Commands, served: ApacheServer) -> None:
    first = commands("ls", "-l", "10017/data")
    mark = served.mark()

    assert commands("ls", "-l", "10017/data").out == first.out
    assert served.requests_since(mark) == []


def test_a_dead_archive_is_one_line(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMPIARFS_LOOKUP_WAIT", "1s")
    done = commands("ls", "--archive-url", "http://127.0.0.1:9/", "10017")

    assert (done.status, done.out) == (1, b"")
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("empiarfs: error: 10017: ")


def test_what_is_known_is_shown_offline_with_its_age(commands: Commands) -> None:
    with tree.temporary_root() as root, MovedClock() as clock:
        tree.write_file(root / "10099/data/x", b"x")
        with ApacheServer(root) as server:
            words = f"empiarfs ls --archive-url {server.url} 10099/data"
            commands.in_shell(words)
        clock.move(2 * 86_400)  # a listing is believed for a day
        done = commands.in_shell(words, clock.environment)

    assert (done.returncode, done.stdout) == (0, b"x\n")
    [note] = done.stderr.decode().splitlines()
    assert note.startswith("empiarfs: note: the archive can't be reached; this is from ")


def test_sizes_that_a_dead_archive_keeps_are_a_few_lines_and_their_number(
    commands: Commands,
) -> None:
    with tree.temporary_root() as root:
        tree.make_many(root / "10099/data", 300)
        with ApacheServer(root) as server:
            words = ("--archive-url", server.url, "10099/data")
            names = commands("ls", *words).lines
        done = commands("ls", "-l", *words)

    assert done.status == 1
    assert [line.rpartition("  ")[2] for line in done.lines] == names
    lines = done.err.splitlines()
    assert 2 <= len(lines) <= 25
    counts = [int(n) for n in re.findall(r"and (\d+) more of these: ", done.err)]
    assert sum(counts) + len(lines) - len(counts) == 300
