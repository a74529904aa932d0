"""How much is to be fetched: what `plan` and `get --dry-run` say.

Sizes are exact where they are known; where they aren't, the listing's rounded size gives
bounds, and so do their sums. Nothing is asked for but listings, unless exact sizes are wanted
or a listing tells no size.

Threading: used from one thread.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from empiarfs.cache.speed_file import Lately, read_speed
from empiarfs.cli.progress import span
from empiarfs.cli.terminal import amount, in_one_line
from empiarfs.core.batches import GLOBUS_ID, GLOBUS_NAME, GLOBUS_ROOT
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.downloads import is_copy
from empiarfs.errors import CacheError

if TYPE_CHECKING:
    from empiarfs.browse import Exact
    from empiarfs.cli.archives import Archive
    from empiarfs.cli.rows import Rows

# EMPIAR recommends HTTPS for no more than this.
MUCH = 4 * 1000**3
LONG_S = 2 * 3600.0
# What eight connections to EMPIAR bring from the US, at the lower end.
ASSUMED_SPEED = 5_000_000.0
_ENTRIES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Planned:
    """A file, and between which sizes its own lies; both are equal where it is exact.

    Attributes:
        path: Below the archive's root.
        low: Bytes at least.
        high: Bytes at most.
        there: It lies in the destination already.
        version: Which one it is; None where it isn't known.
        cached: Bytes of it that are in the cache.
    """

    path: str
    low: int
    high: int
    there: bool = False
    version: FileVersion | None = None
    cached: int = 0


@dataclass(slots=True)
class Figures:
    """How much it is.

    Attributes:
        files: Files that are chosen.
        low: Bytes of them, at least,
        high: and at most.
        there_files: Of these, files that lie in the destination already.
        there_size: Their bytes, which are exact.
        cached: Bytes of the others that are in the cache.
        entries: The directories of the archive's root that they lie in.
    """

    files: int = 0
    low: int = 0
    high: int = 0
    there_files: int = 0
    there_size: int = 0
    cached: int = 0
    entries: dict[str, None] = field(default_factory=dict)

    @property
    def left(self) -> tuple[int, int]:
        """Bytes that are still to be had, at least and at most."""
        return self.low - self.there_size, self.high - self.there_size

    @property
    def to_fetch(self) -> tuple[int, int]:
        """Of these, bytes that the archive is to be asked for."""
        low, high = self.left
        return max(0, low - self.cached), max(0, high - self.cached)


def figures_of(planned: Iterable[Planned]) -> Figures:
    """Add up what is planned."""
    found = Figures()
    for each in planned:
        found.files += 1
        found.low += each.low
        found.high += each.high
        if each.there:
            found.there_files += 1
            found.there_size += each.low
        else:
            found.cached += each.cached
        found.entries.setdefault(each.path.split("/", 1)[0])
    return found


def planned_files(
    rows: Rows, found: Iterable[Exact], destination: Path | None
) -> Iterator[Planned]:
    """Yield the files among what was found, with bounds of their sizes.

    What can't be had is told, and left out.

    Args:
        rows: Of their target.
        found: Files and directories; files whose exact size is known already have it.
        destination: Where files may lie already; None for nowhere.
    """
    from empiarfs.core.sizes import bounds_of

    for exact in found:
        item, version = exact.item, exact.version
        if item.is_directory or exact.error is not None:
            continue
        there = None if destination is None else _size_there(destination / item.path)
        bounds = bounds_of(item.size_text) if item.size_text else None
        if version is None and (
            bounds is None or (there is not None and bounds[0] <= there <= bounds[1])
        ):
            # Only here does it matter so much that it is worth a request.
            version = next(rows.exact([item], needed=True)).version
            if version is None:
                continue
        if version is not None:
            is_there = destination is not None and is_copy(destination / item.path, version)
            yield Planned(item.path, version.size, version.size, is_there, version)
        elif bounds is not None:
            yield Planned(item.path, *bounds)


def with_cached(planned: Iterable[Planned], archive: Archive) -> Iterator[Planned]:
    """Yield what is planned, with how much of each is in the cache already."""
    from empiarfs.cache.tending import BlockTender

    parts = archive.tree_parts
    with ExitStack() as stack:
        tender = None
        # Figures are figures, however the cache is: it has nothing then.
        with suppress(CacheError, OSError):
            tender = stack.enter_context(BlockTender(parts.directory.blocks_path))
        for each in planned:
            if tender is not None and each.version is not None and not each.there:
                file = RemoteFile(parts.client.base_url, each.path, each.version)
                with suppress(CacheError, OSError):
                    yield replace(each, cached=tender.stored_bytes(file))
                    continue
            yield each


def _size_there(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the figures mean on this machine.

    Attributes:
        figures: How much it is.
        cache_limit: Bytes that the cache may hold; None if it isn't for the cache.
        destination: Where files are to be copied; None if nowhere.
        free: Bytes that are free there.
        lately: How fast the archive was; None if that was never measured here.
        limit_rate: Bytes a second that it may be at most, or None.
    """

    figures: Figures
    cache_limit: int | None = None
    destination: Path | None = None
    free: int = 0
    lately: Lately | None = None
    limit_rate: int | None = None

    @property
    def speed(self) -> float:
        """Bytes a second that are to be expected."""
        speed = ASSUMED_SPEED if self.lately is None else self.lately.speed
        return speed if self.limit_rate is None else min(speed, self.limit_rate)

    @property
    def seconds(self) -> float:
        """How long it takes at that speed."""
        return sum(self.figures.to_fetch) / 2 / self.speed

    @property
    def is_much(self) -> bool:
        """Whether other ways than HTTPS should be thought of."""
        return self.figures.to_fetch[1] > MUCH or self.seconds > LONG_S


