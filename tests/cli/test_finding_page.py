"""The examples of docs/finding.md do what the page shows."""

from __future__ import annotations

import re
import shlex

import pytest

from empiarfs.cli.failures import run_command
from empiarfs.cli.group import commands
from tests.support.entry_api import EntryApi
from tests.support.pages import examples
from tests.support.users import CHECKOUT

PAGE = CHECKOUT / "docs" / "finding.md"


def shown_by(pattern: str, text: str) -> bool:
    """Tell whether a text is what the page shows, where "…" stands for anything."""
    parts = [re.escape(part) for part in pattern.rstrip().split("…")]
    # How wide a column is depends on what stands in it.
    regex = re.sub(r"(\\ )+", r"\\s+", ".*".join(parts))
    return re.fullmatch(regex, re.sub(r" +\n", "\n", text).rstrip(), re.DOTALL) is not None


@pytest.mark.parametrize(
    ("command", "output"), examples(PAGE), ids=[each[0] for each in examples(PAGE)]
)
def test_an_example_prints_what_the_page_shows(
    command: str, output: str, api: EntryApi, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command)[1:]

    assert run_command(commands, words) == 0
    assert shown_by(output, capsys.readouterr().out.replace("\r\n", "\n"))


@pytest.mark.parametrize("name", ["search", "info", "cite", "open"])
def test_every_command_has_an_example(name: str) -> None:
    assert any(command.split()[1] == name for command, _ in examples(PAGE))
