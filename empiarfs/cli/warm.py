"""The command `warm`: fetches files into the cache before they are read.

With `--json` one object: `files` (of which something was fetched), `bytes`, `there_files`
(of which nothing was missing), `failed`, `seconds`. Keys may be added, and don't change.
"""

from __future__ import annotations

import json
import time
from typing import Any

import click

from empiarfs.cli.options import reading_options
from empiarfs.cli.selecting import SelectingCommand, chosen_by, depth_option, selecting_options
from empiarfs.cli.selectors import limit_options, selectors_of, table_options

# A header of any of the formats, and what the kernel reads around it.
_HEAD = 64 * 1024
_FLUSH_S = 60.0


@click.command("warm", cls=SelectingCommand)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("--heads", is_flag=True, help="Only the first 64 KiB of each file: its header.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@selecting_options
@table_options
@limit_options
@depth_option
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    heads: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Fetch files into the cache, for mounts and commands to find them there.

    Whoever reads meanwhile goes first. What is there already isn't fetched again, so that
    the same command goes on where it was interrupted.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures, note
    from empiarfs.cli.progress import progress
    from empiarfs.cli.terminal import amount
    from empiarfs.cli.wanted import one_archive, wanted_files
    from empiarfs.downloads import Progress, Warming

    choice = chosen_by(settings, selectors_of(settings))
    began_s = time.monotonic()
    silent = quiet or as_json
    with (
        Failures() as failures,
        Archives(settings, reads=True, verbose=verbose, quiet=quiet) as archives,
    ):
        found = archives.find_all(targets, failures)
        archive = one_archive(found)
        wanted = wanted_files(found, choice, archives, failures, quiet=silent)
        parts = archive.parts
        warming = Warming(
            parts.fetcher,
            parts.client.base_url,
            most=_HEAD if heads else None,
            wait_s=archive.config.wait_s,
            failed=failures.add,
        )
        total = sum(map(warming.size_of, wanted))
        _check_fits(total, parts.directory.limit)
        with progress("warming", len(wanted), total, quiet=silent) as told:

            def tell(done: Progress) -> None:
                told(done.files + done.there, done.size + done.there_size)

            try:
                done = warming.run(wanted, tell)
            except KeyboardInterrupt:
                if not quiet:
                    note("stopped; what has come stays, and the same command goes on from here")
                raise
        if not parts.fetcher.flush(_FLUSH_S):
            failures.say("not all of it could be written to the cache; see `empiarfs cache list`")
    seconds = time.monotonic() - began_s
    if as_json:
        values = {
            "files": done.files,
            "bytes": done.size,
            "there_files": done.there,
            "failed": done.failed,
            "seconds": round(seconds, 1),
        }
        click.echo(json.dumps(values))
    elif not quiet:
        files = f"{len(wanted)} file{'s' * (len(wanted) != 1)}"
        failed = f", {done.failed} FAILED" if done.failed else ""
        click.echo(f"{amount(total)} of {files} are warm; {amount(done.size)} came now{failed}")
    return failures.status


def _check_fits(size: int, limit: int) -> None:
    """Raise if the cache can't hold so many bytes.

    Raises:
        CacheError: It can't.
    """
    from empiarfs.cli.terminal import amount
    from empiarfs.errors import CacheError

    if size > limit:
        raise CacheError(
            f"{amount(size)} are chosen, and the cache may hold {amount(limit)}: choose less "
            "(--heads, --first, --role), or `empiarfs cache size` lets it hold more"
        )
