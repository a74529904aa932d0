"""The options by which `find`, `du` and `tree` choose, and the walk that heeds them.

Selectors that look into tables (`--from-star` and others) are in `empiarfs.cli.selectors`.

`--include` and `--exclude` count in the order in which they were given, both together, so a
command that has them is of the class `SelectingCommand`.

Threading: used from one thread.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.times import since_from
from empiarfs.config import parse_size
from empiarfs.core.roles import ROLES
from empiarfs.core.rules import Rule
from empiarfs.core.selection import Selection, parse_size_range, sorted_globs
from empiarfs.core.selectors import Described, Selectors, parse_roles

if TYPE_CHECKING:
    from empiarfs.browse import Exact, Item
    from empiarfs.cli.rows import Rows
    from empiarfs.errors import EmpiarFSError

_Function = TypeVar("_Function", bound=Callable[..., Any])
_RULES = "empiarfs.rules"
_NAMES = ("include", "exclude")


class SelectingCommand(Command):
    """A command that knows in which order its rules were given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words, and keep the rules in their order."""
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        texts = {name: iter(given.get(name) or ()) for name in _NAMES}
        ctx.meta[_RULES] = [
            (param.name == "include", next(texts[param.name]))
            for param in order
            if param.name in texts
        ]
        return super().parse_args(ctx, args)


def role_option(function: _Function) -> _Function:
    """Add `--role` and `--image-set`."""
    role = click.option(
        "--role",
        "roles",
        metavar="ROLE",
        multiple=True,
        help=f"Of files: {', '.join(ROLES)}; several with commas.",
    )
    image_set = click.option(
        "--image-set",
        metavar="N",
        type=click.IntRange(1, 9999),
        multiple=True,
        help="Files in the entry's Nth image set.",
    )
    return role(image_set(function))


def selecting_options(function: _Function) -> _Function:
    """Add the options that choose."""
    function = role_option(function)
    for option in reversed(
        (
            click.option(
                "--name",
                "-name",
                "--glob",
                "globs",
                metavar="GLOB",
                multiple=True,
                help="Names that match; with a slash, paths below TARGET. ** crosses directories.",
            ),
            click.option("-i", "--ignore-case", is_flag=True, help="For --name and --regex."),
            click.option(
                "--regex",
                "expressions",
                metavar="RE",
                multiple=True,
                help="Paths below TARGET in which the expression is found.",
            ),
            click.option("--include", metavar="PATTERN", multiple=True, expose_value=False),
            click.option(
                "--exclude",
                metavar="PATTERN",
                multiple=True,
                expose_value=False,
                help="As rsync's, in the order in which they are given.",
            ),
            click.option(
                "--type",
                "-type",
                "kind",
                type=click.Choice(("f", "d")),
                help="Files, directories.",
            ),
            click.option(
                "--size", "-size", metavar="SIZE", help="Of files: 10M..2G, 10M.., +10M, -10M."
            ),
            click.option(
                "--newer",
                "-newer",
                metavar="TIME",
                help="Changed after 2h ago, 2024-01-31, @SECONDS.",
            ),
        )
    ):
        function = option(function)
    return function


def depth_option(function: _Function) -> _Function:
    """Add `--max-depth`, for how far a walk goes."""
    option = click.option(
        "-L",
        "--max-depth",
        "-maxdepth",
        type=click.IntRange(min=1),
        metavar="N",
        help="At most N levels below TARGET.",
    )
    return option(function)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the options choose.

    Attributes:
        selection: By names, sizes and times.
        most_depth: Levels below the target; None for all.
        selectors: By what files are; roles and image sets are heeded by `selected`.
        described: What that takes to be known of the entries.
    """

    selection: Selection
    most_depth: int | None
    selectors: Selectors = field(default_factory=Selectors)
    described: Described = field(default_factory=Described)


