"""Waits for something to become true, as briefly as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(claim: Callable[[], object], seconds: float = 10.0, every_s: float = 0.002) -> None:
    """Return as soon as `claim()` is true; fail after some seconds."""
    end_s = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end_s, "it didn't become true in time"
        time.sleep(every_s)
