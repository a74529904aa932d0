"""Searches what is known of entries, completes that first if it is due, and prints the result."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator

import click

from empiarfs.catalog.entry_search import Hit, has_fts5
from empiarfs.cli.failures import note
from empiarfs.cli.knowing import age_words, known_entries
from empiarfs.config import Config
from empiarfs.core.entries.names import page_url
from empiarfs.core.entries.query import Query
from empiarfs.entries import Entries, HowMany, Progress
from empiarfs.entries.asking import MAX_AGE_S
from empiarfs.entries.gathering import nobody
from empiarfs.errors import CacheError

_UNLIMITED = 10_000


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
    if as_json:
        click.echo(json.dumps(_values(hits[:limit], how_many, problem), indent=2))
        return
    _print_table(hits[:limit])
    if not quiet:
        _say(how_many, problem, cut=len(hits) > limit, limit=limit, query=query)


def completed(entries: Entries, *, refresh: bool, quiet: bool, insist: bool = False) -> str | None:
    """Fetch what is due, and return why not all of it could be, or None.

    Ctrl-C ends only this.

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
    from rich.console import Console
    from rich.table import Table

    # Cut or folded lines would be of no use to a program that reads them.
    width = None if sys.stdout.isatty() else _UNLIMITED
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("ENTRY", no_wrap=True)
    table.add_column("TITLE", overflow="fold")
    table.add_column("SIZE", no_wrap=True, justify="right")
    table.add_column("RELEASED", no_wrap=True)
    for hit in hits:
        table.add_row(
            f"EMPIAR-{hit.number}", hit.title, hit.size_text or "-", hit.release_date or "-"
        )
    if hits:
        console.print(table)


def _say(how_many: HowMany, problem: str | None, *, cut: bool, limit: int, query: Query) -> None:
    """Say on stderr what a reader of the table should know."""
    if cut:
        note(f"these are the first {limit}; --limit shows more")
    searched = f"searched {how_many.known} entries"
    if how_many.listed is not None and how_many.known < how_many.listed:
        searched += f" of {how_many.listed}"
    is_old = how_many.listed_s is not None and time.time() - how_many.listed_s >= MAX_AGE_S
    if is_old and how_many.listed_s is not None:
        searched += f", listed {age_words(how_many.listed_s).removesuffix(' old')} ago"
    if problem is not None:
        note(f"{searched}: {problem}")
    elif is_old or how_many.listed is None:
        note(searched)
    if query.words and not has_fts5():
        note("this Python's SQLite has no FTS5: words were compared letter by letter")
