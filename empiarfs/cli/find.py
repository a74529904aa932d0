"""The command `find`: names below a directory of the archive, without a mount.

Names are printed as they are found: a directory's, then those of the directories in it. The
walk holds one directory at a time; `--sort` holds all that is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.options import form_options, order_options, reading_options
from empiarfs.cli.selecting import (
    Chosen,
    SelectingCommand,
    chosen,
    depth_option,
    pages,
    selected,
    selecting_options,
)

if TYPE_CHECKING:
    from empiarfs.browse import Exact
    from empiarfs.cli.rows import Rows


@click.command("find", cls=SelectingCommand)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@selecting_options
@depth_option
@form_options
@order_options(default="none")
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    globs: tuple[str, ...],
    ignore_case: bool,
    expressions: tuple[str, ...],
    kind: str | None,
    size: str | None,
    newer: str | None,
    max_depth: int | None,
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
    from empiarfs.cli.rows import Rows, ordered

    form = Form(long, as_json, null, url, ftp_url)
    choice = chosen(
        globs=globs,
        ignore_case=ignore_case,
        expressions=expressions,
        kind=kind,
        size=size,
        newer=newer,
        max_depth=max_depth,
    )
    if reverse and sort == "none":
        raise click.UsageError("--reverse goes with --sort")
    with Failures() as failures, Archives(settings, verbose=verbose, quiet=quiet) as archives:
        places = archives.find_all(targets, failures)
        with Output(form) as output:
            for target, archive in places:
                with failures.caught(target.spelt):
                    rows = Rows(target, archive, form, failures)
                    sizes = form.needs_sizes or sort in ("size", "time")
                    for exact in ordered(_found(rows, choice, sizes), sort, reverse=reverse):
                        archives.working()
                        output.row(rows.row(exact))
        archives.tell_age()
    return failures.status


def _found(rows: Rows, choice: Chosen, sizes: bool) -> Iterator[Exact]:
    start = rows.archive.browser.look(rows.target.path)
    if not start.is_directory:
        if choice.selection.includes(start.name, is_directory=False):
            yield from selected(rows, [start], choice, sizes=sizes)
        return
    for items in pages(rows, start, choice):
        yield from selected(rows, items, choice, sizes=sizes)
