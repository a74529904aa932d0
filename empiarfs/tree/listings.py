"""Listings: what the directories of the archive hold, and how far that may be believed.

    a listing is …                 what answers
    -----------------------------  ----------------------------------------------------------
    in memory, or in the catalog,  it
    for no longer than its TTL
    older, or known to be wrong    the archive's; the older one where that can't be had
    unknown                        the archive's

A newer listing is merged with the older one. A name that it lacks is asked for by itself
before it is believed to be gone: a back end may leave rows out.

Threading: safe from any thread; `_lock` guards the table of directories.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from cachetools import LRUCache

from empiarfs import threads
from empiarfs.archive.client import ArchiveClient
from empiarfs.catalog import Catalog, KnownDirectory, KnownRow, SiftedDirectory
from empiarfs.core import paths
from empiarfs.core.files import FileVersion
from empiarfs.errors import EmpiarFSError, InterruptedCallError, NotFoundError
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from empiarfs.tree.directory import Directory
from empiarfs.tree.merging import merge, with_missing
from empiarfs.tree.refused import RefusedNames
from empiarfs.tree.single_flight import SingleFlight

logger = logging.getLogger(__name__)

_NAMES_LOGGED = 10


@dataclass(frozen=True, slots=True)
class ListingConfig:
    """When to believe a listing, and when to ask for a newer one.

    Attributes:
        ttl_s: How long a listing is believed. Released entries practically never change.
        refresh_s: How long to wait for a newer listing where an older one is at hand.
        ahead_s: How long a listing may take that is fetched before it is asked for.
        stale_pause_s: After a refresh failed, the older listing serves for so long.
        rows_in_memory: Rows of all directories kept in memory, some 300 bytes each.
        confirmations: How many missing names are asked for at a refresh at most; those
            beyond stay.
    """

    ttl_s: float = 86_400.0
    refresh_s: float = 20.0
    ahead_s: float = 30.0
    stale_pause_s: float = 60.0
    rows_in_memory: int = 400_000
    confirmations: int = 1_000


class Listings:
    """The directories of the archive; safe from any thread.

    Args:
        client: The archive.
        catalog: What was known before, and keeps what is learnt.
        counters: Counts what happens.
        config: When to believe and when to ask.
        changed: Called with the path of each file that turns out to have changed or gone.
        now: Wall-clock seconds since 1970, by which a listing's age is told.
    """

    def __init__(
        self,
        client: ArchiveClient,
        catalog: Catalog,
        counters: Counters,
        config: ListingConfig,
        changed: Callable[[str], None],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._catalog = catalog
        self._counters = counters
        self._config = config
        self._tell_changed = changed
        self._now = now
        self._lock = threading.Lock()
        self._directories: LRUCache[str, Directory] = LRUCache(  # guarded by _lock
            config.rows_in_memory,
            # One that is larger than all of the room takes all of it: asked for anew at each
            # look-up, a million rows would cost seconds for every file.
            getsizeof=lambda d: min(len(d.items) + 1, config.rows_in_memory),
        )
        self._loading: SingleFlight[str, Directory] = SingleFlight()
        self._refused = RefusedNames()

    def directory(self, path: str, patience: Patience, coming: str = "") -> Directory:
        """Return the directory at `path`.

        Args:
            path: Of the directory.
            patience: Of the caller.
            coming: A name in it that the caller is on his way to, if he is. If the listing
                has to be fetched, so are those that he will want next.

        Raises:
            NotFoundError: The archive has no such directory.
            EmpiarFSError: It isn't known and the archive can't be asked.
        """
        with self._lock:
            directory = self._directories.get(path)
        if directory is not None and self.is_fresh(directory):
            return directory
        return self._loading.run(path, patience, lambda: self._load(path, patience, coming))

    def sift(self, path: str, wanted: Callable[[str], object]) -> SiftedDirectory | None:
        """Return the directories in a directory, and of its files only the wanted ones.

        Only from the catalog, at a fraction of what `directory` takes: None if the directory
        is in memory, isn't known, or is known by a listing that may not be believed.

        Args:
            path: Of the directory.
            wanted: Tells of a name whether a file of that name is.
        """
        if self.in_memory(path) is not None:
            return None
        found = self._catalog.sift(path, wanted)
        if found is None or not self._is_young(found.fetched_s):
            return None
        self._counters.add("listings_from_catalog")
        self._note_refused(path, found.refused_count)
        return found

    def in_memory(self, path: str) -> Directory | None:
        """Return the directory at `path` if it is known here; asks nobody."""
        with self._lock:
            return self._directories.get(path)

    def is_fresh(self, directory: Directory) -> bool:
        """Tell whether what is known of a directory may be believed."""
        if time.monotonic() < directory.no_refresh_before_s:
            return True
        return not directory.outdated and self._is_young(directory.fetched_s)

    def renewed(self, path: str, since_s: float, patience: Patience) -> Directory:
        """Return the directory at `path` by a listing that is no older than `since_s`.

        Args:
            path: Of the directory.
            since_s: Wall-clock seconds since 1970; an older listing is fetched anew, however
                far it may be believed otherwise.
            patience: Of the caller.

        Raises:
            NotFoundError: The archive has no such directory.
            EmpiarFSError: It can't be asked. An older listing is no answer.
        """
        directory = self.in_memory(path)
        if directory is not None and directory.fetched_s >= since_s:
            return directory
        renew = partial(self._renew, path, since_s, patience)
        found = self._loading.run(path, patience, renew)
        # What another caller had asked for may be an older one. Not again and again: a clock
        # may be set back meanwhile.
        return found if found.fetched_s >= since_s else self._loading.run(path, patience, renew)

    def foresee(self, path: str) -> None:
        """Fetch a listing that is wanted in a moment, if there is such a directory."""
        if self.in_memory(path) is None:
            threads.start("ahead", self._try_directory, path)

    def refused_names(self) -> list[dict[str, object]]:
        """Return what of the listings met so far can't be served, for `status`."""
        return self._refused.as_json()

    def _load(self, path: str, patience: Patience, coming: str = "") -> Directory:
        directory = self.in_memory(path) or self._from_catalog(path)
        if directory is not None and self.is_fresh(directory):
            return directory
        old = directory
        if old is None:
            for each in paths.likely_directories(path, coming):
                self.foresee(each)
            return self._refresh(path, None, patience)
        try:
            return self._refresh(path, old, patience.limit(self._config.refresh_s))
        except (NotFoundError, InterruptedCallError):
            raise
        except EmpiarFSError as exc:
            logger.info("the listing of %r is stale and can't be renewed: %s", path, exc)
            self._counters.add("stale_listings")
            old.no_refresh_before_s = time.monotonic() + self._config.stale_pause_s
            return old

    def _from_catalog(self, path: str) -> Directory | None:
        known = self._catalog.directory(path)
        if known is None:
            return None
        self._counters.add("listings_from_catalog")
        self._note_refused(path, known.refused_count)
        return self._keep(Directory(known))

    def _is_young(self, fetched_s: float) -> bool:
        # A clock that was set back makes the age negative; such a listing is renewed.
        return -300.0 <= self._now() - fetched_s < self._config.ttl_s

    def _renew(self, path: str, since_s: float, patience: Patience) -> Directory:
        directory = self.in_memory(path) or self._from_catalog(path)
        if directory is not None and directory.fetched_s >= since_s:
            return directory
        return self._refresh(path, directory, patience)

    def _try_directory(self, path: str) -> None:
        try:
            self.directory(path, Patience(self._config.ahead_s))
        except EmpiarFSError as exc:
            logger.debug("the listing of %r was foreseen in vain: %s", path, exc)
        except Exception:
            logger.exception("fetching the listing of %r ahead failed unexpectedly", path)

    def _refresh(self, path: str, old: Directory | None, patience: Patience) -> Directory:
        """Fetch the listing and merge it with what was known."""
        try:
            listing = self._client.listing(path, patience=patience)
        except NotFoundError:
            # Either gone, or a file: the archive answers 404 to a file's name with a slash.
            with self._lock:
                self._directories.pop(path, None)
            if old is not None:
                self._tell_gone(path, (item.name for item in old.items))
            raise
        self._note_refused(path, listing.refused_count, listing.refused)
        fetched_s = self._now()
        before = old.known() if old is not None else None
        merged = merge(before, listing)
        still_there = self._still_there(path, merged.missing, patience)
        rows = with_missing(merged, still_there)
        changed = merged.changed | _changed(merged.missing, still_there)
        known = KnownDirectory(path, fetched_s, rows, listing.refused_count)
        self._catalog.put_directory(known)
        directory = Directory(known)
        for name, version in changed.items():
            directory.previous[directory.rows[name]] = version
        if old is not None:
            self._carry_over(old, directory)
        self._keep(directory)
        for name in changed:
            self._tell_changed(paths.join(path, name))
        gone = (row.item.name for row in merged.missing)
        self._tell_gone(path, (name for name in gone if name not in directory.rows))
        return directory

    def _still_there(
        self, path: str, missing: tuple[KnownRow, ...], patience: Patience
    ) -> list[KnownRow]:
        """Return those of the rows missing in a newer listing that the archive still has.

        Each with the version that the archive tells while it is asked.
        """
        if not missing:
            return []
        asked, kept = missing[: self._config.confirmations], missing[self._config.confirmations :]
        gone: set[str] = set()
        found: dict[str, FileVersion] = {}
        files = [row.item for row in asked if not row.item.is_directory]
        failed = self._client.heads(path, files, patience=patience, answered=found.__setitem__)
        gone |= {name for name, error in failed.items() if isinstance(error, NotFoundError)}
        for row in asked:
            if row.item.is_directory:
                try:
                    self._client.head(paths.join(path, row.item.name), patience=patience)
                except NotFoundError:
                    gone.add(row.item.name)
                except EmpiarFSError as exc:
                    logger.info("can't tell whether %r is still there: %s", row.item.name, exc)
                    break
        logger.info(
            "the new listing of %r lacks %d names, %d of them are gone",
            path,
            len(missing),
            len(gone),
        )
        there = [row for row in asked if row.item.name not in gone]
        return [KnownRow(r.item, found.get(r.item.name, r.version)) for r in there] + list(kept)

    @staticmethod
    def _carry_over(old: Directory, new: Directory) -> None:
        """Keep what was learnt of changed versions.

        Not of unlisted names: no listing would ever say that they changed, so that they are
        asked for anew as often as listings are.
        """
        new.looked_again = old.looked_again
        with old.condition:
            for index, version in old.previous.items():
                row_index = new.rows.get(old.items[index].name)
                if row_index is not None:
                    new.previous.setdefault(row_index, version)

    def _keep(self, directory: Directory) -> Directory:
        with self._lock:
            self._directories[directory.path] = directory
        return directory

    def _tell_gone(self, path: str, names: Iterable[str]) -> None:
        """Tell that names of a directory are no more: the kernel would show them for an hour."""
        for name in names:
            self._tell_changed(paths.join(path, name))

    def _note_refused(self, path: str, count: int, names: tuple[str, ...] | None = None) -> None:
        """Remember and log what of a listing can't be served; never more than a few names."""
        self._refused.note(path, count, names)
        if count and names is None:
            logger.info("%d names in the stored listing of %r can't be served", count, path)
        elif count:
            logger.warning(
                "%d names in the listing of %r can't be served, such as %s",
                count,
                path,
                ", ".join((names or ())[:_NAMES_LOGGED]),
            )


def _changed(before: Iterable[KnownRow], after: Iterable[KnownRow]) -> dict[str, FileVersion]:
    """Return the versions of rows that hold no more, by name."""
    versions = {row.item.name: row.version for row in after}
    return {
        row.item.name: row.version
        for row in before
        if row.version is not None and versions.get(row.item.name, row.version) != row.version
    }
