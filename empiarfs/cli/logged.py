"""What the parts of empiarfs log while a command works, as lines on stderr: its `-v` and `-q`.

Threading: entered and left by one thread; what other threads log meanwhile is shown as well.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from empiarfs.cli.terminal import in_one_line


class _Handler(logging.StreamHandler):  # type: ignore[type-arg] # generic for mypy only
    def format(self, record: logging.LogRecord) -> str:
        return in_one_line(f"empiarfs: {record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def logged(*, verbose: bool, quiet: bool) -> Iterator[None]:
    """Show warnings; with `verbose` also what is done, with `quiet` errors only.

    Inside another one nothing changes.
    """
    logger = logging.getLogger("empiarfs")
    if any(isinstance(each, _Handler) for each in logger.handlers):
        yield
        return
    handler = _Handler(sys.stderr)
    handler.setLevel(logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING)
    before = logger.level
    logger.setLevel(min(handler.level, logging.WARNING))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
