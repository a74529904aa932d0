"""The command `install-helper`: lets mount(8) and fstab find empiarfs."""

from __future__ import annotations

import os
import sys

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import verbosity
from empiarfs.errors import MountError


@click.command("install-helper", cls=Command)
@click.option("--remove", "is_removal", is_flag=True, help="Remove it again.")
@click.option("--test", "is_test", is_flag=True, help="Only try it, where nobody sees the mounts.")
@verbosity
def command(*, is_removal: bool, is_test: bool, verbose: bool, quiet: bool) -> int:
    """Let `mount -t empiarfs`, `mount -t fuse.empiarfs` and fstab work, also at boot.

    Two links in /sbin lead to this installation; then each way to mount is tried. For root:
    sudo "$(command -v empiarfs)" install-helper
    """
    from empiarfs.mount import helper

    if is_removal and is_test:
        raise click.UsageError("--remove and --test exclude each other")
    if os.geteuid() != 0:
        raise MountError(
            "only root can do that", hint=f"run it by sudo: {_by_sudo(is_removal, is_test)}"
        )
    if is_removal:
        removed = helper.remove()
        if not quiet:
            click.echo("\n".join(f"removed {link}" for link in removed) or "nothing was there")
        return 0
    if not is_test:
        _install(quiet=quiet)
    return _try(quiet=quiet)


def _install(*, quiet: bool) -> None:
    from empiarfs.cli.failures import note
    from empiarfs.mount import helper

    program = helper.own_program()
    own = helper.check_trust(program, os.environ)
    for link in helper.install(program):
        if not quiet:
            click.echo(f"{link} -> {program}")
    if own is not None and not quiet:
        note(f"{own} is yours: root runs what you put there when it mounts")


def _try(*, quiet: bool) -> int:
    from empiarfs.cli.failures import complain
    from empiarfs.mount import helper

    status = 0
    for way in helper.tried():
        if way.problem:
            complain(f"{way.command}: {way.problem}")
            status = 1
        elif not quiet:
            click.echo(f"{'works':<9}{way.command}")
    return status


def _by_sudo(is_removal: bool, is_test: bool) -> str:
    from empiarfs.mount.helper import own_program

    try:
        program = str(own_program())
    except MountError:
        program = f"{sys.executable} -m empiarfs"
    further = " --remove" if is_removal else " --test" if is_test else ""
    return f"sudo {program} install-helper{further}"
