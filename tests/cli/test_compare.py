"""The command `compare`: how local copies differ from the archive."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.broken_server import BrokenServer, Fault
from tests.support.commands import CommandLine, Commands
from tests.support.local_copies import put, wait_for_rest
from tests.support.users import CHECKOUT
from tests.support.waiting import wait_until

NAMES = [f"10934/data/movie_{number}.mrc" for number in range(5)] + ["10934/10934.xml"]
FILES = {name: tree.contents(name.encode(), 600_000) for name in NAMES}
ONE, TWO, THREE, FOUR, FIVE, XML = NAMES


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture
def run(
    server: BrokenServer,
    command_line: CommandLine,
) -> Commands:
    return command_line(server.url)


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """All of the entry."""
    for name, data in FILES.items():
        tree.write_file(tmp_path / "copies" / name, data)
    return tmp_path / "copies"


def gets(server: BrokenServer) -> set[str]:
    """The files whose bytes were asked for."""
    requests = [request for request in server.requests if request.method == "GET"]
    return {name for name in NAMES for request in requests if request.path.endswith(name)}


def flip(path: Path, offset: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_what_is_equal_is_status_0_and_costs_no_bytes(
    run: Commands, server: BrokenServer, copies: Path
) -> None:
    done = run("compare", str(copies), "10934")

    assert (done.status, done.out) == (0, b"")
    assert f"6 of 6 files (3.6 MB) are equal in {copies}, by name and size" in done.err
    assert gets(server) == set()
    assert run("compare", str(copies), "10934", "--json").json == []


def test_each_difference_is_a_line_and_status_1(run: Commands, copies: Path) -> None:
    (copies / ONE).unlink()
    os.truncate(copies / TWO, 1000)
    with (copies / THREE).open("ab") as file:
        file.write(b"!")
    (copies / FOUR).unlink()
    os.mkfifo(copies / FOUR)
    tree.write_file(copies / "10934/data/notes.txt", b"mine")
    done = run("compare", str(copies), "10934")

    assert done.status == 1
    assert done.lines == [
        f"missing              600000  {ONE}",
        f"short                600000  {TWO}  (1000 bytes of 600000)",
        f"long                 600000  {THREE}  (600001 bytes of 600000)",
        f"unreadable           600000  {FOUR}  (it is no regular file)",
        "extra                     4  10934/data/notes.txt",
    ]
    assert "2 of 6 files" in done.err
    assert "1 missing, 1 short, 1 long, 1 extra, 1 unreadable" in done.err


def test_as_json_each_difference_is_an_object(run: Commands, copies: Path) -> None:
    os.truncate(copies / TWO, 1000)
    done = run("compare", str(copies), "10934", "--json")

    assert (done.status, done.err) == (1, "")
    assert done.json == [
        {
            "kind": "short",
            "path": TWO,
            "size": 600_000,
            "local": str(copies / TWO),
            "local_size": 1000,
            "reason": "1000 bytes of 600000",
        }
    ]


@pytest.mark.parametrize("folder", ["EMPIAR-10934", "world_availability/10934", "archive/10934"])
def test_all_layouts_are_known(run: Commands, copies: Path, folder: str) -> None:
    (copies / folder).parent.mkdir(exist_ok=True)
    (copies / "10934").rename(copies / folder)

    assert run("compare", str(copies), "10934").status == 0


def test_the_entrys_own_folder_may_be_named(run: Commands, copies: Path) -> None:
    assert run("compare", str(copies / "10934"), "10934").status == 0


def test_a_part_of_an_entry_may_be_compared(run: Commands, copies: Path) -> None:
    (copies / XML).unlink()
    tree.write_file(copies / "10934/more/extra.txt", b"")

    assert run("compare", str(copies), "10934/data").status == 0
    assert run("compare", str(copies), ONE).status == 0
    assert run("compare", str(copies), "10934").status == 1


def test_without_any_copy_all_is_missing(run: Commands, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = run("compare", str(tmp_path / "empty"), "10934", "--json").json

    assert [(each["kind"], each["path"]) for each in found] == [
        ("missing", name) for name in sorted(NAMES)
    ]


def test_in_full_one_byte_is_found_that_size_does_not_tell(
    run: Commands, server: BrokenServer, copies: Path
) -> None:
    flip(copies / TWO, 300_000)
    assert run("compare", str(copies), "10934").status == 0

    done = run("compare", str(copies), "10934", "--verify", "full")
    assert done.status == 1
    [line] = done.lines
    assert line.startswith(f"different            600000  {TWO}  (its bytes near 29")
    assert gets(server) == set(NAMES)


def test_a_sample_finds_another_end(run: Commands, server: BrokenServer, copies: Path) -> None:
    flip(copies / TWO, 599_999)

    done = run("compare", str(copies), "10934/data", "--verify", "sample")
    assert (done.status, len(done.lines)) == (1, 1)


def test_what_is_compared_is_not_read_from_the_copies_themselves(
    run: Commands, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(copies / TWO, 300_000)
    monkeypatch.setenv("EMPIARFS_LOCAL", str(copies))

    assert run("compare", str(copies), "10934", "--verify", "full").status == 1


def test_what_was_found_equal_is_known_to_mounts_and_commands(
    run: Commands, server: BrokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "new"
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for name, data in FILES.items():
        put(copies / name, data)
    assert run("compare", str(copies), "10934", "--verify", "full").status == 0
    wait_for_rest(copies)
    before = len(server.requests)

    words = ["--local", str(copies), "--local-verify", "full"]
    assert run("cat", ONE, TWO, *words).out == FILES[ONE] + FILES[TWO]
    assert [r.path for r in server.requests[before:] if r.method == "GET"] == []
    assert (tmp_path / ".local/state/empiarfs/compared").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("start", ["10934", "10934/data", "."])
@pytest.mark.parametrize("program", ["md5sum", "sha256sum"])
def test_lists_of_checksums_are_compared_without_the_archives_bytes(
    run: Commands, server: BrokenServer, copies: Path, start: str, program: str
) -> None:
    sums = copies.parent / "sums"
    lines = subprocess.run(
        f"find . -name 'movie_*' -type f | xargs {program}", shell=True, cwd=copies / start,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    sums.write_bytes(lines)
    done = run("compare", str(copies), "10934/data", "--md5", str(sums))
    assert done.status == 0
    assert "by name and size, 5 by checksum" in done.err

    flip(copies / THREE, 7)
    done = run("compare", str(copies), "10934/data", "--md5", str(sums))
    assert done.status == 1
    [line] = done.lines
    assert f"different            600000  {THREE}  (its {program[:-3]} is " in line
    assert gets(server) == set()


def test_a_list_may_lie_among_the_copies(run: Commands, copies: Path) -> None:
    wrong = hashlib.md5(b"other").hexdigest()
    (copies / "10934/data/sums.md5").write_text(f"{wrong}  movie_0.mrc\n")

    done = run("compare", str(copies), "10934", "--md5", str(copies / "10934/data/sums.md5"))
    assert [line.split()[0] for line in done.lines] == ["different", "extra"]


def test_what_get_has_written_is_equal_by_its_own_list(run: Commands, tmp_path: Path) -> None:
    assert run("get", "10934", str(tmp_path / "new")).status == 0

    done = run("compare", str(tmp_path / "new"), "10934",
               "--md5", str(tmp_path / "new/SHA256SUMS"))  # fmt: skip
    assert done.status == 0
    assert "6 by checksum" in done.err


def test_a_list_of_other_files_is_noted(run: Commands, copies: Path) -> None:
    (copies.parent / "sums").write_text(f"{'0' * 32}  somewhere/else.mrc\n")

    done = run("compare", str(copies), "10934", "--md5", str(copies.parent / "sums"))
    assert done.status == 0
    assert "no name in the lists of checksums is one of these files" in done.err


def test_wrong_use_is_one_line_and_status_2(run: Commands, copies: Path) -> None:
    (copies.parent / "no-list").write_bytes(b"\0\xff" * 100)
    for words, said in (
        ([str(copies / "nowhere"), "10934"], "there is no such directory"),
        ([str(copies), "empiar"], "all of the archive can't be compared"),
        ([str(copies), "10934", "--md5", str(copies / "none")], "can't be read: No such file"),
        ([str(copies), "10934", "--md5", str(copies.parent / "no-list")], "has no line as md5sum"),
        ([str(copies)], "missing argument"),
    ):
        done = run("compare", *words)
        assert (done.status, done.out) == (2, b""), words
        assert said in done.err
        assert len(done.err.splitlines()) <= 2


def test_what_can_not_be_compared_is_status_2(
    run: Commands, server: BrokenServer, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPIARFS_WAIT", "1s")
    server.fault(THREE, Fault.answer(403), times=1000)
    done = run("compare", str(copies), "10934", "--verify", "full")

    assert (done.status, done.out) == (2, b"")
    assert THREE in done.err


def test_no_such_entry_is_status_2_and_nothing_is_called_extra(
    run: Commands, copies: Path
) -> None:
    shutil.copytree(copies / "10934", copies / "10999")
    done = run("compare", str(copies), "10999")

    assert (done.status, done.out) == (2, b"")
    assert "no such file or directory in the archive" in done.err


def test_ctrl_c_ends_it(run: Commands, server: BrokenServer, copies: Path) -> None:
    assert run("du", "10934").status == 0  # so that sizes are known
    server.fault(ONE, Fault.silence(), times=1000)
    with subprocess.Popen(
        [sys.executable, "-m", "empiarfs", "compare", copies, "10934", "--verify", "full"],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        wait_until(lambda: ONE in gets(server), 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, b"")
    assert err.decode().splitlines()[-1] == "empiarfs: interrupted"
