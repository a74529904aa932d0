"""The examples of docs/finding.md do what the page shows."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from empiarfs.cli.failures import run_command
from empiarfs.cli.group import commands
from tests.support.entry_api import EntryApi
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "finding.md"


def test_the_examples_print_what_the_page_shows(
    api: EntryApi,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert len(examples(PAGE)) > 10
    for command, output in examples(PAGE):
        assert run_command(commands, shlex.split(command)[1:]) == 0, command
        shown = capsys.readouterr().out.replace("\r\n", "\n")
        assert shown_by(output, shown), f"{command} printed\n{shown}"


@pytest.mark.parametrize("name", ["search", "info", "cite", "open", "catalog"])
def test_every_command_has_an_example(name: str) -> None:
    assert any(command.split()[1] == name for command, _ in examples(PAGE))
