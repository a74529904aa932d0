"""The reference of the command line, as Markdown, made from what `--help` is made from."""

from __future__ import annotations

from collections.abc import Iterator

import click

from empiarfs.cli.examples import EXAMPLES
from empiarfs.cli.group import commands, headings

_TOP = """# Commands

All of them, as `empiarfs COMMAND --help` shows them.
They end with status 0 if all is well, 1 if something could not be done, 2 if they were called
wrongly, and 130 after Ctrl-C; what differs is said with the command.
Errors go to the standard error output, one line each, and say what may help.

"""


def page() -> str:
    """Return the whole page."""
    root = commands.make_context("empiarfs", ["--"], resilient_parsing=True)
    parts = [_TOP]
    for heading, names in headings().items():
        parts.append(f"## {heading}\n\n")
        for name in names:
            parts += _described(name, root)
    return "".join(parts)


def _described(name: str, parent: click.Context) -> Iterator[str]:
    """Yield the parts of one command, and of those below it."""
    group = parent.command
    assert isinstance(group, click.Group)
    command = group.get_command(parent, name)
    assert command is not None
    context = click.Context(command, parent, name)
    path = context.command_path
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield f"### {path}\n\n```text\n{usage}\n```\n\n{_text(command)}\n\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _described(each, context)
        return
    yield from _options(command, context)
    examples = EXAMPLES[path.partition(" ")[2]]
    yield "".join(f"```sh\n{line}  # {meaning}\n```\n\n" for line, meaning in examples)


def _text(command: click.Command) -> str:
    return click.formatting.wrap_text(
        (command.help or "").replace("\b\n", ""), 10_000, preserve_paragraphs=True
    )


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records = [
        record
        for param in command.get_params(context)
        if (record := param.get_help_record(context)) is not None
    ]
    yield "| option | meaning |\n|---|---|\n"
    for names, meaning in records:
        yield f"| `{_cell(names)}` | {_cell(meaning)} |\n"
    yield "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
