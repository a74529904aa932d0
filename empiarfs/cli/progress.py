"""Shows how far long work is: a bar on a terminal, a line now and then elsewhere.

Threading: used from one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from empiarfs.cli.terminal import amount

_LINE_EVERY_S = 10.0
_SPEED_OF_S = 30.0

# Is told how many files and how many bytes are done.
Told = Callable[[int, int], None]


@contextmanager
def progress(what: str, files: int, size: int, *, quiet: bool) -> Iterator[Told]:
    """Lend what shows how much of `files` files with `size` bytes is done.

    Args:
        what: What is done, as "copying".
        files: Of how many; 0 if that isn't known.
        size: Bytes of all of them.
        quiet: Show nothing.
    """
    if quiet:
        yield lambda files, size: None
    elif sys.stderr.isatty():
        with _bar(what, files, size) as told:
            yield told
    else:
        yield _lines(what, files, size)


@contextmanager
def _bar(what: str, files: int, size: int) -> Iterator[Told]:
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


def _lines(what: str, files: int, size: int) -> Told:
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
