"""The command `man`: the manual page, made from what `--help` is made from."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from empiarfs import __version__
from empiarfs.cli.helped import Command


@click.command("man", cls=Command)
def command() -> int:
    """Print the manual page, in the form that man(1) shows."""
    click.echo(page(), nl=False)
    return 0


def page() -> str:
    """Return the manual page of all commands, as roff with the macros of man(7)."""
    from empiarfs.cli.group import commands, headings

    root = commands.make_context("empiarfs", ["--"], resilient_parsing=True)
    lines = [
        f'.TH EMPIARFS 1 "" "empiarfs {__version__}" "User Commands"',
        ".SH NAME",
        f"empiarfs \\- {_roff(_first(commands))}",
        ".SH SYNOPSIS",
        ".B empiarfs",
        r"\fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]",
        ".br",
        ".B empiarfs",
        r"\fISOURCE\fR \fIMOUNTPOINT\fR [\fB\-o\fR \fIOPT,\[u2026]\fR]",
        ".SH DESCRIPTION",
        _roff(commands.help or ""),
        ".PP",
        _roff(commands.epilog or ""),
    ]
    for heading, names in headings().items():
        lines.append(f".SH {heading.upper()}")
        for name in names:
            lines += _described(name, root)
    return "\n".join([*lines, *_settings(), *_statuses(), *_files()]) + "\n"


def _described(name: str, parent: click.Context) -> Iterator[str]:
    from empiarfs.cli.examples import EXAMPLES

    group = parent.command
    assert isinstance(group, click.Group)
    command = group.get_command(parent, name)
    assert command is not None
    context = click.Context(command, parent, name)
    path = context.command_path
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_roff(path)} {_roff(usage)}".rstrip()
    for paragraph in _paragraphs(command.help or ""):
        yield f"{_roff(paragraph)}\n.PP"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            yield from _described(each, context)
        return
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is not None and isinstance(param, click.Option):
            yield f".TP\n.B {_roff(record[0])}\n{_roff(record[1])}"
    for line, meaning in EXAMPLES.get(path.partition(" ")[2], ()):
        yield f".PP\n{_roff(meaning)}:\n.PP\n.RS\n.EX\n{_roff(line)}\n.EE\n.RE"


def _settings() -> Iterator[str]:
    from empiarfs.config import SETTINGS

    yield ".SH SETTINGS"
    yield _roff("Behind -o, in configuration files, and in the environment as EMPIARFS_NAME.")
    for name, setting in SETTINGS.items():
        value = f"={setting.metavar}" if setting.metavar else ""
        yield f".TP\n.B {_roff(name + value)}\n{_roff(setting.meaning)}"


def _statuses() -> Iterator[str]:
    from empiarfs.cli.failures import EXIT_STATUSES

    yield ".SH EXIT STATUS"
    for status, meaning in EXIT_STATUSES.items():
        yield f".TP\n.B {status}\n{_roff(meaning)}"


def _files() -> Iterator[str]:
    yield ".SH FILES"
    for name, meaning in (
        ("/etc/empiarfs.toml", "Settings of the machine."),
        ("~/.config/empiarfs/config.toml", "Settings of the user, which count more."),
        ("/etc/fuse.conf", "The line user_allow_other lets users mount with allow_other."),
    ):
        yield f".TP\n.I {_roff(name)}\n{_roff(meaning)}"
    yield ".SH SEE ALSO"
    yield ".BR mount (8),\n.BR fusermount3 (1),\n.BR fuse (4)"


def _first(command: click.Command) -> str:
    return (command.help or "").partition("\n")[0].rstrip(".")


def _paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a help text, each in one line."""
    return [" ".join(part.replace("\b", "").split()) for part in re.split(r"\n\s*\n", text)]


def _roff(text: str) -> str:
    r"""Return a text that roff shows as it is.

    >>> print(_roff("--wait 'x' .\\"))
    \-\-wait \(aqx\(aq .\e
    """
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    escaped = re.sub(r"^\.", r"\\&.", escaped, flags=re.MULTILINE)
    # Not every roff reads UTF-8.
    return re.sub(r"[^\x00-\x7e]", lambda match: f"\\[u{ord(match[0]):04X}]", escaped)
