"""The command `get`: copies files of the archive to a local directory.

With `--json` one object: `files` and `bytes` (whole now, and fetched by this run),
`resumed_bytes` (that an earlier run had written), `there_files` and `there_bytes` (there
before), `failed`, `seconds`; with `--dry-run` what `plan` prints (`empiarfs.cli.plan`); with
`--verify` `files`, `bytes`, `sound` (their SHA-256 fits), `unknown` (no SHA-256 of them is
known), `wrong`. Keys may be added, and don't change.
"""

from __future__ import annotations

from typing import Any

import click

from empiarfs.cli.options import local_options, reading_options
from empiarfs.cli.selecting import SelectingCommand, chosen_by, depth_option, selecting_options
from empiarfs.cli.selectors import limit_options, selectors_of, table_options


@click.command("get", cls=SelectingCommand)
@click.argument("words", metavar="TARGET... DEST", nargs=-1, required=True)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be copied, and copy nothing.")
@click.option("--overwrite", is_flag=True, help="Replace local files that differ.")
@click.option("--verify", is_flag=True, help="Copy nothing; compare what is there.")
@click.option("--on-done", metavar="CMD", help="Have the shell run CMD at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@selecting_options
@table_options
@limit_options
@depth_option
@local_options
@reading_options
def command(
    *,
    words: tuple[str, ...],
    dry_run: bool,
    overwrite: bool,
    verify: bool,
    on_done: str | None,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Copy files, or all that lies below directories, into the local directory DEST.

    They lie there as in the archive: DEST/10934/data/x.mrc. What is there already, with the
    archive's size and time, is left; what was interrupted goes on where it was. The SHA-256
    of each file is noted in DEST/SHA256SUMS, for `get --verify` and for sha256sum -c.

    For more than some GB EMPIAR recommends Globus.
    """
    from empiarfs.cli.getting import Order, get

    if dry_run and verify:
        raise click.UsageError("--dry-run and --verify don't go together")
    choice = chosen_by(settings, selectors_of(settings))
    order = Order(
        words,
        choice,
        dry_run=dry_run,
        overwrite=overwrite,
        verify=verify,
        on_done=on_done,
        as_json=as_json,
        verbose=verbose,
        quiet=quiet,
    )
    return get(order, settings)
