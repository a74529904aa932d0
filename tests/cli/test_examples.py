"""The examples that --help shows: each command has some, and each can be typed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import click
import pytest

from empiarfs.cli.examples import EXAMPLES
from empiarfs.cli.failures import run_command
from empiarfs.cli.group import commands

_SHELL = {">", ">>", "|"}


def all_commands(
    group: click.Group = commands, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from all_commands(command, (*prefix, name))
        else:
            yield " ".join((*prefix, name)), command


COMMANDS = dict(all_commands())


def test_each_command_has_an_example_and_no_other_has() -> None:
    assert set(EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line, _ in lines]
)
def test_an_example_has_no_option_that_there_is_not(name: str, line: str) -> None:
    words = shlex.split(line)
    end = next((place for place, word in enumerate(words) if word in _SHELL), len(words))
    prefix = ["empiarfs", *name.split()]

    assert words[: len(prefix)] == prefix
    # click keeps the help option that it made for the first parent.
    parent = commands.make_context("empiarfs", ["--"], resilient_parsing=True)
    COMMANDS[name].make_context(name, words[len(prefix) : end], parent=parent)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_what_is_to_be_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(commands, [*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out

    for line, meaning in EXAMPLES[name]:
        assert f"\n  {line}\n      {meaning}\n" in shown
    assert max(map(len, shown.splitlines())) <= 100
