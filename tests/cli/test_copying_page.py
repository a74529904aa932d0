"""The examples of docs/copying.md do what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_get import FILES
from tests.support.broken_server import BrokenServer
from tests.support.commands import Commands
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "copying.md"


def test_the_examples_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with BrokenServer(FILES) as server:
        commands = Commands(server.url, tmp_path, monkeypatch, capfdbinary)
        assert len(examples(PAGE)) > 6
        for command, shown in examples(PAGE):
            done = commands.in_shell(command)
            assert (done.returncode, done.stderr) == (0, b""), command
            assert shown_by(shown, done.stdout.decode()), f"{command} printed {done.stdout!r}"
