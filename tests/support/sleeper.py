"""A machine that sleeps, as far as a mount can tell.

    with SleepyMachine() as machine, mounted(url, env=machine.environment) as mount:
        machine.sleep(3600)

The mount's interpreter is started with `slept_machine/sitecustomize.py` before all else.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path

_HERE = Path(__file__).resolve().parent


class SleepyMachine:
    """Says how long the machine has slept; a context manager."""

    def __init__(self) -> None:
        self._slept_s = 0.0
        self._descriptor, self._path = tempfile.mkstemp(prefix="empiarfs-sleep-")
        self.sleep(0.0)

    def __enter__(self) -> SleepyMachine:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._descriptor)
        os.unlink(self._path)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the mount's environment needs for it."""
        paths = f"{_HERE / 'slept_machine'}:{_HERE.parents[1]}"
        return {"PYTHONPATH": paths, "SLEEP_OF_EMPIARFS_TESTS": self._path}

    def sleep(self, seconds: float) -> None:
        """Wake up again after so many seconds, which have passed for nobody else."""
        self._slept_s += seconds
        os.pwrite(self._descriptor, struct.pack("d", self._slept_s), 0)
