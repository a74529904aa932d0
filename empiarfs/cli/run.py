"""The command `run`: a mount for one program, which nobody else sees."""

from __future__ import annotations

import os
from typing import Any

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import setting_options, verbosity
from empiarfs.cli.sources import parse_source

_SETTINGS = (
    "archive_url",
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
)


@click.command("run", cls=Command)
@click.argument("words", metavar="-- CMD [ARG]...", nargs=-1, required=True)
@click.option("--at", metavar="DIR", help="Mount on this directory, instead of a fresh one.")
@click.option("--source", metavar="SOURCE", default="empiar", show_default=True,
              help="What to mount: empiar, empiar:ID for one entry, or a URL.")  # fmt: skip
@click.option("-o", "options", metavar="OPT,…", multiple=True, help="As of `empiarfs mount`.")
@setting_options(*_SETTINGS)
@verbosity
def command(
    *,
    words: tuple[str, ...],
    at: str | None,
    source: str,
    options: tuple[str, ...],
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Run CMD with a mount that only CMD sees, and that ends with it.

    Neither root nor fusermount3 is needed. {} in CMD stands for the mount point, which is
    also in EMPIARFS_MOUNT. The exit status is that of CMD.
    """
    from empiarfs.cli.failures import complain
    from empiarfs.cli.mount import made_config, made_request
    from empiarfs.config import parse_mount_options
    from empiarfs.mount.private import checked_place, run

    parsed = parse_source(source)
    if parsed is None:
        raise click.UsageError(f"--source: {source} is no source; such are empiar, empiar:10934")
    mount_options = parse_mount_options(",".join(options))
    config = made_config(parsed, mount_options, settings, verbose=verbose)
    point = "" if at is None else checked_place(at)
    text = None if source == "empiar" else source
    request = made_request(point, parsed, text, config, mount_options)

    def tell(point: str) -> None:
        if verbose:
            click.echo(f"mounted on {point}", err=True)

    return run(request, words, os.environ, mounted=tell, complain=complain)