def chosen_by(options: dict[str, Any], selectors: Selectors | None = None) -> Chosen:
    """Take what chooses out of a command's options, and return what it chooses.

    Args:
        options: By the names that the decorators of this module give them; a command needn't
            have all of them.
        selectors: Those that `empiarfs.cli.selectors` has taken out.

    Raises:
        click.UsageError: A value isn't one.
    """
    take = options.pop
    ignore_case, expressions = take("ignore_case", False), take("expressions", ())
    globs, size, newer = take("globs", ()), take("size", None), take("newer", None)
    kind, max_depth = take("kind", None), take("max_depth", None)
    roles, image_set = take("roles", ()), take("image_set", ())
    given: list[tuple[bool, str]] = click.get_current_context().meta.get(_RULES, [])
    try:
        rules = tuple(Rule(includes, pattern) for includes, pattern in given)
        of_names, of_paths = sorted_globs(globs, ignore_case=ignore_case)
        flags = re.IGNORECASE if ignore_case else 0
        found = tuple(re.compile(each, flags) for each in expressions)
        wanted = None
        if size is not None:
            wanted = parse_size_range(size, lambda text: parse_size(text, least=0))
        means = replace(selectors or Selectors(), roles=parse_roles(roles), image_set=image_set)
    except re.error as exc:
        raise click.UsageError(f"--regex: {exc}") from exc
    except (ValueError, RecursionError, OverflowError) as exc:
        raise click.UsageError(str(exc)) from exc
    newer_s = None if newer is None else since_from(newer, time.time(), "--newer")
    if means and kind == "d":
        raise click.UsageError("--type d doesn't go with what is said of files, as --role is")
    kind = "f" if means else kind or ""
    selection = Selection(rules, of_names, of_paths, found, kind, wanted, newer_s)
    return Chosen(selection, max_depth, means)


def depth_of(below: str) -> int:
    """Return how many levels a path lies below the target; 0 for the target itself."""
    return below.count("/") + 1 if below else 0


def pages(
    rows: Rows,
    start: Item,
    choice: Chosen,
    failed: Callable[[Item, EmpiarFSError], None] | None = None,
) -> Iterator[list[Item]]:
    """Yield what the rules leave of each directory below `start`, one list for each.

    A file is a list by itself.

    Args:
        rows: Of the target.
        start: What is there.
        choice: What is wanted.
        failed: Called for a directory that can't be read, and the rest goes on; by default
            it is told.
    """
    if not start.is_directory:
        if choice.selection.includes(start.name, is_directory=False):
            yield [start]
        return

    def enters(item: Item) -> bool:
        below = rows.below(item)
        within = choice.most_depth is None or depth_of(below) < choice.most_depth
        leads_on = choice.described.leads_on(item.path)
        return within and leads_on and choice.selection.includes(below, is_directory=True)

    wanted = None if choice.selectors else choice.selection.wanted_name()
    for _, children in rows.archive.browser.walk(start, enters, failed or rows.fail, wanted):
        yield included(rows, children, choice)


def included(rows: Rows, items: list[Item], choice: Chosen) -> list[Item]:
    """Return those of the items that the rules leave, but for directories of no image set."""
    includes, leads_on = choice.selection.includes, choice.described.leads_on
    return [
        item
        for item in items
        if includes(rows.below(item), is_directory=item.is_directory)
        and (not item.is_directory or leads_on(item.path))
    ]


def selected(rows: Rows, items: list[Item], choice: Chosen, *, sizes: bool) -> Iterator[Exact]:
    """Yield those of the items that are wanted.

    Args:
        rows: Of their target.
        items: Of one directory.
        choice: What is wanted.
        sizes: Whether exact sizes are needed of all that are yielded. Otherwise they are
            asked for only where the listing can't tell whether a file is wanted.
    """
    from empiarfs.browse import Exact

    selection = choice.selection
    wanted = [
        (item, verdict)
        for item in items
        if selection.names(rows.below(item) or item.name, is_directory=item.is_directory)
        for verdict in (_verdict(selection, item),)
        if verdict is not False
        and (item.is_directory or choice.described.holds(item.path, choice.selectors.roles))
    ]
    exact = iter(
        rows.exact([item for item, verdict in wanted if sizes or verdict is None], needed=True)
    )
    for item, verdict in wanted:
        found = next(exact) if sizes or verdict is None else Exact(item)
        version = found.version
        if verdict is not None or (
            version is not None and selection.accepts(version.size, version.modified_s)
        ):
            yield found


def _verdict(selection: Selection, item: Item) -> bool | None:
    # To read a time takes longer than all the rest.
    listed_s = None if selection.newer_s is None else item.listed_s
    return selection.verdict(item.size_text, listed_s, is_directory=item.is_directory)
