"""The command `plan`: how much files are, whether they fit, how long they would take.

With `--json` one object: `files`, `bytes` (the middle of) `bytes_low` and `bytes_high` (equal
where all sizes are exact), `there_files` and `there_bytes` (that lie in DEST already),
`cached_bytes` (of the others, in the cache), `cache_limit_bytes`, `free_bytes` (on the disk of
DEST, or null), `bytes_per_s`, `measured_s` (when that was measured, in seconds since 1970; null
if it is assumed), `seconds` (how long the rest takes at that speed), `is_much` (other ways than
HTTPS should be thought of). Keys may be added, and don't change.
"""

from __future__ import annotations

import json
import shlex
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.options import reading_options
from empiarfs.cli.selecting import (
    Chosen,
    SelectingCommand,
    chosen_by,
    depth_option,
    selecting_options,
)
from empiarfs.cli.selectors import limit_options, limited, selectors_of, table_options, walks
from empiarfs.cli.terminal import in_one_line

if TYPE_CHECKING:
    from empiarfs.cli.archives import Archive, Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.planning import Planned
    from empiarfs.core.targets import Target


@click.command("plan", cls=SelectingCommand)
@click.argument("words", metavar="TARGET... [DEST]", nargs=-1, required=True)
@click.option("--exact", is_flag=True, help="Ask for each size that isn't known exactly.")
@click.option(
    "--globus-batch",
    "globus",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the list for `globus transfer --batch FILE`.",
)
@click.option(
    "--aria2",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the list for `aria2c --input-file=FILE`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@selecting_options
@table_options
@limit_options
@depth_option
@reading_options
def command(
    *,
    words: tuple[str, ...],
    exact: bool,
    globus: Path | None,
    aria2: Path | None,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Tell how much would be fetched, whether that fits, and how long it would take.

    Nothing is fetched but listings; sizes are exact where they are known. A last word that is
    no place in the archive is the local directory DEST, where `get` would copy to.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.planning import figures_of, lines_of, outlook, values_of, with_cached
    from empiarfs.cli.wanted import one_archive

    choice = chosen_by(settings, selectors_of(settings))
    reads = choice.selectors.names_files
    with (
        Failures() as failures,
        Archives(settings, reads=reads, verbose=verbose, quiet=quiet) as archives,
    ):
        targets, destination = _sorted(words, archives, failures)
        archive = one_archive(targets)
        planned, whole = _planned(
            targets, destination, choice, archives, failures, exact=exact, quiet=quiet or as_json
        )
        if failures.status and not planned and not as_json:
            return failures.status  # "0 files, which fit" would be no answer
        found = outlook(
            figures_of(with_cached(planned, archive)), archive, destination, caches=True
        )
        if as_json:
            click.echo(json.dumps(values_of(found)))
        elif not quiet:
            for line in lines_of(found):
                click.echo(line)
        _write_lists(planned, whole, globus, aria2, archive, failures, quiet=quiet or as_json)
        archives.tell_age()
    return failures.status


def _sorted(
    words: tuple[str, ...], archives: Archives, failures: Failures
) -> tuple[list[tuple[Target, Archive]], Path | None]:
    """Return the targets, and DEST if the last word is no place in the archive."""
    if len(words) > 1 and archives.look_for(words[-1]) is None:
        return archives.find_all(words[:-1], failures), Path(words[-1]).absolute()
    return archives.find_all(words, failures), None


def _planned(
    targets: list[tuple[Target, Archive]],
    destination: Path | None,
    choice: Chosen,
    archives: Archives,
    failures: Failures,
    *,
    exact: bool,
    quiet: bool,
) -> tuple[list[Planned], list[str]]:
    """Return the files that are chosen, each once, and the directories of which all are."""
    from empiarfs.cli.described import described
    from empiarfs.cli.output import Form
    from empiarfs.cli.planning import planned_files
    from empiarfs.cli.progress import progress
    from empiarfs.cli.rows import Rows
    from empiarfs.core.selection import Selection

    takes_all = choice == Chosen(Selection(), None)
    every = [Rows(target, archive, Form(), failures) for target, archive in targets]
    choice = described(choice, every, archives)
    planned: dict[str, Planned] = {}
    whole: list[str] = []
    size = 0
    with progress("looking", 0, 0, quiet=quiet) as told:
        for rows, walk in zip(every, walks(every, choice, archives, failures), strict=True):
            with failures.caught(rows.target.spelt):
                found = limited(rows, walk, choice, sizes=exact)
                known = rows.archive.browser.with_known(found)
                for each in planned_files(rows, known, destination):
                    archives.working()
                    if each.path not in planned:
                        planned[each.path] = each
                        size += each.high
                        told(len(planned), size)
                path = rows.target.path
                if takes_all and path and rows.archive.browser.look(path).is_directory:
                    whole.append(path)
    return list(planned.values()), whole


def _write_lists(
    planned: list[Planned],
    whole: list[str],
    globus: Path | None,
    aria2: Path | None,
    archive: Archive,
    failures: Failures,
    *,
    quiet: bool,
) -> None:
    """Write the lists that are wanted, and tell how they are used."""
    from empiarfs.cli.batches import batch_lines, write_list
    from empiarfs.core.batches import GLOBUS_ID, aria2_lines, globus_line

    def tell(lines: int, path: Path, use: str) -> None:
        if not quiet:
            name = in_one_line(str(path))
            click.echo(f"{name} has {lines} line{'s' * (lines != 1)}; {use} {shlex.quote(name)}")

    if globus is not None:
        beside = (p.path for p in planned if not any(p.path.startswith(f"{w}/") for w in whole))

        def directory_line(path: str) -> str:
            return globus_line(path, is_directory=True)

        lines = chain(
            batch_lines(dict.fromkeys(whole), directory_line, failures, "Globus"),
            batch_lines(beside, globus_line, failures, "Globus"),
        )
        count = write_list(globus, lines, "--globus-batch")
        tell(count, globus, f"globus transfer {GLOBUS_ID} YOUR_COLLECTION:DIRECTORY --batch")
    if aria2 is not None:

        def file_lines(path: str) -> str:
            return aria2_lines(archive.url(path, is_directory=False), path)

        files = batch_lines((each.path for each in planned), file_lines, failures, "aria2")
        count = write_list(aria2, files, "--aria2")
        tell(count, aria2, "aria2c -d DIRECTORY -c -R -j 5 -i")
