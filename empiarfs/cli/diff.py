"""The command `diff`: what has changed in the archive since places of it were indexed.

The exit status is diff(1)'s: 0 if nothing has, 1 if something has, 2 if that can't be told.
With `--json` each change is an object in one array: `change` ("added", "removed", "changed"),
`path`, `target`, `type` ("file", "directory"), `url`, `size`, `modified_s`, `size_before`,
`modified_before_s` (bytes and seconds since 1970, or null). Keys may be added, and don't change.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import reading_options
from empiarfs.errors import EmpiarFSError

if TYPE_CHECKING:
    from empiarfs.browse.comparing import Change, Comparer
    from empiarfs.catalog import Catalog
    from empiarfs.cli.archives import Archive, Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.output import Output
    from empiarfs.core.targets import Target

_TROUBLE = 2


@click.command("diff", cls=Command)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option(
    "--from",
    "index_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Compare with what `index --export` wrote to FILE, not with what is known here.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    index_file: Path | None,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **settings: str | None,
) -> int:
    """Show what was added, removed or changed below TARGET since it was indexed.

    Every directory is listed anew; of files only those are asked for that are listed otherwise
    than before. Nothing is stored: `empiarfs index --refresh` does that. The exit status is 0 if
    nothing has changed, 1 if something has, and 2 if not all could be compared.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures, complain

    try:
        with Failures() as failures, Archives(settings, verbose=verbose, quiet=quiet) as archives:
            changes = _compare(
                archives, targets, index_file, failures, as_json=as_json, quiet=quiet
            )
    except EmpiarFSError as exc:
        complain(str(exc), getattr(exc, "hint", None))
        return _TROUBLE
    return _TROUBLE if failures.status else int(changes > 0)


def _compare(
    archives: Archives,
    targets: tuple[str, ...],
    index_file: Path | None,
    failures: Failures,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    """Print all changes, and return how many there are."""
    from empiarfs.browse.comparing import Comparer
    from empiarfs.cli.output import Form, Output

    places = [archives.find(word) for word in targets]
    changes = 0
    with Output(Form(as_json=as_json)) as output:
        for target, archive in places:
            with failures.caught(target.spelt), _index(archive, index_file) as catalog:
                comparer = Comparer(archive.tree_parts.client, catalog, archive.config.lookup_s)
                found = _print(comparer, target, archive, failures, output, as_json=as_json)
                changes += found
                if not quiet:
                    output.flush()
                    _tell(comparer, target, archive, found)
    return changes


@contextlib.contextmanager
def _index(archive: Archive, file: Path | None) -> Iterator[Catalog]:
    """Lend the index to compare with: what is known here, or what a file says."""
    if file is None:
        yield archive.tree_parts.catalog
        return
    from empiarfs.browse.table_files import import_index
    from empiarfs.catalog import Catalog

    url = archive.tree_parts.client.base_url
    with tempfile.TemporaryDirectory(prefix="empiarfs-") as folder:
        catalog = Catalog(Path(folder) / "index.db", archive_url=url)
        try:
            import_index(catalog, url, file)
            yield catalog
        finally:
            catalog.close()


def _print(
    comparer: Comparer,
    target: Target,
    archive: Archive,
    failures: Failures,
    output: Output,
    *,
    as_json: bool,
) -> int:
    from empiarfs.browse.comparing import Failure

    changes = 0
    for found in comparer.compare(target.path):
        below = found.path[len(target.path) :].lstrip("/")
        shown = target.spell(below, is_directory=found.is_directory)
        if isinstance(found, Failure):
            failures.add(shown, found.error)
            continue
        changes += 1
        if as_json:
            output.value(_values(found, shown, archive))
        else:
            output.line(_line(found, shown))
    for path in comparer.unknown:
        below = path[len(target.path) :].lstrip("/")
        failures.add(target.spell(below, is_directory=True), _NotIndexedError("isn't indexed"))
    return changes


class _NotIndexedError(EmpiarFSError):
    """A directory of which the index has the name only."""


def _values(change: Change, shown: str, archive: Archive) -> dict[str, object]:
    before, after = change.before, change.after
    return {
        "change": change.kind,
        "path": change.path,
        "target": shown,
        "type": "directory" if change.is_directory else "file",
        "url": archive.url(change.path, is_directory=change.is_directory),
        "size": None if after is None else after.size,
        "modified_s": None if after is None else after.modified_s,
        "size_before": None if before is None else before.size,
        "modified_before_s": None if before is None else before.modified_s,
    }


def _line(change: Change, shown: str) -> str:
    from empiarfs.cli.output import utc

    version = change.after or change.before
    size = "-" if version is None else str(version.size)
    time_shown = utc(None if version is None else version.modified_s)
    line = f"{change.kind:<7} {size:>14} {time_shown:>19}  {shown}"
    if change.kind == "changed" and change.before is not None:
        line += f"  (was {change.before.size}, {utc(change.before.modified_s)})"
    return line


def _tell(comparer: Comparer, target: Target, archive: Archive, changes: int) -> None:
    """Say how much was compared with what."""
    from empiarfs.cli.failures import note

    if not comparer.directories:
        return
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(comparer.oldest_s))
    what = f"{changes:,} change{'s' * (changes != 1)}" if changes else "nothing has changed"
    directories = comparer.directories
    note(
        f"{target.spelt}: {what} since {since} "
        f"({directories:,} director{'y' if directories == 1 else 'ies'} listed, "
        f"{archive.tree_parts.counters['requests']:,} requests)"
    )
