"""The command `find`: names below a directory of the archive, without a mount.

Names are printed as they are found: a directory's, then those of the directories in it. The
walk holds one directory at a time; `--sort` holds all that is found.
"""

from __future__ import annotations

from typing import Any

import click

from empiarfs.cli.described import described
from empiarfs.cli.options import form_options, order_options, reading_options
from empiarfs.cli.selecting import (
    SelectingCommand,
    chosen_by,
    depth_option,
    selecting_options,
)
from empiarfs.cli.selectors import (
    limit_options,
    limited,
    selectors_of,
    table_options,
    walks,
)


@click.command("find", cls=SelectingCommand)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@selecting_options
@table_options
@limit_options
@depth_option
@form_options
@order_options(default="none")
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    long: bool,
    as_json: bool,
    null: bool,
    url: bool,
    ftp_url: bool,
    sort: str,
    reverse: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """List what lies below TARGET and matches all of the options.

    A directory that can't be read is an error line, and the rest is listed.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.output import Form, Output
    from empiarfs.cli.rows import Rows

    form = Form(long, as_json, null, url, ftp_url)
    choice = chosen_by(settings, selectors_of(settings))
    if reverse and sort == "none":
        raise click.UsageError("--reverse goes with --sort")
    reads = choice.selectors.names_files
    with (
        Failures() as failures,
        Archives(settings, reads=reads, verbose=verbose, quiet=quiet) as archives,
    ):
        targets_found = archives.find_all(targets, failures)
        every = [Rows(target, archive, form, failures) for target, archive in targets_found]
        choice = described(choice, every, archives)
        found = walks(every, choice, archives, failures)
        sizes = form.needs_sizes or sort in ("size", "time")
        with Output(form) as output:
            for rows, walk in zip(every, found, strict=True):
                with failures.caught(rows.target.spelt):
                    for exact in limited(
                        rows, walk, choice, sort=sort, reverse=reverse, sizes=sizes
                    ):
                        archives.working()
                        output.row(rows.row(exact))
        archives.tell_age()
    return failures.status
