"""Waits for what another process does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.mounts import command_lines

_DEADLINE_S = 60.0
_POLL_S = 0.02


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until `holds()`; an AssertionError if it doesn't within a minute."""
    deadline = time.monotonic() + _DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(_POLL_S)


def processes_in(directory: Path) -> list[int]:
    """Return the processes whose command line names the directory, or a path in it."""
    needle = os.fsencode(directory)
    return [pid for pid, words in command_lines() if any(needle in word for word in words)]