def outlook(
    figures: Figures, archive: Archive, destination: Path | None, *, caches: bool
) -> Outlook:
    """Return what the figures mean here.

    Args:
        figures: How much it is.
        archive: Where from.
        destination: Where to; None for nowhere.
        caches: It may go into the cache.
    """
    directory = archive.tree_parts.directory
    return Outlook(
        figures,
        directory.limit if caches else None,
        destination,
        0 if destination is None else _free(destination),
        read_speed(directory.speed_path(archive.tree_parts.client.base_url)),
        archive.config.limit_rate,
    )


def _free(destination: Path) -> int:
    there = destination
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def lines_of(found: Outlook) -> Iterator[str]:
    """Yield what is said of it to people."""
    figures = found.figures
    rounded = figures.low != figures.high
    by = ", as the listings round sizes (--exact asks for them)" if rounded else ""
    yield f"{files_text(figures.files)}, {_between(figures.low, figures.high)}{by}"
    if figures.there_files:
        there = f"{files_text(figures.there_files)}, {amount(figures.there_size)}"
        yield f"{there}, are there already; {_between(*figures.left)} left"
    if figures.cached:
        cached = amount(figures.cached)
        yield f"{cached} are in the cache already; {_between(*figures.to_fetch)} to be fetched"
    if found.cache_limit is not None:
        fits = _fits_into(figures.low, figures.high, found.cache_limit)
        yield f"{fits} the cache, which may hold {amount(found.cache_limit)}"
    if found.destination is not None:
        left = figures.left
        where = in_one_line(os.fspath(found.destination))
        yield f"{_fits_into(*left, found.free)} {where} ({amount(found.free)} free)"
    if figures.to_fetch[1]:
        yield _time_text(found)
    if found.is_much:
        yield from much_lines(figures)


def _fits_into(low: int, high: int, room: int) -> str:
    if high <= room:
        return "fits into"
    return "DOES NOT FIT into" if low > room else "MAY NOT FIT into"


def _time_text(found: Outlook) -> str:
    speed = f"about {span(max(1.0, found.seconds))} at {amount(int(found.speed))}/s"
    if found.limit_rate is not None and found.speed == found.limit_rate:
        return f"{speed}, the limit"
    if found.lately is None:
        return f"{speed}, which is assumed: it wasn't measured here yet"
    ago_s = max(0.0, time.time() - found.lately.measured_s)
    return f"{speed}, as measured {span(ago_s)} ago"


def much_lines(figures: Figures) -> Iterator[str]:
    """Yield what to do instead, as it is much."""
    entries = list(figures.entries)
    shown = ", ".join(in_one_line(f"{GLOBUS_ROOT}{each}/") for each in entries[:_ENTRIES_SHOWN])
    more = f" and {len(entries) - _ENTRIES_SHOWN} more" if len(entries) > _ENTRIES_SHOWN else ""
    yield "that is much for HTTPS: EMPIAR recommends Globus above 4 GB"
    yield f"Globus collection: {GLOBUS_NAME} ({GLOBUS_ID}), {shown}{more}"
    yield "a list of the files for it is made by `empiarfs plan --globus-batch FILE`"


def values_of(found: Outlook) -> dict[str, object]:
    """Return what `--json` prints of it."""
    figures = found.figures
    return {
        "files": figures.files,
        "bytes": (figures.low + figures.high) // 2,
        "bytes_low": figures.low,
        "bytes_high": figures.high,
        "there_files": figures.there_files,
        "there_bytes": figures.there_size,
        "cached_bytes": figures.cached,
        "cache_limit_bytes": found.cache_limit,
        "free_bytes": None if found.destination is None else found.free,
        "bytes_per_s": int(found.speed),
        "measured_s": None if found.lately is None else found.lately.measured_s,
        "seconds": round(found.seconds, 1),
        "is_much": found.is_much,
    }


def files_text(count: int) -> str:
    """Return a number of files for people.

    >>> files_text(1), files_text(2)
    ('1 file', '2 files')
    """
    return f"{count} file{'s' * (count != 1)}"


def _between(low: int, high: int) -> str:
    texts = amount(low), amount(high)
    return texts[0] if texts[0] == texts[1] else f"{texts[0]} to {texts[1]}"
