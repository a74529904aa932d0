"""Writes lists of files for other tools to fetch (`empiarfs.core.batches` has their forms).

Threading: used from one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from empiarfs.cli.failures import Failures
from empiarfs.cli.terminal import in_one_line


def write_list(path: Path, lines: Iterable[str], what: str) -> int:
    """Write a list whole, or not at all; return for how many files or directories.

    Args:
        path: Where; a file that is there is replaced.
        lines: Without their ends.
        what: For errors, as "--aria2".

    Raises:
        click.UsageError: It can't be written.
    """
    count = 0
    is_special = path.exists() and not path.is_file()
    fresh = path if is_special else path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(fresh, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for line in lines:
                file.write(f"{line}\n")
                count += 1
        if not is_special:
            fresh.replace(path)
    except OSError as exc:
        raise click.UsageError(f"{what}: {in_one_line(str(path))}: {exc.strerror}") from exc
    finally:
        if not is_special:
            fresh.unlink(missing_ok=True)
    return count


def batch_lines(
    names: Iterable[str], line_of: Callable[[str], str], failures: Failures, tool: str
) -> Iterator[str]:
    """Return what stands in a list for files; what can't stand there is told.

    Args:
        names: Paths below the archive's root.
        line_of: Returns the lines for one, or raises ValueError.
        failures: Takes what can't be said.
        tool: What the list is for.
    """

    def line(name: str) -> str:
        try:
            return line_of(name)
        except ValueError as exc:
            failures.say(f"{in_one_line(name)}: it can't be in a list for {tool}: {exc}")
            return ""

    return filter(None, map(line, names))
