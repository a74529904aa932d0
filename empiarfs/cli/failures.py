"""How commands end: the exit status, and one line on stderr for what went wrong.

    status  meaning
    ------  -------------------------------------------------------------
    0       done
    1       it could not be done
    2       wrong usage: an option, a value or a file of settings
    130     Ctrl-C

A traceback is shown for nothing but a mistake of ours.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import click

from empiarfs.cli.terminal import in_one_line
from empiarfs.errors import (
    ConfigError,
    EmpiarFSError,
    IsDirectoryError,
    NoSuchNameError,
    NotDirectoryError,
    UnavailableError,
)

_INTERRUPTED = 130
# As the manual page tells them; tests/cli/test_shell_page.py compares docs/shell.md.
EXIT_STATUSES = {
    0: "All was done.",
    1: "Something could not be done; what, is said on the standard error output, a line each.",
    2: "Wrong usage: an option, a value or a configuration file; nothing was done.",
    _INTERRUPTED: "Ended by Ctrl-C.",
}
_TOLD = 10
# What a disk that takes no more says; whoever writes a file of his own tells its name.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# What these say by themselves names a path in the archive, which the user may not know.
_SAID = (
    (NoSuchNameError, "there is no such file or directory in the archive"),
    (NotDirectoryError, "is a file"),
    (IsDirectoryError, "is a directory; `empiarfs ls` lists it"),
)


def complain(message: str, hint: str | None = None) -> None:
    """Say on stderr what went wrong, and what may help."""
    click.echo(f"empiarfs: error: {in_one_line(message)}", err=True)
    if hint:
        click.echo(f"hint: {in_one_line(hint)}", err=True)


def note(text: str) -> None:
    """Say on stderr what the reader of an answer should know."""
    click.echo(f"empiarfs: note: {in_one_line(text)}", err=True)


class Failures:
    """What of a command's work failed: lines on stderr, and the exit status; used by `with`.

    A dead archive fails for each of 100,000 files alike, so only the first few failures that
    say the same are told one by one, and the others counted at the end.
    """

    def __init__(self) -> None:
        self.status = 0
        self._counts: Counter[str] = Counter()

    def __enter__(self) -> Failures:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for said, count in self._counts.items():
            if count > _TOLD:
                complain(f"and {count - _TOLD} more of these: {said}")

    def add(self, name: str, error: EmpiarFSError) -> None:
        """Say that something of this name failed; the work goes on."""
        self.status = 1
        said = next((text for kind, text in _SAID if isinstance(error, kind)), str(error))
        # Without what names the file: the URL, which stands in brackets.
        alike = str(error.args[0]) if isinstance(error, UnavailableError) else ""
        self._counts[alike] += bool(alike)
        if self._counts[alike] <= _TOLD:
            complain(f"{in_one_line(name)}: {said}", getattr(error, "hint", None))

    def say(self, message: str) -> None:
        """Say that something failed that has no error of its own; the work goes on."""
        self.status = 1
        complain(message)

    @contextmanager
    def caught(self, name: str) -> Iterator[None]:
        """Do something whose failure doesn't end the work, but for wrong usage."""
        try:
            yield
        except ConfigError:
            raise
        except EmpiarFSError as exc:
            self.add(name, exc)


def run_command(command: click.Command, words: Sequence[str]) -> int:
    """Run a command with these words, and return its exit status."""
    try:
        result = command.main(list(words), prog_name="empiarfs", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("empiarfs: interrupted", err=True)
        return _INTERRUPTED
    except click.UsageError as exc:
        complain(*_usage(exc))
        return 2
    except click.ClickException as exc:
        complain(exc.format_message())
        return 1
    except EmpiarFSError as exc:
        complain(str(exc), getattr(exc, "hint", None))
        return 2 if isinstance(exc, ConfigError) else 1
    except BrokenPipeError:
        # Whoever read our output has had enough.
        _forget_output()
        return 1
    except OSError as exc:
        if exc.filename is not None or exc.errno not in _FULL:
            raise
        complain(f"the output can't be written: {exc.strerror}")
        _forget_output()
        return 1
    return result if isinstance(result, int) else 0


def _forget_output() -> None:
    """Write no more of what is left of the output: Python would complain at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: click.UsageError) -> tuple[str, str | None]:
    """Return click's message in our form, and what may help."""
    if isinstance(error, click.NoSuchOption):
        names = [name for param in _parameters(error) for name in param.opts]
        near = difflib.get_close_matches(error.option_name, names, 1, 0.6)
        return f"no such option: {error.option_name}", _guess(near) or _where(error)
    message = error.format_message().rstrip(".")
    # Such as "Missing argument"; but not the name of something.
    message = re.sub(r"^[A-Z](?=[a-z])", lambda match: match[0].lower(), message)
    message, *guess = re.split("[;.] [Dd]id you mean ", message)
    return message, _guess([each.strip("?'") for each in guess]) or _where(error)


def _parameters(error: click.UsageError) -> list[click.Parameter]:
    return error.ctx.command.params if error.ctx is not None else []


def _guess(near: Sequence[str]) -> str | None:
    return f"did you mean {near[0]}?" if near else None


def _where(error: click.UsageError) -> str:
    return f"see `{error.ctx.command_path if error.ctx is not None else 'empiarfs'} --help`"
