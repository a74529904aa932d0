"""The command `tree`: a directory of the archive and all below it, drawn.

The options that choose by name, size and time are for files; directories are shown if the
rules leave them. Lines are printed as they become known; what is held is one list of names
for each level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from empiarfs.cli.described import described
from empiarfs.cli.options import order_options, reading_options
from empiarfs.cli.selecting import (
    Chosen,
    SelectingCommand,
    chosen_by,
    depth_option,
    included,
    selected,
    selecting_options,
)
from empiarfs.errors import EmpiarFSError

if TYPE_CHECKING:
    from empiarfs.browse import Exact, Item
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.output import Output
    from empiarfs.cli.rows import Rows

_BRANCH, _LAST = "├── ", "└── "
_LINE, _BLANK = "│   ", "    "


@click.command("tree", cls=SelectingCommand)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@selecting_options
@depth_option
@click.option("-l", "long", is_flag=True, help="With exact size and time (UTC).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as find does.")
@order_options(default="name")
@reading_options
def command(
    *,
    targets: tuple[str, ...],
    long: bool,
    as_json: bool,
    sort: str,
    reverse: bool,
    verbose: bool,
    quiet: bool,
    **settings: Any,
) -> int:
    """Draw TARGET and what lies below it.

    A directory that can't be read is an error line, and the rest is drawn.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.output import Form, Output
    from empiarfs.cli.rows import Rows

    form = Form(long=long, as_json=as_json)
    if settings["kind"] == "f":
        raise click.UsageError("a tree shows directories in any case")
    choice = chosen_by(settings)
    with Failures() as failures, Archives(settings, verbose=verbose, quiet=quiet) as archives:
        places = archives.find_all(targets, failures)
        with Output(form) as output:
            for target, archive in places:
                with failures.caught(target.spelt):
                    rows = Rows(target, archive, form, failures)
                    means = described(choice, [rows], archives)
                    _Drawing(rows, means, output, archives, sort, reverse).draw()
        archives.tell_age()
    return failures.status


@dataclass(slots=True)
class _Drawing:
    """One tree."""

    rows: Rows
    choice: Chosen
    output: Output
    archives: Archives
    sort: str
    reverse: bool
    directories: int = 0
    files: int = 0

    def draw(self) -> None:
        """Print the tree, and what it counts."""
        start = self.rows.archive.browser.look(self.rows.target.path)
        spelt = self.rows.target.spell("", is_directory=start.is_directory)
        self._line(f"{spelt}")
        if start.is_directory:
            self._draw_below(start)
        self._line("")
        self._line(f"{_number(self.directories, 'directory', 'directories')}, "
                   f"{_number(self.files, 'file', 'files')}")  # fmt: skip

    def _draw_below(self, start: Item) -> None:
        levels = [("", self._children(start, 1))]
        while levels:
            indent, children = levels[-1]
            found = next(children, None)
            if found is None:
                levels.pop()
                continue
            exact, is_last = found
            self.archives.working()
            self._draw_one(exact, indent + (_LAST if is_last else _BRANCH))
            depth = len(levels)
            if exact.item.is_directory and depth != self.choice.most_depth:
                below = indent + (_BLANK if is_last else _LINE)
                levels.append((below, self._children(exact.item, depth + 1)))

    def _draw_one(self, exact: Exact, branch: str) -> None:
        from empiarfs.cli.output import details

        if exact.item.is_directory:
            self.directories += 1
        else:
            self.files += 1
        row = self.rows.row(exact, name_only=True)
        if self.rows.form.as_json:
            self.output.row(row)
        else:
            self._line(branch + (f"[{details(row)}]  " * self.rows.form.long) + row.shown)

    def _children(self, item: Item, depth: int) -> Iterator[tuple[Exact, bool]]:
        """Yield what is shown of a directory, each with whether it is the last."""
        from empiarfs.browse import Exact
        from empiarfs.cli.rows import ordered

        browser = self.rows.archive.browser
        try:
            children = included(self.rows, browser.children(item), self.choice)
        except EmpiarFSError as exc:
            self.rows.fail(item, exc)
            return
        directories = [child for child in children if child.is_directory]
        if depth != self.choice.most_depth:
            browser.foresee(directories)
        sizes = self.rows.form.needs_sizes or self.sort in ("size", "time")
        files = [child for child in children if not child.is_directory]
        found = [
            *map(Exact, directories),
            *selected(self.rows, files, self.choice, sizes=sizes),
        ]
        shown = list(ordered(found, self.sort, reverse=self.reverse))
        for number, exact in enumerate(shown, 1):
            yield exact, number == len(shown)

    def _line(self, text: str) -> None:
        if not self.rows.form.as_json:
            self.output.line(text)


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
