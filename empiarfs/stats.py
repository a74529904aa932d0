"""Counters of what a process did, and frozen snapshots of them.

Names of counters are words joined by underscores; what counts bytes ends in `_bytes`,
seconds in `_s`. The whole list stands in `COUNTERS`, so that a misspelt name is an error
and `status` can show a zero.

Threading: one lock, held for an addition; safe from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

COUNTERS = (
    # archive
    "requests",  # sent, of all kinds
    "range_requests",
    "head_requests",
    "listing_requests",
    "document_requests",  # for metadata of entries
    "connections_opened",
    "connection_refusals",
    "network_bytes",  # body bytes received
    "stalls",  # requests dropped because no answer came in time
    "retries",
    "hedges",  # ranges asked for a second time since the first byte was late
    "bad_responses",
    "refused_names",  # listing rows that were not followed
    # reads
    "reads",
    "read_bytes",  # handed out to programs
    "memory_bytes",  # of these, from memory
    "disk_bytes",  # of these, from the cache directory
    "local_bytes",  # of these, from local copies
    "local_files",  # of which these are
    "local_refused",  # local copies that don't fit, and weren't read
    "prefetched_bytes",  # fetched because a planner foresaw them
    "foreseen_unused_bytes",  # of these, not read so far; it falls when they are
    "failed_reads",
    "failed_lookups",
    "changed_files",
    # cache
    "blocks_stored",
    "blocks_evicted",
    "blocks_corrupt",
    "blocks_dropped",  # not stored, since the disk could not keep up or is unwell
    "orphans_removed",
    # catalog
    "listings_from_catalog",
    "stale_listings",
    "size_requests_saved",
    "entry_rejects",  # descriptions of entries, forgotten since they failed a check
    "catalog_rejects",  # directories, or all of them, forgotten since they failed a check
)


@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot of all counters.

    Attributes:
        since_s: Wall-clock time at which counting began, in seconds since 1970.
        counters: All counters, by the names in `COUNTERS`.
    """

    since_s: float
    counters: Mapping[str, int]


class Counters:
    """Counts what happens; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = dict.fromkeys(COUNTERS, 0)  # guarded by _lock
        self._since_s = time.time()

    def add(self, name: str, amount: int = 1) -> None:
        """Add `amount` to the counter `name`; a KeyError for a name not in `COUNTERS`."""
        with self._lock:
            self._counts[name] += amount

    def __getitem__(self, name: str) -> int:
        with self._lock:
            return self._counts[name]

    def statistics(self) -> Statistics:
        """Return a frozen snapshot."""
        with self._lock:
            return Statistics(self._since_s, MappingProxyType(dict(self._counts)))
