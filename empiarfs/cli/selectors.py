"""Selectors on the command line: their options, and what they choose of each target.

`empiarfs.core.selectors` is the grammar; `--role` and `--image-set` are among the options of
`empiarfs.cli.selecting`, since they go by paths alone once the entry is known.

Threading: used from one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

import click

from empiarfs.cli.selecting import Chosen, pages, selected
from empiarfs.core.selectors import MOST, Selectors

if TYPE_CHECKING:
    from empiarfs.browse import Exact, Item
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.rows import Rows
    from empiarfs.core.named import Found
    from empiarfs.errors import EmpiarFSError
    from empiarfs.selectors import Named, Opener, Place

_Function = TypeVar("_Function", bound=Callable[..., Any])
_COUNT = click.IntRange(1, MOST)
_TOLD = 10


def limit_options(function: _Function) -> _Function:
    """Add `--first`, `--sample` and `--seed`."""
    for option in (
        click.option("--seed", type=click.INT, metavar="S", help="Which sample; 0 by default."),
        click.option(
            "--sample", type=_COUNT, metavar="N", help="N files of each TARGET by chance."
        ),
        click.option(
            "--first", type=_COUNT, metavar="N", help="The first N files of each TARGET."
        ),
    ):
        function = option(function)
    return function


def table_options(function: _Function) -> _Function:
    """Add the options that choose what tables name."""
    for option in (
        click.option(
            "--from-cs",
            metavar="FILE",
            multiple=True,
            help="What a table of cryoSPARC names.",
        ),
        click.option(
            "--from-star",
            metavar="FILE",
            multiple=True,
            help="The movies, micrographs and stacks that a STAR file names.",
        ),
        click.option(
            "--tilt-series",
            metavar="NAME",
            multiple=True,
            help="NAME.mdoc and the files that it names.",
        ),
    ):
        function = option(function)
    return function


def selectors_of(options: dict[str, Any]) -> Selectors:
    """Take the selectors out of a command's options, and return them.

    Raises:
        click.UsageError: They don't go together.
    """
    first, sample, seed = (options.pop(name, None) for name in ("first", "sample", "seed"))
    if seed is not None and sample is None:
        raise click.UsageError("--seed goes with --sample")
    series, star, cs = (
        tuple(dict.fromkeys(options.pop(name, ())))
        for name in ("tilt_series", "from_star", "from_cs")
    )
    return Selectors(
        tilt_series=series,
        from_star=star,
        from_cs=cs,
        first=first,
        sample=sample,
        seed=seed or 0,
    )


def walks(
    targets: Sequence[Rows], choice: Chosen, archives: Archives, failures: Failures
) -> list[Iterator[list[Item]]]:
    """Return for each target what is there by the rules and by tables, in lists.

    What tables name and isn't there is told.

    Raises:
        EmpiarFSError: A table can't be read.
    """
    if not choice.selectors.names_files:
        return [_walk(rows, choice) for rows in targets]
    from empiarfs.selectors import find_named, find_series, read_table

    means = choice.selectors
    places = [_place(rows, choice, failures) for rows in targets]
    tables = [
        read_table(word, f"from-{kind}", kind, _opener(word, archives))
        for kind, words in (("star", means.from_star), ("cs", means.from_cs))
        for word in words
    ]
    series = find_series(means.tilt_series, places) if means.tilt_series else []
    for number, item in series:
        place = places[number]
        opener = place.opener(item.path)
        tables.append(read_table(place.spell(item), "tilt-series", "mdoc", opener))
    named = find_named(places, tables, series)
    _tell(named, " and ".join(rows.target.spelt for rows in targets[:3]), failures, archives)
    return [iter([list(items)]) for items in named.items]


def limited(
    rows: Rows,
    walk: Iterable[list[Item]],
    choice: Chosen,
    *,
    sort: str = "none",
    reverse: bool = False,
    sizes: bool,
) -> Iterable[Exact]:
    """Return those of the items of a walk that are wanted, in order, and no more than that.

    Exact sizes are asked for only of what is left, if that doesn't depend on them.

    Args:
        rows: Of their target.
        walk: The items, in lists of one directory each.
        choice: What is wanted.
        sort: As `--sort` has it.
        reverse: Turn that round.
        sizes: Whether exact sizes are needed.
    """
    from empiarfs.cli.rows import ordered

    means = choice.selectors
    by_size = sort in ("size", "time")
    late = means.sample is not None or (means.first is not None and not by_size)
    found: Iterable[Exact] = chain.from_iterable(
        selected(rows, items, choice, sizes=sizes and not late) for items in walk
    )
    if means.sample is not None:
        from empiarfs.core.samples import sample

        found = sample(found, means.sample, means.seed, lambda exact: exact.item.path)
        if by_size:
            found = _with_sizes(rows, found)
    found = ordered(found, sort, reverse=reverse)
    if means.first is not None:
        found = islice(found, means.first)
    return _with_sizes(rows, found) if sizes and late and not by_size else found


def _with_sizes(rows: Rows, found: Iterable[Exact]) -> Iterator[Exact]:
    return rows.exact([exact.item for exact in found], needed=True)


def _walk(
    rows: Rows, choice: Chosen, failed: Callable[[Item, EmpiarFSError], None] | None = None
) -> Iterator[list[Item]]:
    start = rows.archive.browser.look(rows.target.path)
    yield from pages(rows, start, choice, failed)


def _place(rows: Rows, choice: Chosen, failures: Failures) -> Place:
    from empiarfs.cli.windows import archive_window
    from empiarfs.errors import EmpiarFSError
    from empiarfs.selectors import Place

    told = set[str]()

    def failed(item: Item, error: EmpiarFSError) -> None:
        # There may be two walks.
        if item.path not in told:
            told.add(item.path)
            rows.fail(item, error)

    def walk() -> Iterator[list[Item]]:
        try:
            yield from _walk(rows, choice, failed)
        except EmpiarFSError as exc:
            # Of a target that isn't there; the others are looked through.
            if not told:
                told.add(rows.target.path)
                failures.add(rows.target.spelt, exc)

    def spell(item: Item) -> str:
        return rows.target.spell(rows.below(item))

    return Place(walk, lambda path: partial(archive_window, path, rows.archive), spell)


def _opener(word: str, archives: Archives) -> Opener:
    """Return what opens a table: in the archive, or in a mount, or on a local disk."""
    from empiarfs.cli.windows import archive_window, local_window

    found = archives.look_for(word)
    if found is None:
        return partial(local_window, word)
    target, archive = found
    return partial(archive_window, target.path, archive)


def _tell(named: Named, where: str, failures: Failures, archives: Archives) -> None:
    """Say which of the files that tables name aren't there, or are there more than once.

    A table of particles also names the micrographs that they are from, which may never have
    been deposited. So it is a note if none of a column is there, and an error if some are.
    """
    for table in dict.fromkeys(table for table, _, _ in named.answers):
        answers = [(column, found) for each, column, found in named.answers if each is table]
        if not any(found.files for _, found in answers):
            lost = [name for _, found in answers for name in found.missing]
            which = f"the {len(lost)} files" if len(lost) != 1 else f"the one file ({lost[0]})"
            failures.say(f"{table.spelt}: of {which} that it names none was found in {where}")
            continue
        for column, found in answers:
            _tell_column(f"{table.spelt}: ", column, found, where, failures, archives)


def _tell_column(
    said: str, column: str, found: Found, where: str, failures: Failures, archives: Archives
) -> None:
    missing = found.missing
    if len(missing) > 1 and not found.files:
        archives.note(f"{said}of the {len(missing)} files in {column} none was found in {where}")
        return
    for name in missing[:_TOLD]:
        message = f"{said}{column} names {name}, which wasn't found in {where}"
        (failures.say if found.files else archives.note)(message)
    if len(missing) > _TOLD:
        failures.say(f"{said}and {len(missing) - _TOLD} more of {column}")
    if found.ambiguous:
        archives.note(
            f"{said}{len(found.ambiguous)} of the names in {column} fit several files each, "
            f"such as {found.ambiguous[0]}; all of these are meant"
        )
