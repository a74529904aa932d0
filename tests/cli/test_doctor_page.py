"""The examples of docs/doctor.md do what the page shows."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.test_doctor import FILES
from tests.support.broken_server import BrokenServer
from tests.support.commands import Commands
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "doctor.md"

pytestmark = pytest.mark.fuse


def test_the_examples_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with BrokenServer(FILES) as server:
        commands = Commands(server.url, tmp_path, monkeypatch, capfdbinary)
        for command, shown in examples(PAGE):
            done = commands(*shlex.split(command)[1:])
            assert done.status == 0, done.err
            assert shown_by(shown, done.out.decode()), f"{command} printed {done.out!r}"
