"""The command `mount`, also as `empiarfs SOURCE MOUNTPOINT`, which mount(8) calls.

The settings on the command line are those of `empiarfs.config`, by the same names; all of
them, and the options of mount(8) and FUSE, may also stand behind `-o`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from shlex import quote
from typing import TYPE_CHECKING, Any, TypeVar

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import setting_options, verbosity
from empiarfs.cli.sources import Source, parse_source, source_word
from empiarfs.config import (
    Config,
    MountOptions,
    config_files,
    load,
    parse_mount_options,
)

if TYPE_CHECKING:
    from empiarfs.mount.request import MountRequest, MountSummary

# Those of the settings that have an option of their own.
_ARGUMENTS = (
    "archive_url",
    "api_url",
    "cache_dir",
    "cache_size",
    "min_free",
    "max_connections",
    "limit_rate",
    "wait",
    "local",
    "local_verify",
    "log_file",
    "log_level",
    "metrics",
)
# A small one, for the commands to try.
_AN_ENTRY = "10017"
_Function = TypeVar("_Function", bound=Callable[..., Any])


def _mount_arguments(function: _Function) -> _Function:
    point = click.argument("mount_point", metavar="MOUNTPOINT")
    foreground = click.option(
        "-f", "--foreground", is_flag=True, help="Stay in the foreground, and log to stderr."
    )
    options = click.option(
        "-o",
        "options",
        metavar="OPT,…",
        multiple=True,
        help="Any setting as name=value; options of mount(8); nonempty.",
    )
    return point(foreground(options(setting_options(*_ARGUMENTS)(verbosity(function)))))


@click.command("mount", cls=Command)
@_mount_arguments
@click.option("--launch-fd", type=int, hidden=True)
def command(
    *,
    mount_point: str,
    foreground: bool,
    options: tuple[str, ...],
    verbose: bool,
    quiet: bool,
    launch_fd: int | None,
    **settings: str | None,
) -> int:
    """Mount EMPIAR on the directory MOUNTPOINT.

    Returns when the mount answers; a process in the background serves it until
    `empiarfs umount MOUNTPOINT`.
    """
    if launch_fd is not None:
        return _serve_launched(launch_fd)
    parsed = parse_mount_options(",".join(options))
    return _mount(Source(), None, mount_point, parsed, settings, foreground, verbose, quiet)


@click.command("SOURCE", cls=Command, options_metavar="[OPTIONS]")
@click.argument("source")
@_mount_arguments
@click.option("-t", "kind", hidden=True)
def source_command(
    *,
    source: str,
    mount_point: str,
    foreground: bool,
    options: tuple[str, ...],
    verbose: bool,
    quiet: bool,
    kind: str | None,
    **settings: str | None,
) -> int:
    """Mount SOURCE on the directory MOUNTPOINT, as mount(8) wants it.

    SOURCE is empiar, empiar:ID for one entry, or the URL of an archive.
    """
    from empiarfs.mount.points import AlreadyMountedError

    given, source = source, source_word(source, mount_point)
    parsed_source = parse_source(source)
    if parsed_source is None:
        raise click.UsageError(f"{source} is no source")
    parsed = parse_mount_options(",".join(options), from_mount=True)
    # mount(8) says what went wrong by itself, and nothing where all went well.
    quiet = quiet or not verbose
    try:
        return _mount(
            parsed_source, source, mount_point, parsed, settings, foreground, False, quiet
        )
    except AlreadyMountedError as exc:
        # `mount -a` looks for the path that it made of the source, and finds nothing mounted.
        if given == source or exc.source != source:
            raise
        return 0


def _mount(
    source: Source,
    source_text: str | None,
    mount_point: str,
    options: MountOptions,
    settings: dict[str, str | None],
    foreground: bool,
    verbose: bool,
    quiet: bool,
) -> int:
    config = made_config(source, options, settings, verbose=verbose)
    request = made_request(_place(mount_point), source, source_text, config, options)
    removed = _prepare(request)
    if removed and not quiet:
        click.echo(f"removed a dead mount from {request.mount_point}")

    def announce(summary: MountSummary) -> None:
        if not quiet:
            _show(summary)
            _suggest(request, summary)

    if foreground:
        from empiarfs.mount.daemon import run

        run(request, config.log_file, announce)
    else:
        from empiarfs.mount.launch import launch

        announce(launch(request))
    return 0


def _place(mount_point: str) -> str:
    from empiarfs.mount.passed import passed_descriptor
    from empiarfs.mount.points import resolve

    return mount_point if passed_descriptor(mount_point) is not None else resolve(mount_point)


def _prepare(request: MountRequest) -> int:
    """Check that it can be mounted; return how many dead mounts were removed for it."""
    from empiarfs.mount.passed import check_passed, passed_descriptor
    from empiarfs.mount.points import check_fuse, prepare

    passed = passed_descriptor(request.mount_point)
    if passed is not None:
        check_passed(passed)
        return 0
    check_fuse(allow_other=request.config.allow_other or request.config.allow_root)
    return prepare(request.mount_point, nonempty=request.nonempty)


def made_config(
    source: Source, options: MountOptions, settings: dict[str, str | None], *, verbose: bool
) -> Config:
    """Return the settings of a mount, by its source, `-o` and the options of the command."""
    arguments = {name: text for name, text in settings.items() if text is not None}
    given = dict(options.settings)
    if source.archive_url is not None:
        given["archive_url"] = source.archive_url
    if verbose and "log_level" not in given:
        arguments.setdefault("log_level", "debug")
    return load(given, os.environ, config_files(os.environ), arguments=arguments).config


def made_request(
    mount_point: str,
    source: Source,
    source_text: str | None,
    config: Config,
    options: MountOptions,
) -> MountRequest:
    """Return what is to be mounted."""
    from empiarfs.mount.request import MountRequest

    default = "empiar" if config.archive_url == Config().archive_url else config.archive_url
    return MountRequest(
        mount_point=mount_point,
        source=source_text or default,
        root=source.root,
        config=config,
        nonempty="nonempty" in options.ignored,
        fuse_options=dict(options.fuse),
    )


def _serve_launched(descriptor: int) -> int:
    """Be the daemon that another `empiarfs mount` has started."""
    from empiarfs.errors import EmpiarFSError, MountError
    from empiarfs.mount.daemon import run
    from empiarfs.mount.launch import Launched
    from empiarfs.mount.logs import choose_log_file

    launched = Launched(descriptor)
    try:
        request = launched.request()
        log_file = choose_log_file(request.config, request.mount_point)
        run(request, log_file, launched.mounted, in_background=True)
    except EmpiarFSError as exc:
        launched.failed(exc)
        return 1
    except Exception as exc:
        launched.failed(MountError(f"the daemon failed: {exc!r}"))
        raise
    return 0


def _show(summary: MountSummary) -> None:
    lines = [
        ("mounted", f"{summary.archive_url} on {summary.mount_point}"),
        ("cache", summary.cache),
        ("cache size", summary.cache_limit),
        *([("copies", summary.local)] if summary.local else []),
        ("log", summary.log),
        *(("note", note) for note in summary.notes),
    ]
    # What somebody else has mounted is theirs to unmount.
    if not summary.mount_point.startswith("/dev/fd/"):
        lines.append(("unmount", f"empiarfs umount {summary.mount_point}"))
    for name, text in lines:
        click.echo(f"{name + ':':<12}{text}")


def _suggest(request: MountRequest, summary: MountSummary) -> None:
    """Print three commands to try next."""
    point = summary.mount_point
    is_empiar = request.config.archive_url == Config().archive_url and not request.root
    entry = f"{point}/{_AN_ENTRY}" if is_empiar else point
    look = f"cat {quote(f'{entry}/.empiar/README.txt')}"
    if request.config.metadata == "off":
        look = f"df -h {quote(point)}"
    for title, line in (
        ("try", f"ls -l {quote(f'{entry}/data' if is_empiar or request.root else entry)}"),
        ("", look),
        ("", f"empiarfs status {quote(point)}"),
    ):
        click.echo(f"{title and title + ':':<12}{line}")
