"""Lends what knows EMPIAR's entries: the store in the cache directory, and what is asked.

What asks is imported and made when something has to be asked: an answer from the store takes
no longer than Python and SQLite do.

Threading: what is lent belongs to one thread at a time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from empiarfs.config import Config
from empiarfs.stats import Counters

if TYPE_CHECKING:
    from empiarfs.catalog.entry_store import EntryStore
    from empiarfs.entries import Entries, EntrySource

# Two requests of the API and one of the archive, each asked again after its first stall.
PATIENCE_S = 60.0


@contextlib.contextmanager
def known_entries(config: Config, *, offline: bool = False) -> Iterator[Entries]:
    """Lend what knows the entries, as the settings want it.

    Args:
        config: The settings.
        offline: Ask nobody.

    Raises:
        ConfigError: The cache directory can't be used.
    """
    from empiarfs.entries import Entries

    with contextlib.ExitStack() as stack:
        counters = Counters()
        store = stack.enter_context(entry_store(config, counters))
        made: list[EntrySource] = []

        def source() -> EntrySource:
            if not made:
                made.append(stack.enter_context(_source(config, counters)))
            return made[0]

        yield Entries(store, None if offline else source)


@contextlib.contextmanager
def entry_store(config: Config, counters: Counters) -> Iterator[EntryStore]:
    """Lend the store of the entries.

    Raises:
        ConfigError: The cache directory can't be used.
    """
    from empiarfs.cache.directory import choose_directory, open_cache_directory
    from empiarfs.catalog.entry_store import EntryStore

    place = choose_directory(config.cache_dir, os.environ, force=config.force)
    directory = open_cache_directory(place, config.cache_size)
    path = directory.entries_path(config.api_url)
    store = EntryStore(path, api_url=config.api_url, counters=counters)
    try:
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def _source(config: Config, counters: Counters) -> Iterator[EntrySource]:
    from empiarfs.archive.client import ArchiveClient, ClientConfig
    from empiarfs.archive.entries import EntryClient

    def configured(url: str) -> ClientConfig:
        return ClientConfig(
            base_url=url, max_connections=config.max_connections, limit_rate=config.limit_rate
        )

    archive = ArchiveClient(configured(config.archive_url), counters)
    try:
        client = EntryClient(archive, configured(config.api_url), counters)
        try:
            yield client
        finally:
            client.close()
    finally:
        archive.close()
