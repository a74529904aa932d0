"""The commands `cat` and `head`: bytes of files of the archive, without a mount.

A file is read as a mount reads it, through the cache directory and the machine's connection
budget, each piece verified; it is never held whole, nor are two versions of it mixed: if it
changes meanwhile, that is an error, and what was written stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from empiarfs.cli.helped import Command
from empiarfs.cli.options import local_options, reading_options

if TYPE_CHECKING:
    from empiarfs.cli.archives import Archive
    from empiarfs.cli.output import Output
    from empiarfs.core.targets import Target

_STEP = 1024 * 1024
# A piece, the least that is fetched.
_SMALL_STEP = 64 * 1024
_LINES = 10


@click.command("cat", cls=Command)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@local_options
@reading_options
def command(
    *, targets: tuple[str, ...], verbose: bool, quiet: bool, **settings: str | None
) -> int:
    """Write the bytes of the files TARGET to the standard output."""
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.output import Output

    with (
        Failures() as failures,
        Archives(settings, reads=True, verbose=verbose, quiet=quiet) as archives,
        Output() as output,
    ):
        for target, archive in archives.find_all(targets, failures):
            with failures.caught(target.spelt), _opened(target, archive) as file:
                for data in file.pieces(_STEP, file.size):
                    archives.working()
                    output.write(data)
    return failures.status


@click.command("head", cls=Command)
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("-n", "--lines", metavar="N", help=f"How many lines; {_LINES} by default.")
@click.option("-c", "--bytes", "size", metavar="SIZE", help="How many bytes, such as 1024 or 4K.")
@local_options
@reading_options
def head_command(
    *,
    targets: tuple[str, ...],
    lines: str | None,
    size: str | None,
    verbose: bool,
    quiet: bool,
    **settings: str | None,
) -> int:
    """Write the first lines or bytes of the files TARGET.

    No more is fetched than that takes, but for whole pieces of 64 KiB.
    """
    from empiarfs.cli.archives import Archives
    from empiarfs.cli.failures import Failures
    from empiarfs.cli.output import Output

    if lines is not None and size is not None:
        raise click.UsageError("-n and -c don't go together")
    most_lines = None if size is not None else _count("-n", lines or str(_LINES))
    most = _size(size) if size is not None else None
    with (
        Failures() as failures,
        Archives(settings, reads=True, verbose=verbose, quiet=quiet) as archives,
        Output() as output,
    ):
        places = archives.find_all(targets, failures)
        for number, (target, archive) in enumerate(places):
            with failures.caught(target.spelt), _opened(target, archive) as file:
                if len(places) > 1 and not quiet:
                    output.line(("\n" if number else "") + f"==> {target.spelt} <==")
                _head(file, output, most, most_lines)
    return failures.status


def _head(file: _File, output: Output, most: int | None, most_lines: int | None) -> None:
    if most_lines == 0:
        return
    stop = file.size if most is None else min(most, file.size)
    for data in file.pieces(_SMALL_STEP if most is None else _STEP, stop):
        if most_lines is None:
            output.write(data)
            continue
        newlines = data.count(b"\n")
        if newlines >= most_lines:
            output.write(data[: _end_of_line(data, most_lines)])
            return
        most_lines -= newlines
        output.write(data)


def _end_of_line(data: bytes, number: int) -> int:
    """Return the offset behind the newline with this number, counted from 1."""
    end = 0
    for _ in range(number):
        end = data.index(b"\n", end) + 1
    return end


def _count(option: str, text: str) -> int:
    from empiarfs.config.values import parse_count

    try:
        return parse_count(text, least=0, most=999_999_999)
    except ValueError as exc:
        raise click.UsageError(f"{option}: {exc}") from exc


def _size(text: str) -> int:
    from empiarfs.config import parse_size

    try:
        return parse_size(text, least=0)
    except ValueError as exc:
        raise click.UsageError(f"-c: {exc}") from exc


@dataclass(frozen=True, slots=True)
class _File:
    """An open file; `size` is exact."""

    archive: Archive
    handle: int
    size: int

    def pieces(self, step: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes up to `stop`, `step` of them at a time."""
        for offset in range(0, stop, step):
            size = min(step, stop - offset)
            yield self.archive.files.read(self.handle, offset, size, self.archive.reading())


@contextmanager
def _opened(target: Target, archive: Archive) -> Iterator[_File]:
    files = archive.files
    opened = files.open(target.path, archive.looking())
    try:
        size = files.attributes_of_handle(opened.handle).size
        yield _File(archive, opened.handle, size)
    finally:
        files.release(opened.handle)
