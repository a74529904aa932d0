"""What makes a handler of the adapter end in a result or an errno, whatever happens in it."""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from empiarfs.errors import EmpiarFSError, ReadOnlyError, without_frames
from empiarfs.fuse import thread_states
from empiarfs.fuse.errnos import ORDINARY
from empiarfs.fuse.library import mfusepy

logger = logging.getLogger(__name__)


class Answering(Protocol):
    """What a handler's object tells about a failed call."""

    def number_for(self, error: EmpiarFSError) -> int:
        """Return the errno that answers `error`."""
        ...

    def path_for(self, *args: Any) -> str | None:
        """Return the path of the handle among a handler's arguments, for a message."""
        ...

    def note_refused(
        self, call: str, path: str, args: tuple[Any, ...], number: int, cause: BaseException
    ) -> None:
        """Take down that a call is answered with an errno that a program may suffer from."""
        ...


_Operation = TypeVar("_Operation", bound=Callable[..., Any])


def answers(operation: _Operation) -> _Operation:
    """Make a handler answer with a result or an errno, whatever happens in it."""

    @functools.wraps(operation)
    def answer(self: Answering, path: str | None, *args: Any) -> Any:
        thread_states.keep()
        cause: BaseException
        try:
            return operation(self, path, *args)
        except EmpiarFSError as exc:
            number, cause = self.number_for(exc), exc
            level = logging.DEBUG if number in ORDINARY else logging.WARNING
            logger.log(level, "%s %r: %s", operation.__name__, _name(self, path, args), exc)
        except Exception as exc:
            number, cause = errno.EIO, exc
            logger.exception("%s %r failed", operation.__name__, path)
        except BaseException as exc:
            # Such as SystemExit from a library: the mount must outlive it.
            number, cause = errno.EIO, exc
            logger.critical("%s %r met %r", operation.__name__, path, exc, exc_info=True)
        if number not in ORDINARY:
            self.note_refused(operation.__name__, _name(self, path, args), args, number, cause)
        without_frames(cause)
        raise mfusepy.FuseOSError(number)

    return cast(_Operation, answer)


def _name(self: Answering, path: str | None, args: tuple[Any, ...]) -> str:
    return path if path is not None else self.path_for(*args) or ""


def refuses(name: str) -> Callable[..., int]:
    """Return a handler for `name` that refuses to write."""

    def refuse(self: Answering, path: str | None, *args: Any) -> int:
        raise ReadOnlyError("the archive can't be written")

    refuse.__name__ = name
    refuse.__doc__ = f"Refuse `{name}`."
    return answers(refuse)
