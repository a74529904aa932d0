"""The command `umount`."""

from __future__ import annotations

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import verbosity


@click.command("umount", cls=Command)
@click.argument("mount_point", metavar="MOUNTPOINT")
@click.option("-l", "--lazy", is_flag=True, help="Also if programs use it: they lose it.")
@verbosity
def command(*, mount_point: str, lazy: bool, verbose: bool, quiet: bool) -> int:
    """Unmount MOUNTPOINT, and return when its process has ended."""
    from empiarfs.mount.ending import end_mount

    note = end_mount(mount_point, lazy=lazy)
    if note and not quiet:
        click.echo(note)
    elif verbose:
        click.echo(f"unmounted {mount_point}")
    return 0
