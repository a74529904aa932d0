"""The copies that are open, and what is known of those that aren't.

Threading: safe from any thread; `_lock` guards all tables and is never held while a disk is
asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cachetools import LRUCache, TTLCache

from empiarfs.core.files import RemoteFile
from empiarfs.local.comparing import FULL, NONE, Equality
from empiarfs.local.copies import LocalDirectory, LocalFile
from empiarfs.local.record import ALL_COMPARED, SAMPLE_COMPARED, Record

# Copies that are kept open for those who read them; each is a descriptor.
_OPEN = 64
# For so long it is believed that there is no copy, or that there is one.
_BELIEVED_S = 10.0
_REMEMBERED = 8192


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that is open.

    Attributes:
        file: Reads it.
        directory: Where it lies.
        equality: What of it may be handed out.
    """

    file: LocalFile
    directory: LocalDirectory
    equality: Equality


class CopyTable:
    """Finds copies, and remembers where there is none.

    Args:
        directories: Where to look; an earlier one counts more.
        verify: "none", "sample" or "full".
        record: What was compared before.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        directories: Sequence[LocalDirectory],
        verify: str,
        record: Record,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directories = directories
        self._verify = verify
        self._record = record
        self._lock = threading.Lock()
        self._open: LRUCache[str, Copy] = LRUCache(_OPEN)  # guarded by _lock
        # Files without a copy, and with one that isn't open. Guarded by _lock.
        self._without: TTLCache[str, None] = TTLCache(_REMEMBERED, _BELIEVED_S, clock)
        self._with: TTLCache[str, None] = TTLCache(_REMEMBERED, _BELIEVED_S, clock)
        # Copies that changed while they were read, or differ. Guarded by _lock.
        self._distrusted: LRUCache[str, None] = LRUCache(_REMEMBERED)
        # What was compared outlives the open copy. By file and copy; guarded by _lock.
        self._equalities: LRUCache[object, Equality] = LRUCache(_REMEMBERED)

    def open(self, file: RemoteFile) -> Copy | None:
        """Return a copy that fits, which stays open until it is closed; or None."""
        key = file.short_key
        with self._lock:
            copy = self._open.get(key)
            if copy is not None or key in self._without or key in self._distrusted:
                return copy
        copy = self._find(file)
        with self._lock:
            if copy is not None:
                # Another thread may have been faster.
                return self._open.setdefault(key, copy)
            self._note_without(key)
        return None

    def look(self, file: RemoteFile) -> tuple[bool | None, Copy | None]:
        """Return whether there is a copy, None if it isn't known; and the copy if it is open.

        Asks no disk.
        """
        key = file.short_key
        with self._lock:
            copy = self._open.get(key)
            if copy is not None or key in self._with:
                return True, copy
            return (False if key in self._without or key in self._distrusted else None), None

    def find(self, file: RemoteFile) -> Copy | None:
        """Return a copy that fits, which is closed when it is let go of; or None."""
        copy = self._find(file)
        with self._lock:
            if copy is None:
                self._note_without(file.short_key)
            else:
                self._with[file.short_key] = None
        return copy

    def forget(self, file: RemoteFile, copy: Copy, *, for_good: bool) -> None:
        """Close a copy; it isn't looked for again for some seconds, or by this process."""
        key = file.short_key
        with self._lock:
            if self._open.get(key) is copy:
                del self._open[key]
            self._with.pop(key, None)
            (self._distrusted if for_good else self._without)[key] = None

    def closed(self, file: RemoteFile) -> None:
        """Close the copy; whoever else reads it opens it anew."""
        with self._lock:
            self._open.pop(file.short_key, None)

    def clear(self) -> None:
        """Close all."""
        with self._lock:
            self._open.clear()

    def _find(self, file: RemoteFile) -> Copy | None:
        for directory in self._directories:
            found = directory.find(file)
            if found is not None:
                return Copy(found, directory, self._equality(file, found))
        return None

    def _note_without(self, key: str) -> None:
        # A directory that couldn't tell may be asked again sooner.
        if all(directory.unwell is None for directory in self._directories):
            self._without[key] = None

    def _equality(self, file: RemoteFile, found: LocalFile) -> Equality:
        how = ALL_COMPARED if self._verify == FULL else SAMPLE_COMPARED
        key = (file.short_key, found.path, found.identity)
        with self._lock:
            known = self._equalities.get(key)
            if known is None:
                is_whole = self._verify == NONE or self._record.has(
                    how, file, found.path, found.identity
                )
                known = self._equalities[key] = Equality(file.size, is_whole=is_whole)
        return known
