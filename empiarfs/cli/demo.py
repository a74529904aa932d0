"""The command `demo`: shows empiarfs at work on a small archive on this machine."""

from __future__ import annotations

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import verbosity


@click.command("demo", cls=Command)
@click.option("--keep", is_flag=True, help="Leave it mounted, and say how to unmount it.")
@verbosity
def command(*, keep: bool, verbose: bool, quiet: bool) -> int:
    """Show what a mount can do, without internet.

    Makes a small archive in a temporary directory, serves it on 127.0.0.1, mounts it, reads
    from it as a user would, compares what it reads with the originals, and tells what came
    over the wire. Nothing stays behind. The exit status is 0 only if every comparison held.
    """
    from empiarfs.demo.run import run

    mount_point = run(keep=keep, say=_say_nothing if quiet else click.echo, whole=verbose)
    if mount_point is not None:
        click.echo(f"The archive stays mounted at {mount_point}")
        click.echo(f"End it with:  empiarfs umount {mount_point}")
        click.echo("Its server and files go with it; forgotten, a day after their last use.")
    return 0


def _say_nothing(line: str) -> None:
    pass
