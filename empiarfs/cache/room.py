"""How much room there is, measured at most once a second.

The limit may be changed in the directory by another process, and what isn't a block grows
slowly: some 270 calls of `stat`, 1 ms, say by how much.

Threading: one lock, held while it is measured; to be asked on the cache threads only, since
the disk may hang.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from empiarfs.cache.database import BlockDatabase
from empiarfs.cache.limit_file import read_limit

_MEASURE_S = 1.0


@dataclass(frozen=True, slots=True)
class Room:
    """What was last measured of a directory.

    Attributes:
        limit: Bytes that all of it may take.
        overhead: Bytes of what isn't a block.
    """

    limit: int
    overhead: int


class RoomMeter:
    """Measures the room of one directory of blocks.

    Args:
        directory: The directory.
        own_limit: The limit in bytes if none stands in the directory.
        clock: Seconds, monotonic.
    """

    def __init__(self, directory: Path, own_limit: int, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._own_limit = own_limit
        self._clock = clock
        self._lock = threading.Lock()
        self._room: Room | None = None  # guarded by _lock
        self._measured_at = 0.0  # guarded by _lock

    def limit(self) -> int:
        """Return the limit in bytes as it is now."""
        stored = read_limit(self._directory)
        return stored[0] if stored is not None else self._own_limit

    def measure(self, database: BlockDatabase) -> Room:
        """Return limit and overhead, measured within the last second.

        Raises:
            OSError: The directory can't be read.
        """
        with self._lock:
            now = self._clock()
            if self._room is None or now - self._measured_at >= _MEASURE_S:
                self._room = Room(self.limit(), database.overhead())
                self._measured_at = now
            return self._room
