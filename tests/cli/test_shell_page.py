"""docs/shell.md: completion, the manual page, settings and their origins, status, colours."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from empiarfs.cli.failures import EXIT_STATUSES
from empiarfs.cli.group import headings
from tests.support.broken_server import BrokenServer
from tests.support.commands import CommandLine, Commands
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "shell.md"
FILES = {"10002/data/movie.mrc": bytes(3_000_000)}
COLOUR = re.compile(rb"\x1b\[[0-9;]*\b(?:3[0-8]|9[0-7])[0-9;]*m")


@pytest.fixture
def server() -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as made:
        yield made


@pytest.fixture
def commands(
    server: BrokenServer,
    command_line: CommandLine,
) -> Commands:
    return command_line(server.url)


# -- completion ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["moun"], {"mount"}),
        (["umount", "--la"], {"--lazy"}),
        (["cache", "ver"], {"verify"}),
        (["mount", "--archive-url", ""], set()),
    ],
)
def test_bash_completes_by_the_script(
    commands: Commands, words: list[str], expected: set[str]
) -> None:
    script = f"""
source <(empiarfs completion bash)
COMP_WORDS=(empiarfs {" ".join(repr(word) for word in words)}); COMP_CWORD={len(words)}
compopt() {{ echo compopt "$2"; }}
_empiarfs_completion empiarfs
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = commands.in_shell(script)

    assert (done.returncode, done.stderr) == (0, b"")
    found = set(done.stdout.decode().split("\n")) - {""}
    # Where nothing of ours fits, names of files do.
    assert found == (expected or {"compopt default"})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_asks_us(commands: Commands, shell: str) -> None:
    done = commands("completion", shell)

    assert (done.status, done.err) == (0, "")
    assert f"_EMPIARFS_COMPLETE={shell}_complete" in done.out.decode()
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=done.out, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, b"")


def test_what_is_completed_asks_no_server(commands: Commands, server: BrokenServer) -> None:
    asked = {"_EMPIARFS_COMPLETE": "zsh_complete", "COMP_WORDS": "empiarfs ls 1000"}
    done = commands.in_shell("empiarfs", {**asked, "COMP_CWORD": "2"})

    assert done.stdout.split(b"\n")[:2] == [b"file", b"1000"]
    assert server.requests == []


def test_another_shell_is_wrong_usage(commands: Commands) -> None:
    done = commands("completion", "tcsh")

    assert done.status == 2
    assert "'bash', 'zsh', 'fish'" in done.err


# -- the manual page ----------------------------------------------------------------------


def test_the_manual_page_has_every_command_setting_and_status(commands: Commands) -> None:
    text = commands("man").out.decode("ascii").replace("\\-", "-")

    for heading, names in headings().items():
        assert f"\n.SH {heading.upper()}\n" in text
        assert [name for name in names if f"\n.SS empiarfs {name}" not in text] == []
    assert "\n.SS empiarfs cache verify " in text
    assert "\n.B cache_size=SIZE\n" in text
    for status, meaning in EXIT_STATUSES.items():
        assert f"\n.B {status}\n{meaning}\n" in text


def test_roff_takes_the_manual_page_without_a_word(commands: Commands) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    words = ["groff", "-man", "-ww", "-Tutf8", "-P-c"]
    done = subprocess.run(
        words, input=commands("man").out, capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
    shown = re.sub(".\b", "", done.stdout.decode())  # bold is each letter twice
    assert "--cache-size SIZE" in shown
    assert "OPT,…" in shown
    assert "empiarfs find 10934 -name '*.eer' --size 1G.." in shown


# -- settings -----------------------------------------------------------------------------


def test_settings_are_shown_with_where_they_come_from(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "config/empiarfs/config.toml"
    place.parent.mkdir(parents=True)
    place.write_text('cache_size = "5G"\nwait = "1h"\n')
    monkeypatch.setenv("EMPIARFS_WAIT", "2h")
    shown = {line.split()[0]: line for line in commands("config", "--show-origin").lines}
    settings = commands("config", "--json").json

    assert str(place) in shown["cache_size"]
    assert "7200 " in shown["wait"]
    assert "EMPIARFS_WAIT" in shown["wait"]
    assert shown["log_level"].split()[1:] == ["info", "default"]
    assert settings["settings"]["uid"] == {"value": None, "origin": "default"}
    assert settings["files"][1] == {"path": str(place), "exists": True}
    assert all(len(line.split()) == 2 for line in commands("config").lines)


def test_a_mistake_in_a_file_is_named(commands: Commands, tmp_path: Path) -> None:
    place = tmp_path / "config/empiarfs/config.toml"
    place.parent.mkdir(parents=True)
    place.write_text('cache_sise = "5G"\n')
    done = commands("config")

    assert (done.status, done.out) == (2, b"")
    assert str(place) in done.err
    assert "cache_size" in done.err


def test_the_page_shows_what_is_printed(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((command, shown),) = examples(PAGE)
    done = commands(*command.split()[1:])

    assert done.status == 0
    assert shown_by(shown, done.out.decode()), done.out.decode()


# -- status and colours -------------------------------------------------------------------


def test_the_pages_table_of_statuses_is_the_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert {int(status): meaning for status, meaning in rows} == EXIT_STATUSES


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_there_are_colours_on_terminals_only_where_nobody_minds(
    commands: Commands, tmp_path: Path, environment: dict[str, str]
) -> None:
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "empiarfs", "get", "10002/data", str(tmp_path)]
    variables = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    variables |= {"TERM": "xterm-256color", "PYTHONPATH": str(CHECKOUT), **environment}
    with subprocess.Popen(words, env=variables, stdin=theirs, stdout=theirs, stderr=theirs) as run:
        os.close(theirs)
        shown = b"".join(pieces(ours))
        os.close(ours)

    assert run.returncode == 0, shown
    assert b"copying" in shown
    assert bool(COLOUR.search(shown)) == (not environment)


def pieces(terminal: int) -> Iterator[bytes]:
    """Yield what is written to a terminal, until nobody has it open any more."""
    with suppress(OSError):  # how Linux says that it is closed
        while piece := os.read(terminal, 65536):
            yield piece
