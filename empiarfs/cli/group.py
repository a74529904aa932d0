"""The list of commands, each imported when it is called.

`mount -t fuse.empiarfs SOURCE MOUNTPOINT -o …` runs `empiarfs SOURCE MOUNTPOINT -o …`, so a
first word that names a source mounts it. Any other word that isn't a command is an error.
"""

from __future__ import annotations

import difflib
from importlib import import_module

import click

from empiarfs import __version__
from empiarfs.cli.sources import is_source, source_word
from empiarfs.core.secrets import shown_url

# By heading of --help: name, then module below empiarfs.cli and name in it, what --help says.
_GROUPS = {
    "Look": {
        "search": ("search:command", "Find entries by words, formats, sizes, dates."),
        "info": ("info:command", "Tell what an entry is, or what is in a file."),
        "ls": ("ls:command", "List a directory of the archive, without a mount."),
        "find": ("find:command", "Find files of the archive by name, size, time and role."),
        "du": ("du:command", "Add up the sizes of files of the archive."),
        "tree": ("tree:command", "Show directories of the archive as a tree."),
        "cat": ("cat:command", "Write files of the archive to the standard output."),
        "head": ("cat:head_command", "Write the beginning of files of the archive."),
        "preview": ("preview:command", "Make pictures of images of the archive, as PNG."),
        "cite": ("cite:command", "Cite an entry, also as BibTeX or RIS."),
        "open": ("open:command", "Print the address of an entry's page, or open it."),
        "index": ("index:command", "Learn all names and exact sizes of entries."),
        "diff": ("diff:command", "Show what has changed since entries were indexed."),
        "catalog": ("catalog:command", "Share what is known of entries: update, export, import."),
    },
    "Get": {
        "get": ("get:command", "Copy files to a local directory; resumable, with checksums."),
        "plan": ("plan:command", "Tell how much that would be, and how long it would take."),
        "compare": ("compare:command", "List how local copies differ from the archive."),
        "warm": ("warm:command", "Fetch files into the cache before they are read."),
        "pin": ("pin:command", "Fetch files into the cache, and never evict them."),
        "unpin": ("pin:unpin_command", "Let pinned files be evicted again."),
        "cache": ("cache:command", "See, check, size and clean what is stored of files."),
    },
    "Run": {
        "mount": ("mount:command", "Mount EMPIAR, or a part of it, on a directory."),
        "umount": ("umount:command", "Unmount."),
        "run": ("run:command", "Run a program with a mount of its own; needs no root."),
        "status": ("status:command", "Show what is mounted, and how it does."),
        "doctor": ("doctor:command", "Find out what keeps it from working here."),
        "install-helper": ("install_helper:command", "Let mount(8) and fstab find empiarfs."),
        "systemd-unit": ("systemd_unit:command", "Print a unit by which systemd mounts it."),
        "config": ("configured:command", "Show the settings, and where each comes from."),
        "completion": ("completion:command", "Print a script for bash, zsh or fish."),
        "man": ("manual:command", "Print the manual page."),
        "demo": ("demo:command", "Show it at work on a small archive, without internet."),
    },
}
_COMMANDS = {name: told for group in _GROUPS.values() for name, told in group.items()}
_ALIASES = {"unmount": "umount", "download": "get", "warmup": "warm"}
_SOURCE_COMMAND = "mount_source"


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = _ALIASES.get(cmd_name, cmd_name)
        if name not in _COMMANDS:
            return None
        place, _, attribute = _COMMANDS[name][0].partition(":")
        try:
            module = import_module(f"empiarfs.cli.{place}")
        except ModuleNotFoundError as exc:
            if exc.name is None or not exc.name.startswith("empiarfs."):
                raise
            raise click.ClickException(f"{name} is missing in this installation") from exc
        command: click.Command = getattr(module, attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in _COMMANDS and word not in _ALIASES:
            if is_source(source_word(word, args[1] if len(args) > 1 else "")):
                return word, import_module("empiarfs.cli.mount").source_command, args
            raise _no_such_command(ctx, word)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, group in _GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(name, text) for name, (_, text) in group.items()])


def headings() -> dict[str, list[str]]:
    """Return the names of the commands by the heading under which --help lists them."""
    return {heading: list(group) for heading, group in _GROUPS.items()}


def _no_such_command(ctx: click.Context, word: str) -> click.UsageError:
    names = [*_COMMANDS, *_ALIASES, "empiar"]
    near = difflib.get_close_matches(word, names, 1, 0.6)
    guess = f"; did you mean {near[0]}?" if near else ""
    # A URL with a mistake in it may still hold a password.
    shown = shown_url(word) if "@" in word else word
    return click.UsageError(f"no such command: {shown}{guess}", ctx)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="empiarfs SOURCE MOUNTPOINT -o OPT,… mounts as well, for mount(8) and fstab; "
    "SOURCE is empiar, empiar:ID, or a URL.",
)
@click.version_option(__version__, message="empiarfs %(version)s")
def commands() -> None:
    """Mount EMPIAR, the archive of raw cryo-EM data, as a read-only file system."""
