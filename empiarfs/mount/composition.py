"""The composition root: makes the parts of a file system and puts them together.

`build` makes all of them, for a mount or for a command that reads files; `build_tree` those
that tell names, sizes and versions, for a command that reads none. Neither knows FUSE, and
neither asks the archive: a mount is made at once, whatever the network does.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.cache.directory import (
    CacheDirectory,
    CachePlace,
    choose_directory,
    open_cache_directory,
)
from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.speed_file import SpeedLog
from empiarfs.cache.store import UnchangedStore
from empiarfs.catalog import Catalog
from empiarfs.config import Config
from empiarfs.fetcher import Fetcher, FetcherConfig, Source
from empiarfs.stats import Counters
from empiarfs.tree import Tree, TreeConfig
from empiarfs.tree.versions import VersionAskerConfig
from empiarfs.vfs import FileSystem

if TYPE_CHECKING:
    from empiarfs.local import LocalFirst
    from empiarfs.mount.notes import MountNotes

logger = logging.getLogger(__name__)

# Who unmounts waits for this; what takes longer is worth a line.
_SLOW_S = 1.0


@dataclass(frozen=True, slots=True)
class TreeParts:
    """What tells names, sizes and versions; closed from the top down."""

    counters: Counters
    place: CachePlace
    directory: CacheDirectory
    client: ArchiveClient
    catalog: Catalog
    tree: Tree

    def close(self) -> None:
        """Fail all who wait, write what is to be kept, end all threads."""
        for part in (self.client, self.catalog):
            _close(part)


@dataclass(frozen=True, slots=True)
class Parts:
    """A file system and what it stands on; closed from the top down."""

    counters: Counters
    place: CachePlace
    directory: CacheDirectory
    client: ArchiveClient
    store: DiskBlockStore
    catalog: Catalog
    fetcher: Fetcher
    tree: Tree
    files: FileSystem
    about: MountNotes | None = None
    local: LocalFirst | None = None

    @property
    def source(self) -> Source:
        """What has the bytes: local copies, if there are any, before the fetcher."""
        return self.fetcher if self.local is None else self.local

    def close(self) -> None:
        """Fail all who wait, write what is to be kept, end all threads.

        Each part is closed even if another can't be.
        """
        # The client first: who waits for the archive would hold up the others.
        parts = (self.client, self.about, self.local, self.fetcher, self.catalog, self.store)
        for part in parts:
            if part is not None:
                _close(part)


def build(config: Config, root: str = "", *, keeps: bool = True, is_mount: bool = False) -> Parts:
    """Return the parts of a file system as the settings want it.

    Args:
        config: The settings.
        root: Path below the archive's root that is shown as the root.
        keeps: Keep what is read in the cache; otherwise that is only read from.
        is_mount: It is for a mount, which shows `.empiar` too, if the settings want that.

    Raises:
        ConfigError: The settings can't work here, such as a cache on a network disk.
    """
    below = build_tree(config)
    counters, client = below.counters, below.client
    try:
        store = DiskBlockStore(
            below.directory.blocks_path, below.directory.limit, counters, min_free=config.min_free
        )
    except BaseException:
        below.close()
        raise
    # What a limit leaves says nothing of the link.
    limited = config.limit_rate is not None
    fetcher = Fetcher(
        client,
        store if keeps else UnchangedStore(store),
        counters,
        FetcherConfig(max_connections=config.max_connections),
        speeds=None if limited else SpeedLog(below.directory.speed_path(client.base_url)),
    )
    about = _mount_notes(config, below) if is_mount and config.metadata != "off" else None
    notes = None if about is None else about.notes
    local = _local_first(config, fetcher, counters, client) if config.local else None
    files = FileSystem(
        client, below.tree, local or fetcher, store, counters, root=root, notes=notes
    )
    return Parts(
        counters,
        below.place,
        below.directory,
        client,
        store,
        below.catalog,
        fetcher,
        below.tree,
        files,
        about,
        local,
    )


@dataclass(frozen=True, slots=True)
class Unkept:
    """Files that are read without being kept in the cache; `close` comes after the parts'."""

    fetcher: Fetcher
    files: FileSystem
    local: LocalFirst | None = None

    def close(self) -> None:
        """Fail all who wait, end all threads."""
        for part in (self.local, self.fetcher):
            if part is not None:
                _close(part)


def build_unkept(parts: Parts, config: Config) -> Unkept:
    """Return the same files, by the same connections, of which nothing more is kept.

    What the cache holds is read from it.
    """
    fetcher = Fetcher(
        parts.client,
        UnchangedStore(parts.store),
        parts.counters,
        FetcherConfig(max_connections=config.max_connections),
    )
    client, counters = parts.client, parts.counters
    local = _local_first(config, fetcher, counters, client) if config.local else None
    files = FileSystem(client, parts.tree, local or fetcher, parts.store, counters)
    return Unkept(fetcher, files, local)


def build_tree(config: Config) -> TreeParts:
    """Return the parts that tell names, sizes and versions, as the settings want them.

    They share the cache directory's catalog and the machine's connections with all mounts.

    Raises:
        ConfigError: The settings can't work here, such as a cache on a network disk.
    """
    counters = Counters()
    place = choose_directory(config.cache_dir, os.environ, force=config.force)
    directory = open_cache_directory(place, config.cache_size)
    client = ArchiveClient(
        ClientConfig(
            base_url=config.archive_url,
            max_connections=config.max_connections,
            limit_rate=config.limit_rate,
        ),
        counters,
    )
    catalog = Catalog(
        directory.catalog_path(client.base_url), archive_url=client.base_url, counters=counters
    )
    # Shorter than a look-up, so that it can say why there is no size.
    versions = VersionAskerConfig(batch_s=min(85.0, 0.95 * config.lookup_s))
    tree = Tree(client, catalog, counters, TreeConfig(versions=versions))
    return TreeParts(counters, place, directory, client, catalog, tree)


def _local_first(
    config: Config, fetcher: Fetcher, counters: Counters, client: ArchiveClient
) -> LocalFirst:
    # Whoever has no local copies doesn't wait for its import.
    from empiarfs.local import LocalConfig, LocalFirst
    from empiarfs.local.record import place_of_record

    return LocalFirst(
        fetcher,
        counters,
        LocalConfig(config.local, config.local_verify, place_of_record(os.environ)),
        client.base_url,
        lambda: str(client.reachability) != "offline",
    )


def _mount_notes(config: Config, below: TreeParts) -> MountNotes:
    # Commands don't show them, and don't wait for their import.
    from empiarfs.mount.notes import MountNotes

    return MountNotes(
        config,
        below.place.path,
        below.directory,
        below.client,
        below.catalog,
        below.tree,
        below.counters,
    )


class _Closable(Protocol):
    def close(self) -> None: ...


def _close(part: _Closable) -> None:
    name, began_s = type(part).__name__, time.monotonic()
    try:
        part.close()
    except Exception:
        logger.exception("closing %s failed", name)
    took_s = time.monotonic() - began_s
    if took_s > _SLOW_S:
        logger.info("closing %s took %.1f s", name, took_s)
