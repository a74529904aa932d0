"""`empiarfs cat` and `head`, on a real Apache."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands
from tests.support.users import CHECKOUT

pytestmark = pytest.mark.apache

BLOCKS = "10017/data/three_blocks.dat"
SOME = (BLOCKS, "10017/data/empty.star", "10017/data/one.byte", "10017/data/a_piece.dat")


def original(served: ApacheServer, path: str) -> bytes:
    return (served.root / path).read_bytes()


def test_bytes_are_those_of_the_files_in_the_order_of_the_targets(
    commands: Commands, served: ApacheServer
) -> None:
    done = commands("cat", *SOME)

    assert (done.status, done.err) == (0, "")
    assert done.out == b"".join(original(served, path) for path in SOME)


def test_what_was_read_is_not_fetched_again(commands: Commands, served: ApacheServer) -> None:
    first = commands("cat", BLOCKS)
    mark = served.mark()

    assert commands("cat", f"{commands.url}{BLOCKS}").out == first.out
    assert served.requests_since(mark) == []


def test_what_can_not_be_read_is_a_line_and_the_rest_is_written(
    commands: Commands, served: ApacheServer
) -> None:
    done = commands("cat", "10017/nothing", "10017", "10017/data/one.byte", "empiar")

    assert (done.status, done.out) == (1, original(served, "10017/data/one.byte"))
    assert done.err.splitlines() == [
        "empiarfs: error: 10017/nothing: there is no such file or directory in the archive",
        "empiarfs: error: 10017: is a directory; `empiarfs ls` lists it",
        "empiarfs: error: empiar: is a directory; `empiarfs ls` lists it",
    ]


@pytest.mark.parametrize("size", ["0", "1", "65536", "65537", "1M", "1G"])
def test_the_first_bytes_are_exact(commands: Commands, served: ApacheServer, size: str) -> None:
    count = {"1M": 2**20, "1G": 2**30}.get(size) or int(size)

    assert commands("head", "-c", size, BLOCKS).out == original(served, BLOCKS)[:count]


@pytest.mark.parametrize("lines", [0, 1, 3, 100])
def test_the_first_lines_are_those_of_head(
    commands: Commands, served: ApacheServer, lines: int
) -> None:
    path = "10028/data/particles/particles.star"
    true = subprocess.run(
        ["head", "-n", str(lines), served.root / path], capture_output=True, check=True, timeout=20
    )

    assert commands("head", "-n", str(lines), path).out == true.stdout


def test_several_beginnings_have_headings_unless_quiet(commands: Commands) -> None:
    both = ("10017/10017.xml", "EMPIAR-10028/10028.xml")
    done = commands("head", "-n", "1", *both)

    xml = '<?xml version="1.0" encoding="UTF-8"?>'
    assert done.lines == [
        "==> 10017/10017.xml <==", xml, "", "==> EMPIAR-10028/10028.xml <==", xml,
    ]  # fmt: skip
    assert commands("head", "-q", "-n", "1", *both).lines == [xml, xml]


def test_a_beginning_costs_one_piece(commands: Commands, served: ApacheServer) -> None:
    commands("ls", "-l", "10017/data")
    mark = served.mark()
    commands("head", "-c", "100", BLOCKS)

    got = [each for each in served.requests_since(mark) if each.method == "GET"]
    assert [each.status for each in got] == [206]
    assert sum(each.size for each in got) == 65_536


@pytest.mark.parametrize(
    "words", [["-n", "1", "-c", "1"], ["-n", "x"], ["-c", "-1"], ["-c", "x"], ["-n", "-1"]]
)
def test_numbers_that_are_none_are_wrong_usage(commands: Commands, words: list[str]) -> None:
    assert commands("head", *words, BLOCKS).status == 2


def test_who_reads_only_the_beginning_ends_it_quietly(
    commands: Commands, served: ApacheServer
) -> None:
    done = commands.in_shell(f"empiarfs cat {BLOCKS} {BLOCKS} | head -c 70000")

    assert (done.stdout, done.stderr) == (original(served, BLOCKS)[:70_000], b"")


def test_a_full_disk_is_one_line(commands: Commands) -> None:
    done = commands.in_shell(f"empiarfs cat {BLOCKS} > /dev/full")

    assert done.returncode == 1
    assert done.stderr.decode() == (
        "empiarfs: error: the output can't be written: No space left on device\n"
    )


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_file(commands: Commands) -> None:
    size = 300 * 2**20
    code = (
        "import resource, sys\n"
        "from empiarfs.cli.failures import run_command\n"
        "from empiarfs.cli.group import commands\n"
        "status = run_command(commands, sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
        "sys.exit(status)\n"
    )
    with tree.temporary_root() as root:
        tree.write_file(root / "10099/data/big.mrc", b"")
        os.truncate(root / "10099/data/big.mrc", size)
        with ApacheServer(root) as server:
            words = ["cat", "--archive-url", server.url, "10099/data/big.mrc"]
            done = subprocess.run(
                ["bash", "-c", '"$@" | wc -c', "-", sys.executable, "-c", code, *words],
                capture_output=True,
                env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
                timeout=60,
                check=False,
            )

    assert int(done.stdout) == size
    assert int(done.stderr) < 200 * 1024  # KiB, of which Python and its modules take 60,000
