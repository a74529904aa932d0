"""The tier of open blocks: the descriptors that make a hit cost no look-up.

A read that hits here touches neither SQL nor a path, only `pread`. What is kept is bounded
in number, since each block is a descriptor and holds its bytes on disk even after another
process evicted it.

A block that isn't whole is looked up again after some seconds: another process may have
added to it, and has no way to tell us.

Threading: one lock, never held for longer than it takes to close a file; safe from any
thread.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterable

from cachetools import LRUCache

from empiarfs.cache.block_file import OpenBlock
from empiarfs.core.blocks import BLOCK_SIZE

_MAX_BLOCKS = 256
_LIMIT_SHARE = 0.05
_PARTIAL_TTL_S = 5.0


def tier_size(limit: int) -> int:
    """Return how many blocks to keep open, for a cache of at most `limit` bytes."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        descriptors = 4 * _MAX_BLOCKS
    return max(1, min(_MAX_BLOCKS, int(limit * _LIMIT_SHARE) // BLOCK_SIZE, descriptors // 4))


class OpenBlocks:
    """The blocks opened last, by `BlockKey.short`.

    Args:
        count: How many to keep.
        clock: Seconds, monotonic.
    """

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._blocks: LRUCache[str, OpenBlock] = LRUCache(count)  # guarded by _lock

    def get(self, key: str) -> OpenBlock | None:
        """Return the block if it is kept, and worth using without another look."""
        with self._lock:
            block = self._blocks.get(key)
            if block is None or block.is_whole:
                return block
            if self._clock() - block.opened_s < _PARTIAL_TTL_S:
                return block
            del self._blocks[key]  # closed when nobody reads it any more
            return None

    def keep(self, key: str, block: OpenBlock) -> None:
        """Keep a block that was just opened."""
        block.opened_s = self._clock()
        with self._lock:
            self._blocks[key] = block

    def drop(self, keys: Iterable[str]) -> None:
        """Forget blocks that were evicted or replaced."""
        with self._lock:
            for key in keys:
                self._blocks.pop(key, None)

    def drop_block(self, key: str, block: OpenBlock) -> None:
        """Forget this very block, not what may have taken its place."""
        with self._lock:
            if self._blocks.get(key) is block:
                del self._blocks[key]

    def drop_parts(self) -> None:
        """Forget blocks that aren't whole, so that they are looked up again."""
        with self._lock:
            for key in [key for key, block in self._blocks.items() if not block.is_whole]:
                del self._blocks[key]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._blocks.clear()
