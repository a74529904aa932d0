"""Puts together what the commands about entries need: settings, the store, what is asked.

What asks is imported and made when something has to be asked: an answer from the store takes
no longer than Python, click and SQLite do.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from empiarfs.config import Config
from empiarfs.patience import Patience
from empiarfs.stats import Counters

if TYPE_CHECKING:
    from empiarfs.catalog.entry_store import EntryStore
    from empiarfs.entries import Entries, EntrySource

# Two requests of the API and one of the archive, each asked again after its first stall.
PATIENCE_S = 60.0
# A snapshot of all entries has some 7 MB.
_MOST_BYTES = 256 * 1024 * 1024
_DOWNLOAD_S = 600.0


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
def downloaded(config: Config, url: str, counters: Counters) -> Iterator[Path]:
    """Lend a temporary file with what is at a URL.

    Raises:
        ArchiveError: It can't be had.
        ConfigError: It isn't a URL that can be asked for.
    """
    import tempfile
    from urllib.parse import unquote

    from empiarfs.archive.client import ArchiveClient, ClientConfig

    folder, _, name = url.rpartition("/")
    client = ArchiveClient(
        ClientConfig(
            base_url=f"{folder}/",
            max_connections=config.max_connections,
            limit_rate=config.limit_rate,
        ),
        counters,
    )
    try:
        path = unquote(name, errors="surrogateescape")
        data = client.document(path, bytes, limit=_MOST_BYTES, patience=Patience(_DOWNLOAD_S))
    finally:
        client.close()
    with tempfile.TemporaryDirectory(prefix="empiarfs-") as directory:
        file = Path(directory) / (Path(path).name or "snapshot")
        file.write_bytes(data)
        yield file


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


def age_words(at_s: float, now_s: float | None = None) -> str:
    """Return how long ago something was, for people.

    >>> age_words(0.0, 90.0), age_words(0.0, 3 * 86400.0), age_words(10.0, 0.0)
    ('1 minute old', '3 days old', 'new')
    """
    seconds = (time.time() if now_s is None else now_s) - at_s
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count = int(seconds // unit)
        if count >= 1:
            return f"{count} {name}{'s' * (count > 1)} old"
    return "new"
