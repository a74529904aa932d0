"""The tree: when what is known may be believed, and when the archive is asked.

    question               answered from                                 asked for
    ---------------------  --------------------------------------------  --------------------
    children of a          see `listings`                                its listing
    directory
    a listed name          the listing: it is served                     nothing
    an unlisted name       remembered absences; names that only          HEAD
                           programs of this machine ask for are absent
    size and mtime         memory, catalog, as long as the listing's     HEAD, with those of
                           row is unchanged                              its neighbours

A size that can't be had is an error for that file; its name stays. An error of the archive
or the network never turns into "no such file".

Threading: safe from any thread; what is known of a directory has a lock in it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from empiarfs.archive.client import ArchiveClient
from empiarfs.catalog import Catalog, KnownRow
from empiarfs.core import paths
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.errors import (
    EmpiarFSError,
    IsDirectoryError,
    NoSuchNameError,
    NotFoundError,
)
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from empiarfs.tree.directory import Directory
from empiarfs.tree.listings import ListingConfig, Listings
from empiarfs.tree.single_flight import SingleFlight
from empiarfs.tree.versions import VersionAsker, VersionAskerConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TreeConfig:
    """When to believe and when to ask.

    Attributes:
        listings: Of the directories' listings.
        versions: How sizes are asked for.
    """

    listings: ListingConfig = field(default_factory=ListingConfig)
    versions: VersionAskerConfig = field(default_factory=VersionAskerConfig)


@dataclass(frozen=True, slots=True)
class Node:
    """Something in the tree.

    Attributes:
        path: Its path below the archive's root; "" for the root.
        inode: Its inode number.
        is_directory: Whether it is a directory; else a file.
        modified_text: The listing's minute, `YYYY-MM-DD HH:MM`, or "".
    """

    path: str
    inode: int
    is_directory: bool
    modified_text: str


ROOT = Node("", paths.inode_of(""), True, "")


class Tree:
    """The archive's names, sizes and versions; one for a process.

    Args:
        client: The archive.
        catalog: What was known before, and keeps what is learnt.
        counters: Counts what happens.
        config: When to believe and when to ask.
        now: Wall-clock seconds since 1970, by which a listing's age is told.

    Attributes:
        listings: What the directories hold.
    """

    def __init__(
        self,
        client: ArchiveClient,
        catalog: Catalog,
        counters: Counters,
        config: TreeConfig | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        config = config or TreeConfig()
        self._client = client
        self._catalog = catalog
        self._counters = counters
        self._changed: list[Callable[[str], None]] = []
        self._learnt: list[Callable[[str, FileVersion], None]] = []
        self._asking: SingleFlight[str, KnownRow | None] = SingleFlight()
        self.listings = Listings(
            client, catalog, counters, config.listings, self._tell_changed, now=now
        )
        self._versions = VersionAsker(
            client,
            catalog,
            counters,
            config.versions,
            self._tell_changed,
            self._tell_learnt,
        )

    def when_changed(self, callback: Callable[[str], None]) -> None:
        """Call `callback(path)` whenever a file turns out to have changed in the archive."""
        self._changed.append(callback)

    def when_learnt(self, callback: Callable[[str, FileVersion], None]) -> None:
        """Call `callback(path, version)` for each version that the archive tells."""
        self._learnt.append(callback)

    # -- names -----------------------------------------------------------------------------

    def lookup(self, path: str, patience: Patience) -> Node:
        """Return what is at `path`.

        Raises:
            NoSuchNameError: The archive has nothing there.
            EmpiarFSError: It isn't known and the archive can't be asked.
        """
        if not path:
            return ROOT
        parent, name = paths.split(path)
        if paths.name_problem(name) or self._is_of_this_machine(parent, name):
            raise NoSuchNameError(f"no {name!r} in {parent!r}")
        directory = self._parent(parent, patience, name)
        index = directory.rows.get(name)
        if index is not None:
            item = directory.items[index]
            inode = directory.inodes[index]
            return Node(path, inode, item.is_directory, item.modified_text)
        row = self._unlisted(directory, name, patience)
        return Node(path, paths.inode_of(path), row.item.is_directory, row.item.modified_text)

    def _is_of_this_machine(self, parent: str, name: str) -> bool:
        """Tell whether only programs on this machine look for `name`; nothing is asked."""
        if not paths.is_local_only(name):
            return False
        directory = self.listings.in_memory(parent)
        # What is listed is served, whatever it is called.
        return directory is None or name not in directory.rows

    def _parent(self, path: str, patience: Patience, coming: str = "") -> Directory:
        try:
            return self.listings.directory(path, patience, coming)
        except NotFoundError as exc:
            raise NoSuchNameError(f"no directory {path!r}") from exc

    def _unlisted(self, directory: Directory, name: str, patience: Patience) -> KnownRow:
        """Return the row of a name that the listing lacks, asking the archive if need be."""
        with directory.condition:
            row = directory.unlisted.get(name)
        if row is not None:
            return row
        if not directory.is_absent(name):
            path = paths.join(directory.path, name)
            row = self._asking.run(
                path, patience, lambda: self._ask_unlisted(directory, name, patience)
            )
        if row is None:
            raise NoSuchNameError(f"no {name!r} in {directory.path!r}")
        return row

    def _ask_unlisted(
        self, directory: Directory, name: str, patience: Patience
    ) -> KnownRow | None:
        try:
            head = self._client.head(paths.join(directory.path, name), patience=patience)
        except NotFoundError:
            directory.note_absence(name)
            return None
        row = KnownRow(ListingItem(name, head.is_directory, "", ""), head.version)
        with directory.condition:
            directory.unlisted[name] = row
            if not directory.looked_again and not paths.is_hidden_by_apache(name):
                # A back end may have left rows out that the next one has: once more, but not
                # for each such name, as a page may have megabytes.
                directory.looked_again = directory.outdated = True
        logger.info("%r is in the archive, though the listing lacks it", row.item.name)
        return row

    # -- sizes -----------------------------------------------------------------------------

    def version(self, path: str, patience: Patience) -> FileVersion:
        """Return the exact size and the modification time of the file at `path`.

        Raises:
            NoSuchNameError: The archive has nothing there.
            IsDirectoryError: It is a directory.
            EmpiarFSError: It isn't known and the archive can't be asked.
        """
        parent, name = paths.split(path)
        directory = self._parent(parent, patience)
        index = directory.rows.get(name)
        if index is None:
            row = self._unlisted(directory, name, patience)
            if row.version is None:
                raise IsDirectoryError(path)
            return row.version
        if directory.items[index].is_directory:
            raise IsDirectoryError(path)
        with directory.condition:
            version = directory.versions[index]
            if version is not None and directory.window.is_due(index):
                self._versions.ask_ahead(directory, index)
        return version or self._versions.wait_for(directory, index, patience)

    def glance(self, path: str) -> tuple[Node, FileVersion] | None:
        """Return a listed file and its version where both are known and nothing is to be done.

        What `lookup` and `version` would return, at a third of the time: a program that
        lists a big directory asks for each of its files.
        """
        parent, _, name = path.rpartition("/")
        directory = self.listings.in_memory(parent)
        if directory is None:
            return None
        index = directory.rows.get(name)
        if index is None:
            return None
        version = directory.versions[index]
        if (
            version is None
            or directory.window.is_due(index)
            or not self.listings.is_fresh(directory)
        ):
            return None
        text = directory.items[index].modified_text
        return Node(path, directory.inodes[index], False, text), version

    def foresee_versions(self, directory: Directory, rows: Iterable[int]) -> None:
        """Ask for the versions of these rows of a directory, and wait for none of them."""
        self._versions.foresee(directory, rows)

    def ask_versions(
        self, directory: Directory, rows: Iterable[int], patience: Patience
    ) -> dict[int, EmpiarFSError]:
        """Ask for those of the versions of these rows that aren't known, and wait for all.

        Returns:
            Why a version couldn't be had, by row.

        Raises:
            InterruptedCallError: The caller stopped waiting; what came is kept.
        """
        return self._versions.ask(directory, rows, patience)

    def forget_version(self, path: str, old: FileVersion) -> None:
        """Forget the version of a file, since the archive was seen to hold another one."""
        parent, name = paths.split(path)
        directory = self.listings.in_memory(parent)
        if directory is not None:
            with directory.condition:
                index = directory.rows.get(name)
                if index is None:
                    directory.unlisted.pop(name, None)
                elif directory.versions[index] == old:
                    directory.previous[index] = old
                    directory.versions[index] = None
                    directory.outdated = True
        self._catalog.put_versions(parent, {name: None})
        self._tell_changed(path)

    def _tell_changed(self, path: str) -> None:
        self._counters.add("changed_files")
        for callback in self._changed:
            callback(path)

    def _tell_learnt(self, path: str, version: FileVersion) -> None:
        for callback in self._learnt:
            callback(path, version)
