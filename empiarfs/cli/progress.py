"""Shows how far long work is: a bar on a terminal, a line now and then elsewhere.

It also lets `empiarfs status` know, whatever is shown here.

Threading: used from one thread.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from empiarfs.cli.terminal import amount, in_one_line
from empiarfs.core.secrets import shown_url

if TYPE_CHECKING:
    from empiarfs.control import Job

_LINE_EVERY_S = 10.0
_SPEED_OF_S = 30.0

# Is told how many files and how many bytes are done.
_Shown = Callable[[int, int], None]


class Told(Protocol):
    """Is told how far the work is."""

    def __call__(self, done: int, done_size: int, came: int | None = None) -> None:
        """Take note of it.

        Args:
            done: Files that are done.
            done_size: Bytes that are done.
            came: Of these, how many have come since it began; None for all.
        """


@contextmanager
def progress(what: str, files: int, size: int, *, quiet: bool) -> Iterator[Told]:
    """Lend what shows how much of `files` files with `size` bytes is done.

    Args:
        what: What is done, as "copying".
        files: Of how many; 0 if that isn't known.
        size: Bytes of all of them.
        quiet: Show nothing.
    """
    with reported(what) as job, _shown(what, files, size, quiet=quiet) as show:

        def told(done: int, done_size: int, came: int | None = None) -> None:
            show(done, done_size)
            if not files:
                # What is found doesn't come.
                job.tell(done, None, done_size, None, 0)
            else:
                job.tell(done, files, done_size, size, done_size if came is None else came)

        yield told


@contextmanager
def reported(doing: str) -> Iterator[Job]:
    """Lend what lets `status` know how far this command is.

    Args:
        doing: What it does, as "copying".
    """
    # Commands that show no progress don't wait for its import.
    from empiarfs.control import Job

    context = click.get_current_context(silent=True)
    name = "" if context is None else context.info_name or ""
    # Not all words: what is to be run at the end may have a password in it.
    given = {} if context is None else context.params
    words = given.get("targets") or given.get("words") or ()
    what = " ".join(shown_url(str(word)) if "@" in str(word) else str(word) for word in words)
    job = Job(name, in_one_line(what), doing, os.environ)
    try:
        yield job
    finally:
        job.close()


@contextmanager
def _shown(what: str, files: int, size: int, *, quiet: bool) -> Iterator[_Shown]:
    if quiet:
        yield lambda files, size: None
    elif sys.stderr.isatty():
        with _bar(what, files, size) as told:
            yield told
    else:
        yield _lines(what, files, size)


@contextmanager
def _bar(what: str, files: int, size: int) -> Iterator[_Shown]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[files]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, speed_estimate_period=30) as bar:
        task = bar.add_task(what, total=size or None, files="")

        def told(done: int, done_size: int) -> None:
            shown = f"{done} of {files} files" if files else f"{done} files"
            bar.update(task, completed=done_size, files=shown)

        yield told


def _lines(what: str, files: int, size: int) -> _Shown:
    moments = [(time.monotonic(), 0)]
    next_s = moments[0][0] + _LINE_EVERY_S

    def told(done: int, done_size: int) -> None:
        nonlocal next_s
        now_s = time.monotonic()
        if now_s < next_s:
            return
        next_s = now_s + _LINE_EVERY_S
        while len(moments) > 1 and now_s - moments[0][0] > _SPEED_OF_S:
            moments.pop(0)
        speed = (done_size - moments[0][1]) / (now_s - moments[0][0])
        moments.append((now_s, done_size))
        of_files, of_size = (f" of {files}", f" of {amount(size)}") if files else ("", "")
        left = f", {span((size - done_size) / speed)} left" if files and speed > 0 else ""
        click.echo(
            f"empiarfs: {what}: {done}{of_files} files, {amount(done_size)}{of_size}, "
            f"{amount(int(speed))}/s{left}",
            err=True,
        )

    return told


def span(seconds: float) -> str:
    """Return a span of time for people.

    >>> span(50), span(3000), span(20000), span(1e6)
    ('50 s', '50 min', '5.6 h', '11.6 days')
    """
    for most, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < most:
            number = seconds / unit
            return f"{number:.1f} {name}" if name == "h" else f"{number:.0f} {name}"
    return f"{seconds / 86400:.1f} days"
