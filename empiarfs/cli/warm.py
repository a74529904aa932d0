"""The command `warm`: fetches files into the cache before they are read.

With `--json` one object: `files` (of which something was fetched), `bytes`, `there_files`
(of which nothing was missing), `failed`, `seconds`. Keys may be added, and don't change.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.options import local_options, reading_options
from empiarfs.cli.selecting import SelectingCommand, chosen_by, depth_option, selecting_options
from empiarfs.cli.selectors import limit_options, selectors_of, table_options

if TYPE_CHECKING:
    from empiarfs.cache.store import CacheUsage

# A header of any of the formats, and what the kernel reads around it.
_HEAD = 64 * 1024


@click.command("warm", cls=SelectingCommand)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("--heads", is_flag=True, help="Only the first 64 KiB of each file: its header.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@selecting_options
@table_options
@limit_options
@depth_option
@local_options
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
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.wanted import one_archive, wanted_files
    from empiarfs.cli.warming import tell_warmed, warm_files

    choice = chosen_by(settings, selectors_of(settings))
    silent = quiet or as_json
    with (
        Failures() as failures,
        Archives(settings, reads=True, verbose=verbose, quiet=quiet) as archives,
    ):
        found = archives.find_all(targets, failures)
        archive = one_archive(found)
        wanted = wanted_files(found, choice, archives, failures, quiet=silent)
        if failures.status and not wanted and not as_json:
            return failures.status  # "0 B of 0 files are warm" would be no answer
        warmed = warm_files(
            archive,
            wanted,
            failures,
            spares_copies=True,
            most=_HEAD if heads else None,
            check=partial(_check_fits, usage=archive.parts.store.usage()),
            silent=silent,
            quiet=quiet,
        )
    tell_warmed(warmed, len(wanted), "warm", as_json=as_json, quiet=quiet)
    return failures.status


def _check_fits(size: int, usage: CacheUsage) -> None:
    """Raise if the cache can't hold so many bytes beside what is pinned.

    Raises:
        CacheError: It can't.
    """
    from empiarfs.cli.terminal import amount
    from empiarfs.errors import CacheError

    if size > usage.limit - usage.pinned:
        beside = f" beside {amount(usage.pinned)} that are pinned" if usage.pinned else ""
        raise CacheError(
            f"{amount(size)} are chosen, and the cache may hold "
            f"{amount(usage.limit - usage.pinned)}{beside}: choose less "
            "(--heads, --first, --role), or `empiarfs cache size` lets it hold more"
        )
