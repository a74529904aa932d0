"""The command `search`: finds entries by words and filters.

With `--json` it prints one object: `entries`, a list of objects with `accession`, `number`,
`title`, `size` (bytes, as exact as EMPIAR says, or null), `size_text`, `released`,
`experiment_type`, `url` and `fetched_s`; and how much was searched: `known` (entries), `listed`
(entries that the archive has, or null), `listed_s` (when it said so), `problem` (why there is
no more, or null). Keys may be added, and don't change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import asking_options, settings_from
from empiarfs.config import parse_size
from empiarfs.errors import ConfigError

if TYPE_CHECKING:
    from empiarfs.core.entries.query import Query

T = TypeVar("T")

_FILTERS = (
    ("--emdb", "EMD-N", "Related to this entry of EMDB."),
    ("--type", "TYPE", "Type of experiment, as EMDB or FIB-SEM."),
    ("--format", "FORMAT", "With an image set in this format, as EER, TIFF, MRC."),
    ("--category", "WORDS", "With an image set of this kind, as 'tilt series'."),
    ("--min-size", "SIZE", "At least so big, such as 500G."),
    ("--max-size", "SIZE", "At most so big."),
    ("--released", "DATES", "When, as 2024, 2024-01.., 2022-03..2023-06."),
    ("--pixel", "RANGE", "With an image set of this pixel size in Å, as 0.5..1.2."),
)


def _filter_options(
    function: Callable[..., int],
) -> Callable[..., int]:
    for name, metavar, meaning in reversed(_FILTERS):
        field = f"of_{name.removeprefix('--').replace('-', '_')}"
        function = click.option(name, field, metavar=metavar, help=meaning)(function)
    return function


@click.command("search", cls=Command)
@click.argument("words", metavar="[WORDS]...", nargs=-1)
@_filter_options
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--offline", is_flag=True, help="Ask nobody; search what is known here.")
@click.option("--refresh", is_flag=True, help="Ask for new entries, however young it is.")
@asking_options
def command(
    *,
    words: tuple[str, ...],
    of_emdb: str | None,
    of_type: str | None,
    of_format: str | None,
    of_category: str | None,
    of_min_size: str | None,
    of_max_size: str | None,
    of_released: str | None,
    of_pixel: str | None,
    limit: int,
    as_json: bool,
    offline: bool,
    refresh: bool,
    verbose: bool,
    quiet: bool,
    **settings: str | None,
) -> int:
    """Find entries in which all WORDS occur, and which fit all filters.

    The best come first; without WORDS, the last released. The first search fetches what EMPIAR
    says of all entries, which takes a minute or two; Ctrl-C ends that, answers from what has
    come, and the next search goes on.
    """
    from empiarfs.cli.logged import logged
    from empiarfs.cli.search_results import search
    from empiarfs.core.entries import query, tidy

    if offline and refresh:
        raise click.UsageError("--offline and --refresh contradict each other")
    wanted = query.Query(
        words=tuple(word for each in words if (word := tidy.text_of(each))),
        emdb=_value("--emdb", of_emdb, query.parse_emdb),
        experiment_type=of_type,
        data_format=of_format,
        category=of_category,
        min_size=_value("--min-size", of_min_size, _size),
        max_size=_value("--max-size", of_max_size, _size),
        released=_value("--released", of_released, query.parse_dates),
        pixel=_value("--pixel", of_pixel, query.parse_numbers),
    )
    _check(wanted)
    with logged(verbose=verbose, quiet=quiet):
        search(
            settings_from(settings), wanted, limit, as_json=as_json, offline=offline,
            refresh=refresh, quiet=quiet,
        )  # fmt: skip
    return 0


def _value(option: str, text: str | None, parse: Callable[[str], T]) -> T | None:
    try:
        return None if text is None else parse(text)
    except ValueError as exc:
        raise ConfigError(f"{option}: {exc}") from exc


def _size(text: str) -> int:
    return parse_size(text, least=0)


def _check(wanted: Query) -> None:
    least, most = wanted.min_size, wanted.max_size
    if least is not None and most is not None and least > most:
        raise ConfigError("--min-size is more than --max-size")
