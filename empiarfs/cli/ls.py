"""The command `ls`: what is in a directory of the archive, without a mount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.described import described
from empiarfs.cli.helped import Command
from empiarfs.cli.options import form_options, order_options, reading_options
from empiarfs.cli.selecting import Chosen, chosen_by, role_option
from empiarfs.cli.selectors import limit_options, limited, selectors_of

if TYPE_CHECKING:
    from empiarfs.cli.output import Output
    from empiarfs.cli.rows import Rows


@click.command("ls", cls=Command)
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("-d", "--directory", is_flag=True, help="List directories themselves.")
@role_option
@limit_options
@form_options
@order_options(default="name")
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    directory: bool,
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
    """List what is in TARGET; without one, the archive's entries.

    TARGET is a place in the archive (EMPIAR-10934/data, a URL), or a path in a mount.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.output import Form, Output
    from empiarfs.cli.rows import Rows
    from empiarfs.core.targets import ALL

    form = Form(long, as_json, null, url, ftp_url)
    choice = chosen_by(settings, selectors_of(settings))
    words = targets or (ALL,)
    with Failures() as failures, Archives(settings, verbose=verbose, quiet=quiet) as archives:
        found = archives.find_all(words, failures)
        with Output(form) as output:
            for number, (target, archive) in enumerate(found):
                with failures.caught(target.spelt):
                    rows = Rows(target, archive, form, failures)
                    headed = len(found) > 1 and not (directory or as_json or null)
                    means = described(choice, [rows], archives)
                    _list(rows, output, means, number, headed, directory, sort, reverse)
        archives.tell_age()
    return failures.status


def _list(
    rows: Rows,
    output: Output,
    choice: Chosen,
    number: int,
    headed: bool,
    itself: bool,
    sort: str,
    reverse: bool,
) -> None:
    from empiarfs.cli.rows import ordered

    browser = rows.archive.browser
    item = browser.look(rows.target.path)
    lists = item.is_directory and not itself
    items = browser.children(item) if lists else [item]
    if headed and lists and not rows.prints_urls:
        output.line(("\n" if number else "") + f"{rows.target.spelt}:")
    sizes = rows.form.needs_sizes or sort in ("size", "time")
    if choice.selectors:
        found = limited(rows, [items], choice, sort=sort, reverse=reverse, sizes=sizes)
    else:
        found = ordered(rows.exact(items, needed=sizes), sort, reverse=reverse)
    for exact in found:
        output.row(rows.row(exact, name_only=lists))
