"""What is known of a directory: its listing's rows, and versions of some of its files."""

from __future__ import annotations

from dataclasses import dataclass

from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem


@dataclass(frozen=True, slots=True)
class KnownRow:
    """One row of a listing, and the version learnt beside it.

    Attributes:
        item: The row as the archive listed it.
        version: The file's version, or None for a directory or while it isn't known.
    """

    item: ListingItem
    version: FileVersion | None


@dataclass(frozen=True, slots=True)
class KnownDirectory:
    """All that is known of one directory.

    Attributes:
        path: Path below the archive's root, "" for the root itself.
        fetched_s: When the archive sent the listing, in wall-clock seconds since 1970.
        rows: The rows in the listing's order; no name occurs twice.
        refused_count: How many rows of the listing were refused.
    """

    path: str
    fetched_s: float
    rows: tuple[KnownRow, ...]
    refused_count: int


@dataclass(frozen=True, slots=True)
class SiftedDirectory:
    """The directories in a directory, and those of its files that were wanted.

    Attributes:
        path: As `KnownDirectory.path`.
        fetched_s: As there.
        items: In the listing's order.
        refused_count: As there.
    """

    path: str
    fetched_s: float
    items: tuple[ListingItem, ...]
    refused_count: int
