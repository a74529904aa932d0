"""Puts together what a mount shows below `.empiar`.

Threading: safe from any thread; `_lock` guards what asks, which is made when it is first needed.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.archive.entries import EntryClient
from empiarfs.cache.directory import CacheDirectory
from empiarfs.catalog import Catalog
from empiarfs.catalog.entry_store import EntryStore
from empiarfs.config import Config
from empiarfs.entries import Entries
from empiarfs.errors import InterruptedCallError
from empiarfs.mount.sheets import ChildSheets, can_be_made
from empiarfs.notes.descriptions import Descriptions
from empiarfs.notes.notes import Notes
from empiarfs.notes.sheets import Sheets
from empiarfs.stats import Counters
from empiarfs.tree import Tree


class MountNotes:
    """What a mount shows below `.empiar`; asks nobody and opens nothing before it is looked at.

    Args:
        config: The settings.
        cache_dir: Where the cache is.
        directory: The same, in which what is known of entries is kept.
        client: The archive.
        catalog: What is known of names.
        tree: What tells which of them were refused.
        counters: Counts what happens.

    Attributes:
        notes: What is shown.
    """

    def __init__(
        self,
        config: Config,
        cache_dir: Path,
        directory: CacheDirectory,
        client: ArchiveClient,
        catalog: Catalog,
        tree: Tree,
        counters: Counters,
    ) -> None:
        self._config = config
        self._archive = client
        self._counters = counters
        self._lock = threading.Lock()
        self._client: EntryClient | None = None  # guarded by _lock
        self._closed = False  # guarded by _lock
        store = EntryStore(
            directory.entries_path(config.api_url), api_url=config.api_url, counters=counters
        )
        sheets = None
        if can_be_made():
            sheets = Sheets(ChildSheets(config, cache_dir, os.environ))
        self.notes = Notes(
            Descriptions(Entries(store, self._source), store.close),
            catalog,
            archive_url=client.base_url,
            refused=tree.listings.refused_names,
            sheets=sheets,
            is_listed=config.metadata == "visible",
        )

    def close(self) -> None:
        """End all requests, then the threads that wait for them."""
        with self._lock:
            self._closed = True
            client = self._client
        if client is not None:
            client.close()
        self.notes.close()

    def _source(self) -> EntryClient:
        with self._lock:
            if self._closed:
                raise InterruptedCallError("the mount ends")
            if self._client is None:
                config = ClientConfig(
                    base_url=self._config.api_url,
                    max_connections=self._config.max_connections,
                    limit_rate=self._config.limit_rate,
                )
                self._client = EntryClient(self._archive, config, self._counters, urgent=False)
            return self._client
