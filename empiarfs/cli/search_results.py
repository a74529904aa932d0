"""Searches what is known of entries, completes that first if it is due, and prints the result."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator

import click

from empiarfs.catalog.entry_search import Hit, Kinds, has_fts5
from empiarfs.cli.failures import note
from empiarfs.cli.knowing import age_words, known_entries
from empiarfs.config import Config
from empiarfs.core.entries.names import page_url
from empiarfs.core.entries.query import Query
from empiarfs.entries import Entries, HowMany, Progress
from empiarfs.entries.asking import MAX_AGE_S
from empiarfs.entries.gathering import nobody
from empiarfs.errors import CacheError


def search(
    config: Config,
    query: Query,
    limit: int,
    *,
    as_json: bool,
    offline: bool,
    refresh: bool,
    quiet: bool,
) -> None:
    """Print what fits.

    Raises:
        CacheError: Nothing is known and can be had, or the store can't be used.
        ConfigError: The cache directory can't be used.
    """
    with known_entries(config, offline=offline) as entries:
        problem = None if offline else completed(entries, refresh=refresh, quiet=quiet)
        how_many = entries.how_many()
        if not how_many.known:
            why = problem or "a search without --offline would ask for them"
            raise CacheError(f"nothing is known of EMPIAR's entries here: {why}")
        hits = entries.search(query, limit + 1)
        unknown = [] if hits or quiet else list(_unknown_kinds(query, entries.kinds()))
    if as_json:
        click.echo(json.dumps(_values(hits[:limit], how_many, problem), indent=2))
        return
    _print_table(hits[:limit])
    if not quiet:
        if not hits:
            note(f"none of {how_many.known} entries fits")
        for text in unknown:
            note(text)
        _say(how_many, problem, cut=len(hits) > limit, limit=limit, query=query, offline=offline)


def completed(entries: Entries, *, refresh: bool, quiet: bool, insist: bool = False) -> str | None:
    """Fetch what is due, and return why not all of it could be, or None.

    Ctrl-C ends only this, if there is something to go on with and nobody insists.

    Args:
        entries: What is completed.
        refresh: Fetch all of it anew.
        quiet: Say nothing on the way.
        insist: Try although it failed a moment ago.

    Raises:
        CacheError: The store can't be used.
    """
    max_age_s = 0.0 if refresh else MAX_AGE_S
    if not entries.is_due(max_age_s):
        return None
    failed_ago_s = None if refresh or insist else entries.failed_ago_s()
    if failed_ago_s is not None:
        return f"EMPIAR didn't answer {failed_ago_s / 60:.0f} minutes ago; --refresh asks again"
    try:
        with _progress(quiet=quiet) as progress:
            gathered = entries.gather(progress, max_age_s=max_age_s)
    except KeyboardInterrupt:
        if insist or not entries.how_many().known:
            if not quiet:
                note("stopped; what has come stays, and the same command goes on from here")
            raise
        return "interrupted; the next search goes on"
    if gathered.broken and not quiet:
        broken = ", ".join(f"EMPIAR-{number}" for number in gathered.broken[:5])
        note(f"what EMPIAR says of {broken} can't be read")
    return gathered.problem


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    """Lend what shows how far it is: a bar on a terminal, a line elsewhere."""
    if quiet:
        yield nobody
        return
    if not sys.stderr.isatty():
        note("asking EMPIAR for its entries; the first time this takes a minute or two")
        yield nobody
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("entries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("entries", total=None)

        def show(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def _values(hits: list[Hit], how_many: HowMany, problem: str | None) -> dict[str, object]:
    return {
        "entries": [
            {
                "accession": f"EMPIAR-{hit.number}",
                "number": hit.number,
                "title": hit.title,
                "size": hit.size,
                "size_text": hit.size_text,
                "released": hit.release_date,
                "experiment_type": hit.experiment_type,
                "url": page_url(hit.number),
                "fetched_s": hit.fetched_s,
            }
            for hit in hits
        ],
        "known": how_many.known,
        "listed": how_many.listed,
        "listed_s": how_many.listed_s,
        "problem": problem,
    }


def _print_table(hits: list[Hit]) -> None:
    # The title is last, so that a long one moves no column out of sight.
    head = ("ENTRY", "RELEASED", "SIZE", "TITLE")
    rows = [
        (f"EMPIAR-{hit.number}", hit.release_date or "-", hit.size_text or "-", hit.title)
        for hit in hits
    ]
    if hits and sys.stdout.isatty():
        _print_folded(head, rows)
    elif hits:
        # Cut or folded lines would be of no use to a program that reads them.
        entry, released, size = (
            max(map(len, each)) for each in list(zip(head, *rows, strict=True))[:3]
        )
        for one, two, three, title in (head, *rows):
            click.echo(f"{one:<{entry}}  {two:<{released}}  {three:>{size}}  {title}")


def _print_folded(head: tuple[str, ...], rows: list[tuple[str, str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in head[:-1]:
        table.add_column(name, no_wrap=True, justify="right" if name == "SIZE" else "left")
    table.add_column(head[-1], overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False, emoji=False).print(table)


def _unknown_kinds(query: Query, kinds: Kinds) -> Iterator[str]:
    """Yield what no entry has of the kinds that were asked for, and what there is instead."""
    for option, given, there_are, is_part in (
        ("--type", query.experiment_type, kinds.types, False),
        ("--format", query.data_format, kinds.formats, False),
        ("--category", query.category, kinds.categories, True),
    ):
        if given is None or not there_are:
            continue
        wanted, known = given.casefold(), [each.casefold() for each in there_are]
        if not any(wanted in each if is_part else wanted == each for each in known):
            yield f"no entry has {option} {given!r}; there are {', '.join(there_are)}"


def _say(
    how_many: HowMany,
    problem: str | None,
    *,
    cut: bool,
    limit: int,
    query: Query,
    offline: bool,
) -> None:
    """Say on stderr what a reader of the table should know."""
    if cut:
        note(f"these are the first {limit}; --limit shows more")
    searched = f"searched {how_many.known} entries"
    if how_many.listed is not None and how_many.known < how_many.listed:
        searched += f" of {how_many.listed}"
    is_old = how_many.listed_s is not None and time.time() - how_many.listed_s >= MAX_AGE_S
    if (is_old or offline) and how_many.listed_s is not None:
        searched += f"; their list is {age_words(how_many.listed_s)}"
    if problem is not None:
        note(f"{searched}: {problem}")
    elif is_old or offline or how_many.listed is None:
        note(searched)
    if query.words and not has_fts5():
        note("this Python's SQLite has no FTS5: words were compared letter by letter")
