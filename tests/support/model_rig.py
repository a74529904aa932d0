"""A file system on a server that changes and breaks, without FUSE, in the tests' process.

All of it is the real thing: client, fetcher, catalog and block cache on disk. Only its clock
is the test's, its limits are small, and it waits for a dead request as long as a test can.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.cache.directory import CachePlace, open_cache_directory
from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.eviction import MIN_LIMIT
from empiarfs.catalog import Catalog
from empiarfs.core.retry import RetryPolicy
from empiarfs.fetcher import Fetcher, FetcherConfig
from empiarfs.stats import Counters
from empiarfs.tree import Tree
from empiarfs.vfs import FileSystem

_numbers = itertools.count()
_FIRST_BYTE_S = 0.5


class Clock:
    """The wall clock, moved by a test."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        """Return seconds since 1970."""
        return time.time() + self.ahead_s


class Rig:
    """A file system, with a cache that outlives it.

    Args:
        url: The archive's root.
        folder: Where its cache is.
        clock: What it takes for the time.
    """

    def __init__(self, url: str, folder: Path, clock: Clock) -> None:
        self.counters = Counters()
        self.folder = folder
        directory = open_cache_directory(CachePlace(folder, "of a test"), MIN_LIMIT)
        prefix = f"empiarfs-model-{os.getpid()}-{next(_numbers)}"
        self.client = ArchiveClient(
            ClientConfig(base_url=url, slot_prefix=prefix, first_byte_s=_FIRST_BYTE_S),
            self.counters,
        )
        self.store = DiskBlockStore(directory.blocks_path, MIN_LIMIT, self.counters)
        self.catalog = Catalog(
            directory.catalog_path(self.client.base_url),
            archive_url=self.client.base_url,
            counters=self.counters,
            now=clock,
        )
        self.fetcher = Fetcher(
            self.client,
            self.store,
            self.counters,
            # Little memory, so that most of what is read again comes from the disk.
            FetcherConfig(memory=512 * 1024),
            retry=RetryPolicy(busy_s=0.02, broken_s=0.02),
        )
        tree = Tree(self.client, self.catalog, self.counters, now=clock)
        self.files = FileSystem(self.client, tree, self.fetcher, self.store, self.counters)

    def close(self) -> None:
        """End all of it; what was read stays on disk."""
        for part in (self.client, self.fetcher, self.catalog, self.store):
            part.close()

    def stored_files(self) -> list[Path]:
        """Return the files of stored blocks, databases excluded."""
        found = [path for path in self.folder.rglob("*") if path.is_file()]
        return sorted(path for path in found if path.parent.parent.parent.name == "blocks-1")
