"""The command `completion`, and what a shell gets when it asks for words.

The script is click's: at each tab the shell runs `empiarfs` with _EMPIARFS_COMPLETE set and
the words so far. No server and no mount is asked, since either could hang the shell; where
nothing of ours fits, the shell completes names of files.
"""

from __future__ import annotations

import click
from click import shell_completion

from empiarfs.cli.helped import Command

VARIABLE = "_EMPIARFS_COMPLETE"
_PROGRAM = "empiarfs"
SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
def command(*, shell: str) -> int:
    """Print a script by which a shell completes commands, options and files."""
    from empiarfs.cli.group import commands

    found = shell_completion.get_completion_class(shell)
    assert found is not None
    asked = found(commands, {}, _PROGRAM, VARIABLE)
    # Not `source()`: for bash that runs bash, to look at its version.
    click.echo(asked.source_template % asked.source_vars())
    return 0


def register() -> None:
    """Have click answer the shells by the classes below."""
    for kind in (_Bash, _Zsh, _Fish):
        shell_completion.add_completion_class(kind)


class _WithFiles(shell_completion.ShellComplete):
    def get_completions(
        self, args: list[str], incomplete: str
    ) -> list[shell_completion.CompletionItem]:
        """Return what fits; files where nothing does and something other may stand."""
        found = super().get_completions(args, incomplete)
        if found or not args or incomplete.startswith("-"):
            return found
        return [shell_completion.CompletionItem(incomplete, type="file")]


class _Bash(_WithFiles, shell_completion.BashComplete):
    pass


class _Zsh(_WithFiles, shell_completion.ZshComplete):
    pass


class _Fish(_WithFiles, shell_completion.FishComplete):
    pass
