"""How far an index is: a bar on a terminal, else a line every ten seconds; on stderr.

Threading: used from one thread.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from empiarfs.cli.progress import reported
from empiarfs.cli.terminal import amount, in_one_line

if TYPE_CHECKING:
    from empiarfs.browse.indexing import Progress

# The rate is that of this long, and told once it is known from this much of it.
_RATE_OVER_S = 20.0
_RATE_FROM_S = 2.0
_LINE_EVERY_S = 10.0


class Rate:
    """Files a second that were asked for lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])

    def note(self, asked: int) -> None:
        """Note how many files have been asked for so far."""
        now_s = self._clock()
        self._seen.append((now_s, asked))
        while len(self._seen) > 2 and self._seen[0][0] < now_s - _RATE_OVER_S:
            self._seen.popleft()

    @property
    def per_s(self) -> float | None:
        """Files a second, or None while that can't be told."""
        (begin_s, first), (end_s, last) = self._seen[0], self._seen[-1]
        if end_s - begin_s < _RATE_FROM_S or last == first:
            return None
        return (last - first) / (end_s - begin_s)


def words(progress: Progress, per_s: float | None) -> str:
    """Return how far an index is, in one line without the name of what is indexed.

    >>> from empiarfs.browse.indexing import Progress
    >>> words(Progress(3, 1, 12000, 6000, 0, 6_000_000_000), 250.0)
    '12,000 files (6 GB); 6,000 files and 1 directory to go, 250 files/s, at least 0:24 left'
    """
    left = progress.files_left
    parts = [f"{progress.files:,} files ({amount(progress.size)})"]
    if left or progress.directories_left:
        directories = progress.directories_left
        some = f" and {directories:,} director{'y' if directories == 1 else 'ies'}"
        to_go = f"{left:,} files{some if directories else ''} to go"
        if per_s:
            # What is in directories that aren't listed yet comes on top.
            least = "at least " if directories else ""
            to_go += f", {per_s:,.0f} files/s, {least}{_duration(left / per_s)} left"
        parts.append(to_go)
    return "; ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def telling(name: str, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Lend what tells how far the index of `name` is, `empiarfs status` too."""
    rate = Rate()
    with reported("indexing") as job, _shown(in_one_line(name), rate, quiet=quiet) as show:

        def tell(progress: Progress) -> None:
            rate.note(progress.files - progress.known_before)
            show(progress)
            left, per_s = progress.files_left, rate.per_s
            job.tell(
                progress.files,
                # What is in directories that aren't listed yet isn't known.
                None if progress.directories_left else progress.files + left,
                progress.size,
                None,
                0,
                None if per_s is None else left / per_s,
            )

        yield tell


@contextlib.contextmanager
def _shown(name: str, rate: Rate, *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        with _bar(name, rate) as tell:
            yield tell
    else:
        yield _lines(name, rate)


def _lines(name: str, rate: Rate) -> Callable[[Progress], None]:
    last_s = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last_s
        if time.monotonic() >= last_s + _LINE_EVERY_S:
            last_s = time.monotonic()
            click.echo(f"{name}: {words(progress, rate.per_s)}", err=True)

    return tell


@contextlib.contextmanager
def _bar(name: str, rate: Rate) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(20), TextColumn("{task.description}", markup=False))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def tell(progress: Progress) -> None:
            total = progress.files + progress.files_left
            bar.update(
                task,
                description=f"{name}: {words(progress, rate.per_s)}",
                completed=progress.files,
                total=total or None,
            )

        yield tell
