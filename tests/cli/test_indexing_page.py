"""The examples of docs/indexing.md do what the page shows, one after the other."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from empiarfs.config import DEFAULT_ARCHIVE_URL
from tests.cli.test_documented import make_archive
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

pytestmark = pytest.mark.apache

PAGE = CHECKOUT / "docs" / "indexing.md"
REAL = DEFAULT_ARCHIVE_URL.partition("://")[2].partition("/")[0]


def change(data: Path) -> None:
    """Do to the archive what the page says has happened to it."""
    for name, size in (("particles.star", 300), ("movies/movie_004.tif", 2_100_500)):
        tree.write_file(data / name, bytes(size))
        os.utime(data / name, (1_636_272_000, 1_636_272_000))


def test_the_examples_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    with tree.temporary_root() as root:
        make_archive(root)
        with ApacheServer(root) as server:
            run = Commands(server.url, tmp_path, monkeypatch, capfdbinary)
            compared = 0
            for command, output in examples(PAGE):
                compared += command == "empiarfs diff EMPIAR-10934"
                if compared == 2:
                    change(root / "10934/data")
                words = shlex.split(command, comments=True)
                if words[0] == "empiarfs":
                    done = run(*words[1:])
                    shown = done.out.decode() + done.err
                else:
                    ended = run.in_shell(command)
                    shown = (ended.stdout + ended.stderr).decode()
                shown = re.sub(r"http://127\.0\.0\.1:\d+/", f"https://{REAL}/", shown)
                assert shown_by(output, shown), f"{command} printed\n{shown}"


@pytest.mark.parametrize("name", ["index", "diff"])
def test_every_command_has_an_example(name: str) -> None:
    assert any(command.startswith(f"empiarfs {name}") for command, _ in examples(PAGE))
