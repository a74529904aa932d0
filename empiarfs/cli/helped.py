"""Commands and groups of commands whose `--help` ends with examples."""

from __future__ import annotations

import click

_TEXT_INDENT = 6


class Command(click.Command):
    """A command; its examples stand in `empiarfs.cli.examples` by its name."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each with what it is for."""
        # Read for --help only.
        from empiarfs.cli.examples import EXAMPLES

        _, _, name = ctx.command_path.partition(" ")
        super().format_epilog(ctx, formatter)
        examples = EXAMPLES.get(name, ())
        if examples:
            with formatter.section("Examples"):
                for line, meaning in examples:
                    formatter.write(f"  {line}\n{'':{_TEXT_INDENT}}{meaning}\n")


class Group(click.Group):
    """Commands below a command."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, uncut."""
        rows = [
            (name, command.get_short_help_str(1_000)) for name, command in self.commands.items()
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
