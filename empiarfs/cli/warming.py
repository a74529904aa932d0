"""Fetches chosen files into the cache, for `warm` and `pin`, and tells how far that is.

Threading: used from one thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import click

from empiarfs.cli.archives import Archive
from empiarfs.cli.failures import Failures, note
from empiarfs.cli.progress import progress
from empiarfs.cli.terminal import amount
from empiarfs.downloads import Progress, Wanted, Warming

_FLUSH_S = 60.0


@dataclass(frozen=True, slots=True)
class Warmed:
    """What was fetched.

    Attributes:
        total: Bytes of all that was wanted.
        done: What became of it.
        seconds: How long it took.
    """

    total: int
    done: Progress
    seconds: float


def warm_files(
    archive: Archive,
    wanted: list[Wanted],
    failures: Failures,
    *,
    spares_copies: bool,
    most: int | None,
    check: Callable[[int], None],
    silent: bool,
    quiet: bool,
) -> Warmed:
    """Fetch what is missing of files, and wait until it is in the cache.

    Args:
        archive: Where from.
        wanted: The files.
        failures: Takes those that can't be had.
        spares_copies: Leave out what there are local copies of.
        most: Bytes of each file; None for all.
        check: Is told how many bytes it will be, and may raise.
        silent: Show no progress.
        quiet: Say nothing at Ctrl-C.
    """
    parts, began_s = archive.parts, time.monotonic()
    warming = Warming(
        parts.source if spares_copies else parts.fetcher,
        parts.client.base_url,
        most=most,
        wait_s=archive.config.wait_s,
        failed=failures.add,
    )
    total = sum(map(warming.size_of, wanted))
    check(total)
    with progress("warming", len(wanted), total, quiet=silent) as told:

        def tell(done: Progress) -> None:
            told(done.files + done.there, done.size + done.there_size, done.size)

        try:
            done = warming.run(wanted, tell)
        except KeyboardInterrupt:
            if not quiet:
                note("stopped; what has come stays, and the same command goes on from here")
            raise
    if not parts.fetcher.flush(_FLUSH_S):
        failures.say("not all of it could be written to the cache; see `empiarfs cache list`")
    return Warmed(total, done, time.monotonic() - began_s)


def tell_warmed(found: Warmed, files: int, verb: str, *, as_json: bool, quiet: bool) -> None:
    """Print what was fetched, as figures or in a line.

    Args:
        found: What was fetched.
        files: Of how many files.
        verb: What they are by now, as "warm".
        as_json: Print JSON.
        quiet: Print nothing else.
    """
    done = found.done
    if as_json:
        values = {
            "files": done.files,
            "bytes": done.size,
            "there_files": done.there,
            "failed": done.failed,
            "seconds": round(found.seconds, 1),
        }
        click.echo(json.dumps(values))
    elif not quiet:
        of = f"{files} file{'s' * (files != 1)}"
        failed = f", {done.failed} FAILED" if done.failed else ""
        came = f"{amount(done.size)} came now{failed}"
        click.echo(f"{amount(found.total)} of {of} are {verb}; {came}")
