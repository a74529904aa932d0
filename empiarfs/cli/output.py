r"""Prints names in the forms that the commands share, and bytes.

    form       each name
    ---------  ---------------------------------------------------------------
    plain      a line; a directory ends in `/`
    -l         kind, exact size in bytes, time (UTC), and the name
    --url      a URL, percent-encoded; a directory's ends in `/`
    -0         as plain or as a URL, ended by a NUL byte
    --json     an object in one array: `path` (below the archive's root), `target` (as the
               command can be given it), `type` ("file", "directory"), `size` (bytes, or
               null), `modified_s` (seconds since 1970, or null), `url`; keys may be added,
               and don't change

Plain names are the bytes that the archive has. On a terminal, what would steer it is
escaped. JSON is ASCII; bytes that aren't UTF-8 stand in it as `\udc80` to `\udcff`.

Threading: used from one thread.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO

import click

from empiarfs.cli.terminal import in_one_line

# Between two of them nobody sees that names were held back.
_FLUSH_S = 0.2
_MOST_HELD = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Form:
    """How names are printed; the options of these names.

    Raises:
        click.UsageError: Two of them can't be had together.
    """

    long: bool = False
    as_json: bool = False
    null: bool = False
    url: bool = False
    ftp_url: bool = False

    def __post_init__(self) -> None:
        pairs = (
            ("--json", "-l", self.as_json and self.long),
            ("--json", "-0", self.as_json and self.null),
            ("--url", "--ftp-url", self.url and self.ftp_url),
            ("-l", "-0", self.long and self.null),
        )
        for one, other, both in pairs:
            if both:
                raise click.UsageError(f"{one} and {other} don't go together")
        if self.as_json and (self.url or self.ftp_url):
            raise click.UsageError("--json has the URL in any case")

    @property
    def needs_sizes(self) -> bool:
        """Whether exact sizes and times are printed."""
        return self.long or self.as_json


@dataclass(frozen=True, slots=True)
class Row:
    """One name to print.

    Attributes:
        shown: The name or the path, in plain forms; a directory's ends in a slash.
        target: As a command can be given it.
        path: Below the archive's root.
        url: Where it is, by the protocol that was asked for; "" in forms without URLs.
        is_directory: Whether it is a directory.
        size: Exact, in bytes; None for a directory, and if it isn't known.
        modified_s: In seconds since 1970; None if it isn't known, or in forms without times.
    """

    shown: str
    target: str
    path: str
    url: str
    is_directory: bool
    size: int | None = None
    modified_s: int | None = None


class Output:
    """Standard output; what is held back is written soon, and at the end of `with`.

    Args:
        form: How names are printed.
    """

    def __init__(self, form: Form | None = None) -> None:
        self._form = form or Form()
        self._stream: BinaryIO = sys.stdout.buffer
        self._is_terminal = sys.stdout.isatty()
        self._held: list[bytes] = []
        self._size = 0
        self._flushed_s = 0.0
        self._objects = 0

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and issubclass(kind, BrokenPipeError):
            return
        if self._form.as_json:
            self._hold(b"\n]\n" if self._objects else b"[]\n")
        self.flush()

    def row(self, row: Row) -> None:
        """Print one name."""
        if self._form.as_json:
            self.value(
                {
                    "path": row.path,
                    "target": row.target,
                    "type": "directory" if row.is_directory else "file",
                    "size": row.size,
                    "modified_s": row.modified_s,
                    "url": row.url,
                }
            )
            return
        name = row.url if self._form.url or self._form.ftp_url else row.shown
        if self._form.null:
            self._hold(_raw(name) + b"\0")
            return
        self.line(f"{details(row)}  {name}" if self._form.long else name)

    def value(self, value: Mapping[str, object]) -> None:
        """Print one object of the array that `--json` prints."""
        self._hold((b",\n" if self._objects else b"[\n") + json.dumps(value).encode("ascii"))
        self._objects += 1

    def line(self, text: str) -> None:
        """Print a line; what would steer a terminal is escaped on one."""
        self._hold(_raw(in_one_line(text) if self._is_terminal else text) + b"\n")

    def write(self, data: bytes) -> None:
        """Print bytes of a file as they are, at once."""
        self.flush()
        self._write(data)

    def flush(self) -> None:
        """Write what was held back."""
        data, self._held, self._size = b"".join(self._held), [], 0
        self._flushed_s = time.monotonic()
        self._write(data)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size >= _MOST_HELD or time.monotonic() - self._flushed_s >= _FLUSH_S:
            self.flush()

    def _write(self, data: bytes) -> None:
        try:
            if data:
                self._stream.write(data)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise click.ClickException(f"the output can't be written: {exc.strerror}") from exc


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def details(row: Row) -> str:
    """Return kind, size in bytes and time of a row, in columns."""
    size = "-" if row.size is None else str(row.size)
    return f"{'d' if row.is_directory else '-'} {size:>14} {utc(row.modified_s):>19}"


def utc(seconds: int | None) -> str:
    """Return a time for people, in UTC; "-" if it isn't known.

    >>> utc(1644229860)
    '2022-02-07 10:31:00'
    """
    if seconds is None:
        return "-"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "-"
