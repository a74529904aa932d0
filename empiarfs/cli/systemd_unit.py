"""The command `systemd-unit`: prints a unit by which systemd keeps a mount."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from empiarfs.cli.helped import Command
from empiarfs.errors import ConfigError

if TYPE_CHECKING:
    from empiarfs.mount.units import Tools

_PATHS = ("cache_dir", "log_file")


@click.command("systemd-unit", cls=Command)
@click.argument("mount_point", metavar="[MOUNTPOINT]", required=False)
@click.option("--system", "kind", flag_value="system", default=True,
              help="A service of the machine, for all its users (default).")  # fmt: skip
@click.option("--user", "kind", flag_value="user", help="A service of yours, for you alone.")
@click.option("--run-as", "run_as", metavar="NAME", help="With --system: who mounts.")
@click.option("-o", "options", metavar="OPT,…", multiple=True, help="As of `empiarfs mount`.")
def command(
    *, mount_point: str | None, kind: str, run_as: str | None, options: tuple[str, ...]
) -> int:
    """Print a unit for systemd that mounts EMPIAR at boot, and anew should it fail.

    Without MOUNTPOINT, the machine's is /empiar and a user's ~/empiar.
    """
    from empiarfs.control.runtime import SERVICE_DIRECTORY
    from empiarfs.mount import units

    given = _checked(options)
    tools = _tools()
    if kind == "user":
        if run_as is not None:
            raise click.UsageError("--run-as goes with --system only")
        point = _absolute(mount_point or str(Path.home() / "empiar"))
        click.echo(units.user_unit(tools, point, given), nl=False)
        return 0
    user = run_as or units.SERVICE_USER
    if not units.is_user_name(user):
        raise ConfigError(f"--run-as {user}: not the name of a user")
    point = _absolute(mount_point or units.SYSTEM_POINT)
    unit = units.system_unit(tools, point, given, user=user, runtime=SERVICE_DIRECTORY)
    click.echo(unit, nl=False)
    _tell_what_is_missing(tools.program, user)
    return 0


def _checked(options: tuple[str, ...]) -> list[str]:
    """Return the options, one by one, after a look at each as `mount` would take."""
    from empiarfs.config import load, parse_mount_options
    from empiarfs.config.mount_options import split_options

    text = ",".join(options)
    settings = parse_mount_options(text).settings
    load(settings, {}, [])
    for name in _PATHS:
        if not settings.get(name, "/").startswith(("/", "~")):
            raise ConfigError(f"-o {name}: a service has no current directory; begin it with /")
    return [_printable(option) for option in split_options(text) if option != "allow_other"]


def _absolute(mount_point: str) -> str:
    return os.path.abspath(_printable(mount_point))


def _printable(text: str) -> str:
    """Return the text, or refuse what can't stand in a unit."""
    if not text.isprintable():
        raise ConfigError(f"{text!r} can't stand in a unit: it has characters that aren't printed")
    return text


def _tools() -> Tools:
    from empiarfs.mount.helper import own_program
    from empiarfs.mount.units import Tools

    def found(*names: str) -> str:
        places = (shutil.which(name, path="/usr/bin:/bin") for name in names)
        return next((place for place in places if place), f"/usr/bin/{names[0]}")

    return Tools(
        program=str(own_program()),
        fusermount=found("fusermount3", "fusermount"),
        install=found("install"),
        mkdir=found("mkdir"),
    )


def _tell_what_is_missing(program: str, user: str) -> None:
    """Say what the unit needs and isn't there yet."""
    from empiarfs.cli.failures import note
    from empiarfs.mount.points import users_may_allow_other

    try:
        pwd.getpwnam(user)
    except KeyError:
        note(f"there is no user {user}: sudo useradd --system --shell /usr/sbin/nologin {user}")
    if not users_may_allow_other():
        note("users may not let others in: echo user_allow_other | sudo tee -a /etc/fuse.conf")
    closed = _closed_folder(program)
    if closed is not None:
        note(f"{user} may not enter {closed}, and so can't run {program}; install it in a place "
             "that is open to all, such as /opt/empiarfs")  # fmt: skip


def _closed_folder(program: str) -> Path | None:
    """Return the first folder on the way to a program that isn't open to all."""
    ways = (Path(program), Path(program).resolve(), Path(sys.executable).resolve())
    folders = (folder for way in ways for folder in way.parents)
    return next((each for each in folders if not each.stat().st_mode & stat.S_IXOTH), None)
