"""What an old and a new listing of one directory say together. No I/O.

Sizes hold while the row that they were learnt beside is unchanged. A name that the new
listing lacks is not gone: back ends behind EMPIAR's balancer were seen to leave rows out,
so it stays until the archive itself says that it isn't there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from empiarfs.catalog import KnownDirectory, KnownRow
from empiarfs.core import sizes
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import Listing, ListingItem


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of merging two listings.

    Attributes:
        rows: The new listing's rows, with the versions that still hold.
        changed: Versions that no longer hold, by name.
        missing: The old rows whose names the new listing lacks.
    """

    rows: tuple[KnownRow, ...]
    changed: dict[str, FileVersion]
    missing: tuple[KnownRow, ...]


def merge(old: KnownDirectory | None, new: Listing) -> Merged:
    """Return what `old` and `new` say together."""
    if old is None:
        return Merged(tuple(KnownRow(item, None) for item in new.items), {}, ())
    before = {row.item.name: row for row in old.rows}
    rows: list[KnownRow] = []
    changed: dict[str, FileVersion] = {}
    for item in new.items:
        row = before.pop(item.name, None)
        version = row.version if row is not None and _holds(row, item) else None
        if row is not None and row.version is not None and version is None:
            changed[item.name] = row.version
        rows.append(KnownRow(item, version))
    return Merged(tuple(rows), changed, tuple(before.values()))


def with_missing(merged: Merged, still_there: Sequence[KnownRow]) -> tuple[KnownRow, ...]:
    """Return the merged rows and those that were missing only in the listing, by name."""
    if not still_there:
        return merged.rows
    rows = [*merged.rows, *still_there]
    return tuple(sorted(rows, key=_name_bytes))


def _name_bytes(row: KnownRow) -> bytes:
    return row.item.name.encode("utf-8", "surrogateescape")


def _holds(row: KnownRow, item: ListingItem) -> bool:
    """Tell whether the version learnt beside `row` is still the one that `item` lists."""
    if row.version is None or item.is_directory:
        return False
    if row.item == item:
        return True
    # Learnt from an answer that was newer than the row: it may be what is listed only now.
    learnt_early = not sizes.fits(row.version, row.item.size_text, row.item.modified_text)
    return learnt_early and sizes.fits(row.version, item.size_text, item.modified_text)
