"""How steps are shown, and what fails them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from empiarfs.demo.server import ServerCounts
from empiarfs.demo.transcript import WIDTH, Transcript
from empiarfs.errors import MountError


class Screen:
    """Collects lines, and plays the server's counts."""

    def __init__(self, directory: Path) -> None:
        self.lines: list[str] = []
        self.sent = ServerCounts()
        self.variables = dict(os.environ)
        self.work = directory
        self.transcript = Transcript(self.lines.append, self)

    def counts(self) -> ServerCounts:
        return self.sent

    def environment(self) -> dict[str, str]:
        return self.variables


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    return Screen(tmp_path)


def test_a_command_is_shown_with_what_it_prints(screen: Screen, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    output = screen.transcript.shell("ls", ["ls"])

    assert output == "a file\n"
    assert screen.lines == ["$ ls", "a file"]


def test_long_output_is_cut_and_the_rest_counted(screen: Screen) -> None:
    screen.transcript.shell("seq 5", ["seq", "5"], most=2)

    assert screen.lines == ["$ seq 5", "1", "2", "… 3 more lines"]


def test_no_line_is_wider_than_a_narrow_terminal(screen: Screen) -> None:
    screen.transcript.shell("echo", ["echo", "x" * 200])

    assert len(screen.lines[1]) == WIDTH


def test_a_failing_command_fails_the_step_with_its_reason(screen: Screen) -> None:
    with pytest.raises(MountError, match=r"^cmp a b: cmp: a: No such file"):
        screen.transcript.shell("cmp a b", ["cmp", "a", "b"])


def test_a_missing_command_fails_the_step(screen: Screen) -> None:
    with pytest.raises(MountError, match="no-such-command: No such file"):
        screen.transcript.shell("x", ["no-such-command"])


def test_python_runs_hidden_lines_too(screen: Screen, tmp_path: Path) -> None:
    screen.transcript.python(["a = 6", "print(a * 7)"], ['open("result", "w").write(str(a))'])

    assert screen.lines == [">>> a = 6", ">>> print(a * 7)", "42"]
    assert (tmp_path / "result").read_text() == "6"


def test_python_that_raises_fails_the_step(screen: Screen) -> None:
    with pytest.raises(MountError, match="ZeroDivisionError"):
        screen.transcript.python(["1 / 0"])


def test_the_wire_is_what_was_sent_since_the_title(screen: Screen) -> None:
    screen.sent = ServerCounts(listings=3, heads=12, page_bytes=900)
    screen.transcript.title("Read")
    screen.sent = ServerCounts(
        listings=4, heads=12, ranges=2, page_bytes=1000, file_bytes=2_098_176
    )
    cost = screen.transcript.wire()

    assert cost == ServerCounts(listings=1, ranges=2, page_bytes=100, file_bytes=2_098_176)
    assert screen.lines == [
        "",
        "1. Read",
        "  over the wire: 3 requests (1 listing, 2 ranges), 2.1 MB",
    ]


def test_no_request_is_said_so(screen: Screen) -> None:
    screen.transcript.title("Read again")
    screen.transcript.wire()

    assert screen.lines[-1] == "  over the wire: nothing"


def test_a_comparison_that_does_not_hold_fails(screen: Screen) -> None:
    screen.transcript.checked("one is one", True)
    with pytest.raises(MountError, match="a comparison failed: one is two"):
        screen.transcript.checked("one is two", False)

    assert screen.lines == ["  ✓ one is one"]


def test_the_environment_is_the_one_given(screen: Screen) -> None:
    screen.variables = {"PATH": os.environ["PATH"], "WORD": "given"}
    screen.transcript.shell("env", [sys.executable, "-c", "import os; print(os.environ['WORD'])"])

    assert screen.lines == ["$ env", "given"]


def test_nothing_is_cut_where_all_is_wanted(screen: Screen) -> None:
    whole = Transcript(screen.lines.append, screen, whole=True)
    whole.shell("seq", ["seq", "-s", " ", "100"], most=0)
    whole.shell("seq", ["seq", "30"], most=2)

    assert len(screen.lines) == 2 + 1 + 30
    assert screen.lines[1].endswith(" 99 100")
