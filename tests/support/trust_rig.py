"""A real file system on a server that breaks, without FUSE, and what it may leave behind.

All parts are those of a mount (`empiarfs.mount.composition`): client, catalog, block cache
on disk, fetcher, tree. Only some waits are shorter, so that a thousand faults take minutes
and not hours; none of them decides whether an answer is believed.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.cache.directory import CachePlace, open_cache_directory
from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.eviction import MIN_LIMIT
from empiarfs.catalog import Catalog
from empiarfs.core.retry import RetryPolicy
from empiarfs.fetcher import Fetcher
from empiarfs.stats import Counters
from empiarfs.tree import Tree, TreeConfig
from empiarfs.tree.versions import VersionAskerConfig
from empiarfs.vfs import FileSystem
from tests.support.waiting import wait_until

_numbers = itertools.count()
# A server on the same machine answers in milliseconds; on a busy one in some tenths.
_FIRST_BYTE_S = 1.0
_LISTING_FIRST_BYTE_S = (1.5, 3.0, 6.0)
_SETTLED_S = 60.0
_LOOK_S = 0.05


class TrustRig:
    """A file system and its parts.

    Args:
        url: The archive's root.
        folder: The cache; it outlives the rig.
        retry: When a read asks again; the one of a mount if None.
        prefix: First word of its connection slots' names, to share them with others; one
            that nobody else has if "".
        max_connections: How many of them it may take.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        retry: RetryPolicy | None = None,
        prefix: str = "",
        max_connections: int = 12,
    ) -> None:
        self.counters = Counters()
        self.folder = folder
        self.prefix = prefix or f"empiarfs-trust-{os.getpid()}-{next(_numbers)}"
        directory = open_cache_directory(CachePlace(folder, "of a test"), MIN_LIMIT)
        self.client = ArchiveClient(
            ClientConfig(
                base_url=url,
                max_connections=max_connections,
                slot_prefix=self.prefix,
                first_byte_s=_FIRST_BYTE_S,
                listing_first_byte_s=_LISTING_FIRST_BYTE_S,
            ),
            self.counters,
        )
        self.store = DiskBlockStore(directory.blocks_path, MIN_LIMIT, self.counters)
        self.catalog = Catalog(
            directory.catalog_path(self.client.base_url),
            archive_url=self.client.base_url,
            counters=self.counters,
        )
        self.fetcher = Fetcher(self.client, self.store, self.counters, retry=retry)
        # What was refused once is asked for again soon, since a test looks soon.
        versions = VersionAskerConfig(failure_ttl_s=0.2)
        self.tree = Tree(self.client, self.catalog, self.counters, TreeConfig(versions=versions))
        self.files = FileSystem(self.client, self.tree, self.fetcher, self.store, self.counters)

    def settle(self) -> list[str]:
        """Wait until nothing is under way any more; return what still is after a minute."""
        try:
            wait_until(lambda: not self._under_way(), _SETTLED_S, _LOOK_S)
        except AssertionError:
            return [f"still under way: {self._under_way()}"]
        return []

    def _under_way(self) -> dict[str, int]:
        usage = {key: self.fetcher.usage()[key] for key in _UNDER_WAY}
        usage["questions"] = len(self.tree.listings._loading._flights) + len(
            self.tree._asking._flights
        )
        return {key: count for key, count in usage.items() if count}

    def close(self) -> list[str]:
        """End all of it; return what it left behind."""
        for part in (self.client, self.fetcher, self.catalog, self.store):
            part.close()
        try:
            # Slots of connections that were abandoned are given back a second later.
            wait_until(lambda: not self._slots(), _SETTLED_S, _LOOK_S)
        except AssertionError:
            return [f"slots left: {self._slots()}"]
        return []

    def _slots(self) -> list[str]:
        names = Path("/proc/net/unix").read_text(errors="replace").splitlines()
        ours = [line.rpartition("@")[2] for line in names if f"@{self.prefix}-" in line]
        return [name for name in ours if "-slot-" in name]


_UNDER_WAY = ("plans_waiting", "spans_waiting", "pieces_in_flight", "foreseen_bytes")
