"""The account of bytes in flight: on their way from the archive, or from here to the disk.

Whatever a reader waits for is always let in: it is bounded by the connections, each of which
brings one request's worth. What is foreseen is let in while there is room beside that and
beside what the disk has not taken yet: a slow disk, or many readers who wait, make foresight
smaller before they make the process larger.

Threading: one lock, held for an addition; safe from any thread.
"""

from __future__ import annotations

import threading
from enum import Enum


class Held(Enum):
    """What bytes in flight are held for."""

    WANTED = "wanted_bytes"  # on their way, asked for because somebody waited for them
    FORESEEN = "foreseen_bytes"  # on their way, and asked for ahead
    PENDING = "pending_bytes"  # here, and not on the disk yet


class InFlight:
    """How many bytes are in flight, and for what.

    Args:
        limit: Bytes that may be in flight before nothing more is foreseen.
        foreseen: Bytes of these that may be on their way without anybody waiting for them.
    """

    def __init__(self, limit: int, foreseen: int) -> None:
        self.limit = limit
        self._foreseen_limit = foreseen
        self._lock = threading.Lock()
        self._sizes = dict.fromkeys(Held, 0)  # guarded by _lock

    def add(self, held: Held, size: int) -> None:
        """Note that so many bytes more are in flight; less if `size` is negative."""
        if size:
            with self._lock:
                self._sizes[held] += size

    def __getitem__(self, held: Held) -> int:
        """Return how many bytes are in flight for this."""
        return self._sizes[held]

    @property
    def room(self) -> int:
        """How many bytes more may be foreseen now; negative if there are too many."""
        with self._lock:
            foreseen = self._foreseen_limit - self._sizes[Held.FORESEEN]
            return min(foreseen, self.limit - sum(self._sizes.values()))

    def usage(self) -> dict[str, int]:
        """Return the bytes held for each, and the limit of all together, for `status`."""
        with self._lock:
            sizes = {held.value: size for held, size in self._sizes.items()}
        return {**sizes, "in_flight_limit": self.limit}
