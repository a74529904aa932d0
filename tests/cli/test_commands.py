"""The command line in one process: words in, status and lines out. Nothing is mounted."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from empiarfs import __version__
from empiarfs.cli.failures import run_command
from empiarfs.cli.group import commands
from empiarfs.cli.sources import Source, parse_source
from empiarfs.errors import ConfigError, MountError
from tests.support.users import CHECKOUT, run_as


def run(*words: str) -> int:
    return run_command(commands, words)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["mount", "-h"], ["umount", "--help"]])
def test_help_is_no_failure(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 0
    assert capsys.readouterr().out.startswith("Usage: empiarfs")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    run("--help")
    shown = capsys.readouterr().out

    for name in (
        "mount",
        "umount",
        "install-helper",
        "systemd-unit",
        "config",
        "completion",
        "man",
        "status",
        "ls",
        "cat",
        "head",
        "find",
        "du",
        "tree",
        "info",
        "index",
        "diff",
        "demo",
    ):
        assert f"\n  {name} " in shown


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"empiarfs {__version__}\n"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["mout", "/mnt"], ["no such command: mout", "did you mean mount?"]),
        (["empair", "/mnt"], ["no such command: empair", "did you mean empiar?"]),
        (["xyzzy"], ["no such command: xyzzy", "see `empiarfs --help`"]),
        (["empiar:", "/mnt"], ["no such command: empiar:", "did you mean empiar?"]),
        (["mount", "--archiv-url=x", "/m"], ["no such option: --archiv-url", "--archive-url"]),
        (["--verson"], ["no such option: --verson", "did you mean --version?"]),
        (["mount"], ["missing argument 'MOUNTPOINT'", "see `empiarfs mount --help`"]),
        (["umount"], ["missing argument 'MOUNTPOINT'", "see `empiarfs umount --help`"]),
        (["mount", "/mnt", "-o", "xatr"], ["-o xatr: there is no such option", "xattr"]),
        (["empiar", "/mnt", "-o", "remount"], ["a mount can't be changed"]),
    ],
)
def test_wrong_usage_names_what_was_probably_meant(
    words: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2

    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith("empiarfs: error: ")
    assert len(said.splitlines()) <= 2
    for line in lines:
        assert line in said


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (MountError("it failed"), 1, "empiarfs: error: it failed\n"),
        (MountError("no", hint="yes"), 1, "empiarfs: error: no\nhint: yes\n"),
        (ConfigError("bad"), 2, "empiarfs: error: bad\n"),
        (MountError("two\nlines"), 1, "empiarfs: error: two\\nlines\n"),
        (MountError("a\udcffb"), 1, "empiarfs: error: a\\xffb\n"),
        (KeyboardInterrupt(), 130, "\nempiarfs: interrupted\n"),
        (click.Abort(), 130, "empiarfs: interrupted\n"),
        (BrokenPipeError(), 1, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_each_failure_has_its_status_and_its_line(
    error: BaseException, status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    assert run_command(failing, []) == status
    assert capfd.readouterr().err == said


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    @click.command()
    def failing() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(failing, [])


def test_output_that_nobody_reads_is_no_traceback() -> None:
    command = f"{sys.executable} -m empiarfs --help | true"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, cwd=CHECKOUT, timeout=60, check=False
    )

    assert done.stderr == b""


@pytest.mark.parametrize("words", ["config", "man", "--help", "completion bash"])
def test_output_to_a_full_disk_is_one_line(words: str) -> None:
    command = f"{sys.executable} -m empiarfs {words} > /dev/full"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, cwd=CHECKOUT, timeout=60, check=False
    )

    said = b"empiarfs: error: the output can't be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize(
    ("word", "source"),
    [
        ("empiar", Source()),
        ("empiar:10934", Source(root="10934")),
        ("empiar:EMPIAR-10934", Source(root="10934")),
        ("https://host/a/", Source(archive_url="https://host/a/")),
        ("http://127.0.0.1:8000", Source(archive_url="http://127.0.0.1:8000")),
        ("EMPIAR", None),
        ("empiar:", None),
        ("empiar:x", None),
        ("empiar:10934/data", None),
        ("empiar:١٠٩", None),
        ("ftp://host/", None),
        ("10934", None),
        ("", None),
    ],
)
def test_what_a_source_stands_for(word: str, source: Source | None) -> None:
    assert parse_source(word) == source


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["mount", "-h"], ["ls", "-h"], ["cat", "-h"]]
)
def test_help_imports_nothing_that_is_slow(words: list[str]) -> None:
    code = (
        "import sys\n"
        "from empiarfs.cli.failures import run_command\n"
        "from empiarfs.cli.group import commands\n"
        "assert run_command(commands, sys.argv[1:]) == 0\n"
        "slow = {'requests', 'diskcache', 'mfusepy', 'rich', 'sqlite3', 'numpy'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    done = run_as(None, [sys.executable, "-c", code, *words], cwd=CHECKOUT)

    assert (done.returncode, done.stderr) == (0, b"")
