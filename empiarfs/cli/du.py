"""The command `du`: how many bytes lie below a directory of the archive.

With `--json` each line is an object in one array: `path`, `target`, `url`, `size` (bytes),
`files`, and with `--estimate` `size_low` and `size_high`, between which the true size lies.
Keys may be added, and don't change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.described import described
from empiarfs.cli.options import reading_options
from empiarfs.cli.selecting import (
    Chosen,
    SelectingCommand,
    chosen_by,
    depth_of,
    selecting_options,
)
from empiarfs.cli.selectors import limit_options, limited, selectors_of, table_options, walks

if TYPE_CHECKING:
    from empiarfs.browse import Exact, Item
    from empiarfs.cli.output import Output
    from empiarfs.cli.rows import Rows


@dataclass(slots=True)
class _Sum:
    """What was counted: files, and bounds of their bytes, which are equal where exact."""

    files: int = 0
    low: int = 0
    high: int = 0

    def add(self, low: int, high: int) -> None:
        self.files += 1
        self.low += low
        self.high += high


@click.command("du", cls=SelectingCommand)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("-d", "--max-depth", "depth", type=click.IntRange(min=0), default=0, metavar="N",
              help="A line also for directories up to N levels below TARGET.")  # fmt: skip
@click.option("-b", "--bytes", "in_bytes", is_flag=True, help="Print bytes, not GB and TB.")
@click.option(
    "--estimate", is_flag=True, help="By the listings' rounded sizes: far fewer requests."
)
@click.option("--sort", type=click.Choice(("name", "size")), default="name", show_default=True)
@click.option("-r", "--reverse", is_flag=True, help="Sort the other way round.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@selecting_options
@table_options
@limit_options
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    depth: int,
    in_bytes: bool,
    estimate: bool,
    sort: str,
    reverse: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Add up the sizes of the files below TARGET that match all of the options.

    Exact sizes cost a request for each file whose size isn't known yet.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.output import Form, Output
    from empiarfs.cli.rows import Rows

    form = Form(as_json=as_json)
    choice = chosen_by(settings, selectors_of(settings))
    reads = choice.selectors.names_files
    with (
        Failures() as failures,
        Archives(settings, reads=reads, verbose=verbose, quiet=quiet) as archives,
    ):
        places = archives.find_all(targets, failures)
        every = [Rows(target, archive, form, failures) for target, archive in places]
        choice = described(choice, every, archives)
        found = walks(every, choice, archives, failures)
        with Output(form) as output:
            for rows, walk in zip(every, found, strict=True):
                with failures.caught(rows.target.spelt):
                    start = rows.archive.browser.look(rows.target.path)
                    sums = _sums(rows, walk, choice, depth, estimate=estimate)
                    names = _order(sums, sort, reverse=reverse)
                    for name in names:
                        is_directory = start.is_directory
                        _print(rows, output, name, sums[name], is_directory, in_bytes=in_bytes)
        archives.tell_age()
    return failures.status


def _sums(
    rows: Rows, walk: Iterator[list[Item]], choice: Chosen, depth: int, *, estimate: bool
) -> dict[str, _Sum]:
    """Return the sums of the target and of the directories below it, by path below it."""
    sums = {"": _Sum()}

    def noted() -> Iterator[list[Item]]:
        for items in walk:
            for item in items:
                below = rows.below(item)
                if item.is_directory and depth_of(below) <= depth:
                    sums.setdefault(below, _Sum())
            yield items

    for exact in limited(rows, noted(), choice, sizes=not estimate):
        bounds = _bounds(rows, exact)
        if bounds is not None:
            for below in _above(rows.below(exact.item), depth):
                sums.setdefault(below, _Sum()).add(*bounds)
    return sums


def _bounds(rows: Rows, exact: Exact) -> tuple[int, int] | None:
    """Return the least and the largest size that a file may have; None if none is known."""
    from empiarfs.core.sizes import bounds_of

    if exact.item.is_directory or exact.error is not None:
        return None
    if exact.version is not None:
        return exact.version.size, exact.version.size
    listed = bounds_of(exact.item.size_text) if exact.item.size_text else None
    if listed is not None:
        return listed
    # A listing without sizes, or a name that isn't listed.
    return next((_bounds(rows, each) for each in rows.exact([exact.item], needed=True)), None)


def _above(below: str, depth: int) -> list[str]:
    """Return the directories that count a file: the target, and those down to `depth`."""
    names = below.split("/")[:-1][:depth]
    return ["/".join(names[:count]) for count in range(len(names) + 1)]


def _order(sums: dict[str, _Sum], sort: str, *, reverse: bool) -> list[str]:
    """Return the directories in the order of `--sort`, and last the target as their sum."""
    names = [name for name in sums if name]
    names.sort(key=lambda name: name.encode("utf-8", "surrogateescape"))
    if sort == "size":
        names.sort(key=lambda name: sums[name].high)
    if reverse:
        names.reverse()
    return [*names, ""]


def _print(
    rows: Rows, output: Output, name: str, found: _Sum, is_directory: bool, *, in_bytes: bool
) -> None:
    path = "/".join(part for part in (rows.target.path, name) if part)
    shown = rows.target.spell(name, is_directory=is_directory)
    if not rows.form.as_json:
        files = f"{found.files} file{'s' * (found.files != 1)}"
        output.line(f"{_amount(found, in_bytes=in_bytes):>16}  {files:>14}  {shown}")
        return
    value: dict[str, object] = {
        "path": path,
        "target": shown,
        "url": rows.archive.url(path, is_directory=is_directory),
        "size": (found.low + found.high) // 2,
        "files": found.files,
    }
    if found.low != found.high:
        value |= {"size_low": found.low, "size_high": found.high}
    output.value(value)


def _amount(found: _Sum, *, in_bytes: bool) -> str:
    from empiarfs.cli.terminal import amount

    middle = (found.low + found.high) // 2
    text = f"{middle} B" if in_bytes else amount(middle)
    if found.low == found.high:
        return text
    return f"{text} ± {50 * (found.high - found.low) / middle:.1g}%"
