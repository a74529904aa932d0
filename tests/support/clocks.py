"""The clock of a mount, moved by a test while the mount runs.

    with MovedClock() as clock, mounted(url, env=clock.environment) as mount:
        clock.move(86_400)

The mount's interpreter is started with `moved_clock/sitecustomize.py` before all else.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).resolve().parent


class MovedClock:
    """How far ahead of the true time a mount's clock is; a context manager.

    Attributes:
        ahead_s: Seconds.
    """

    def __init__(self) -> None:
        self.ahead_s = 0.0
        descriptor, self._path = tempfile.mkstemp(prefix="empiarfs-clock-")
        os.write(descriptor, struct.pack("d", 0.0))
        os.fchmod(descriptor, 0o644)
        self._memory = mmap.mmap(descriptor, 8)
        os.close(descriptor)

    def __enter__(self) -> MovedClock:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._memory.close()
        os.unlink(self._path)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the mount's environment needs for it."""
        paths = f"{_HERE / 'moved_clock'}:{_HERE.parents[1]}"
        return {"PYTHONPATH": paths, "CLOCK_OF_EMPIARFS_TESTS": self._path}

    def move(self, seconds: float) -> None:
        """Set the clock forward, or back if negative."""
        self.ahead_s += seconds
        self._memory[:8] = struct.pack("d", self.ahead_s)
