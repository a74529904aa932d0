"""The command `demo`: shows empiarfs at work on a small archive on this machine."""

from __future__ import annotations

import click

from empiarfs.demo.run import run

# What a shell makes of a program that SIGINT ended.
_INTERRUPTED = 130


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave it mounted, and say how to unmount it.")
@click.pass_context
def command(context: click.Context, *, keep: bool) -> None:
    """Show what a mount can do, without internet.

    Makes a small archive in a temporary directory, serves it on 127.0.0.1, mounts it, reads
    from it as a user would, compares every byte with the original, and tells what came over
    the wire. Nothing stays behind. The exit status is 0 only if every comparison held.
    """
    try:
        run(keep=keep, say=click.echo)
    except KeyboardInterrupt:
        click.echo("empiarfs: interrupted; what the demo made is removed", err=True)
        context.exit(_INTERRUPTED)
