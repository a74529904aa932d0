"""The command `compare`: how local copies of entries differ from the archive.

The exit status is 0 if nothing does, 1 if something does, 2 if that can't be told of all.
With `--json` each difference is an object in one array: `kind` ("missing", "short", "long",
"different", "extra", "unreadable"), `path` (in the archive), `size` and `local_size` (bytes, or
null), `local` (where the copy lies, or null), `reason`. Keys may be added, and don't change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import reading_options
from empiarfs.config.settings import LOCAL_VERIFY
from empiarfs.errors import EmpiarFSError

_TROUBLE = 2


@click.command("compare", cls=Command)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option(
    "--md5",
    "sums",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Compare copies with these checksums; of md5sum, sha1sum, sha256sum. May be repeated.",
)
@click.option(
    "--verify",
    metavar="MODE",
    default="none",
    show_default=True,
    type=click.Choice(LOCAL_VERIFY),
    help="Compare bytes with the archive's: none, sample, full.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reading_options
def command(
    *,
    directory: Path,
    targets: tuple[str, ...],
    sums: tuple[Path, ...],
    verify: str,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """List how the copies of TARGET in the local directory DIR differ from the archive.

    Files are missing, short, long or different, or extra: in DIR and not in the archive. By
    default names and exact sizes are compared. The exit status is 0 if all is equal, 1 if
    something differs, and 2 if not all could be compared.
    """
    from empiarfs.cli.comparing import Order, compare
    from empiarfs.cli.failures import complain

    order = Order(directory.absolute(), targets, sums, verify, as_json, verbose, quiet)
    try:
        return compare(order, settings)
    except EmpiarFSError as exc:
        complain(str(exc), getattr(exc, "hint", None))
        return _TROUBLE
