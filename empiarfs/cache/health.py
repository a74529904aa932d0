"""Whether a disk is worth asking: it is bypassed for a while after it failed.

A cache disk that is full, read-only, hung or gone must cost the mount its cache and nothing
else. After a failure nobody asks the disk for some seconds; then one caller does, and the
outcome decides. Each change is logged once; a disk that comes and goes warns of it once in
ten minutes, and is in the log at level INFO otherwise.

Threading: one lock, never held while anything else is done; safe from any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

# Short enough that a cache comes back soon after its disk has; a hung disk costs one waiting
# thread in this time.
RETRY_S = 10.0
# Times in a row that a lock may be missed before that counts as a failure: with several
# mounts writing at once a single miss is ordinary.
_BUSY_LIMIT = 3
_SAY_AGAIN_S = 600.0


class Health:
    """What the last uses of one thing said about it.

    Args:
        what: What is well or unwell, for the log: "reading the cache in /x".
        clock: Seconds, monotonic.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._lock = threading.Lock()
        self._reason: str | None = None  # guarded by _lock
        self._since_s = 0.0  # wall clock; guarded by _lock
        self._retry_at = 0.0  # guarded by _lock
        self._busy = 0  # guarded by _lock
        self._level = logging.WARNING  # of the last failure's message; guarded by _lock
        self._warned_at = -_SAY_AGAIN_S  # guarded by _lock

    @property
    def unwell(self) -> str | None:
        """Why and since when it is bypassed, or None."""
        with self._lock:
            if self._reason is None:
                return None
            since = time.strftime("%H:%M:%S", time.localtime(self._since_s))
            return f"{self._what} fails since {since}: {self._reason}"

    def allows(self) -> bool:
        """Tell whether to try; while unwell, one caller in `RETRY_S` is told yes."""
        if self._reason is None:  # without the lock: this stands before each use
            return True
        with self._lock:
            now = self._clock()
            if self._reason is not None and now < self._retry_at:
                return False
            self._retry_at = now + RETRY_S
            return True

    def failed(self, reason: str) -> None:
        """Note that a use failed."""
        with self._lock:
            was_well = self._reason is None
            self._reason = reason
            self._retry_at = self._clock() + RETRY_S
            level = self._begin() if was_well else logging.DEBUG
        logger.log(level, "%s fails, going on without: %s", self._what, reason)

    def busy(self, reason: str) -> None:
        """Note that others kept us from using it; several times in a row is a failure."""
        with self._lock:
            self._busy += 1
            many = self._busy >= _BUSY_LIMIT
        if many:
            self.failed(reason)

    def succeeded(self) -> None:
        """Note that a use succeeded."""
        if self._reason is None and not self._busy:
            return
        with self._lock:
            was_unwell = self._reason is not None
            self._reason = None
            self._busy = 0
            level = self._level
        if was_unwell:
            logger.log(level, "%s works again", self._what)

    def _begin(self) -> int:
        """Note when it began to fail, and return how loudly to say so."""
        self._since_s = time.time()
        now = self._clock()
        self._level = logging.INFO
        if now - self._warned_at >= _SAY_AGAIN_S:
            self._level, self._warned_at = logging.WARNING, now
        return self._level


class RareWarning:
    """Logs a warning at most once in a minute, and says how many it left out."""

    def __init__(self, message: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._message = message
        self._clock = clock
        self._lock = threading.Lock()
        self._next_at = -1.0  # guarded by _lock
        self._left_out = 0  # guarded by _lock

    def log(self, *args: object) -> None:
        """Log the message with `args`, or count it as left out."""
        with self._lock:
            now = self._clock()
            if now < self._next_at:
                self._left_out += 1
                return
            left_out, self._left_out = self._left_out, 0
            self._next_at = now + 60.0
        more = f" (and {left_out} more since the last such message)" if left_out else ""
        logger.warning(self._message + "%s", *args, more)
