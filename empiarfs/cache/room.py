"""How much room there is: under the limit, and on the disk.

The limit may be changed in the directory by another process, and what isn't a block grows
slowly: some 270 calls of `stat`, 1 ms, say by how much, at most once a second.

The disk is shared with others, and a share of it is left to them (`--min-free`), whatever
the limit says. What is free is asked for before each write, which takes 2 µs. A quota can't
be asked for, nor how many inodes a write needs; where a write fails for want of room all the
same, some blocks more have to go.

Threading: one lock, held while it is measured; to be asked on the cache threads only, since
the disk may hang.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from empiarfs.cache.database import BlockDatabase
from empiarfs.cache.limit_file import read_limit

_MEASURE_S = 1.0
# What is given up when a disk turns out to be full, so that not every block finds it so.
_GIVEN_UP = 0.05


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
        min_free: The share of the disk that is left free, 0 to 1.
    """

    def __init__(
        self,
        directory: Path,
        own_limit: int,
        clock: Callable[[], float],
        min_free: float = 0.0,
    ) -> None:
        self._directory = directory
        self._own_limit = own_limit
        self._clock = clock
        self._min_free = min_free
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

    def spare(self) -> int:
        """Return the bytes that may still be taken of the disk; negative if too many are.

        Raises:
            OSError: The disk can't be asked.
        """
        free, min_free = self.free()
        return free - min_free

    def free(self) -> tuple[int, int]:
        """Return the bytes that are free on the disk, and those that are to stay free.

        Raises:
            OSError: The disk can't be asked.
        """
        status = os.statvfs(self._directory)
        min_free = int(self._min_free * status.f_blocks)
        return status.f_bavail * status.f_frsize, min_free * status.f_frsize

    def allowed(self, used: int) -> int:
        """Return how many bytes of blocks the disk allows, when `used` are there.

        Raises:
            OSError: The disk can't be asked.
        """
        return max(0, used + self.spare())

    def allowed_when_full(self, used: int, needed: int) -> int:
        """Return the same after a write of `needed` bytes found no room."""
        # Twice: what is missing may be inodes, and a block in a folder of its own needs two.
        return max(0, used + needed - max(2 * needed, int(used * _GIVEN_UP)))

    def why_full(self) -> str:
        """Return why not even one block has room, for the log."""
        if self._min_free:
            return f"no room if {self._min_free * 100:.3g} % of the disk are to stay free"
        return "no room on the disk"
