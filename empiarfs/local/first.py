"""In front of the fetcher: what there is a local copy of is read from it.

Threading: safe from any thread; `_lock` guards the counts and is never held while a disk or
the archive is asked. Files that are only foreseen are looked for by a thread of their own, as
whoever reads must not wait for that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from empiarfs.cache.threads import CacheThreads
from empiarfs.core.blocks import byte_range_of, pieces_covering
from empiarfs.core.files import RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.core.waits import Wait
from empiarfs.errors import CacheError, LocalCopyError
from empiarfs.fetcher import Fetcher
from empiarfs.local.comparing import (
    FULL,
    MOST_HOLES,
    NONE,
    SAMPLED,
    difference,
    sampled_pieces,
)
from empiarfs.local.copies import LocalDirectory
from empiarfs.local.record import ALL_COMPARED, SAMPLE_COMPARED, Record
from empiarfs.local.table import Copy, CopyTable
from empiarfs.patience import Patience
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

# Foreseen files that wait to be looked for; of more nothing is foreseen.
_AHEAD = 256
# Files that were counted; beyond, they are counted anew.
_COUNTED = 65_536


@dataclass(frozen=True, slots=True)
class LocalConfig:
    """Where local copies are, and how far to believe them.

    Attributes:
        directories: Absolute; an earlier one counts more.
        verify: "none", "sample" or "full"; see `empiarfs.local.comparing`.
        record: Where to note what was found equal; None for nowhere.
    """

    directories: tuple[Path, ...]
    verify: str = NONE
    record: Path | None = None


class LocalFirst:
    """Has the bytes that the fetcher has, and those of local copies; asked as it is.

    Args:
        fetcher: Has the archive's bytes.
        counters: Counts what is read from copies.
        config: Where they are.
        reachable: Tells whether the archive is thought to be in reach.
        archive_url: URL of its root.
        now_ns: Wall-clock nanoseconds since 1970, by which a copy's rest is told.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        counters: Counters,
        config: LocalConfig,
        archive_url: str,
        reachable: Callable[[], bool] = lambda: True,
        now_ns: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetcher = fetcher
        self._counters = counters
        self._verify = config.verify
        self._reachable = reachable
        self._directories = [
            LocalDirectory(
                path, archive_url, counters, holes_allowed=config.verify != NONE, now_ns=now_ns
            )
            for path in config.directories
        ]
        self._record = Record(config.record if config.verify != NONE else None)
        self._copies = CopyTable(self._directories, config.verify, self._record, clock)
        self._ahead = CacheThreads("local-ahead", 1)
        self._lock = threading.Lock()
        self._counted: set[int] = set()  # guarded by _lock
        self._waiting = 0  # foreseen files that wait to be looked for; guarded by _lock

    # -- as the fetcher --------------------------------------------------------------------

    def read(
        self,
        file: RemoteFile,
        wanted: ByteRange,
        patience: Patience,
        waiting: Callable[[], Sequence[ByteRange]] = tuple,
    ) -> tuple[bytes, bool]:
        """Return the bytes `wanted` of `file`; see `Fetcher.read`, which raises the same."""
        copy = self._copies.open(file) if wanted else None
        if copy is None:
            return self._fetcher.read(file, wanted, patience, waiting)
        pieces = pieces_covering(wanted)
        if not copy.equality.holds(pieces):
            if self._verify == FULL:
                return self._read_and_compare(copy, file, wanted, patience, waiting)
            if self._is_worth_comparing(file, wanted):
                self._compare_sample(copy, file, patience)
        if copy.equality.holds(pieces):
            began_s = time.monotonic()
            data = self._from_copy(copy, file, wanted)
            if patience.account is not None:
                patience.account.add(Wait.LOCAL, time.monotonic() - began_s)
                patience.account.local += 0 if data is None else len(data)
            if data is not None:
                self._count(file, len(data))
                return data, False
        return self._fetcher.read(file, wanted, patience, waiting)

    def prefetch(self, file: RemoteFile, foreseen: ByteRange) -> None:
        """Fetch what a planner foresees, unless there is a copy of it."""
        has_copy, copy = self._copies.look(file)
        if has_copy is not None:
            if not has_copy or not self._spares(copy, foreseen):
                self._fetcher.prefetch(file, foreseen)
            return
        with self._lock:
            if self._waiting >= _AHEAD:
                return
            self._waiting += 1
        try:
            self._ahead.submit(lambda: self._look_ahead(file, foreseen))
        except CacheError:
            with self._lock:
                self._waiting -= 1

    def warm(self, file: RemoteFile, wanted: ByteRange, patience: Patience) -> int:
        """Fetch what is missing of a range, unless there is a copy; see `Fetcher.warm`."""
        copy = self._copies.open(file)
        if copy is not None and not copy.equality.is_whole and self._verify == SAMPLED:
            self._compare_sample(copy, file, patience)
        if copy is not None and copy.equality.holds(pieces_covering(wanted)):
            return 0
        return self._fetcher.warm(file, wanted, patience)

    def copy_of(self, file: RemoteFile) -> str | None:
        """Return where a copy lies that fits, or None; its disk is asked, for some seconds."""
        copy = self._copies.find(file)
        return None if copy is None else str(copy.file.path)

    def closed(self, file: RemoteFile) -> None:
        """Close the copy; whoever else reads it opens it anew."""
        self._copies.closed(file)

    @property
    def worthwhile_size(self) -> int:
        """See `Fetcher.worthwhile_size`."""
        return self._fetcher.worthwhile_size

    @property
    def room(self) -> int:
        """See `Fetcher.room`."""
        return self._fetcher.room

    def prepare(self, size: int) -> None:
        """See `Fetcher.prepare`."""
        self._fetcher.prepare(size)

    def drop_foreseen(self, file: RemoteFile) -> None:
        """See `Fetcher.drop_foreseen`."""
        self._fetcher.drop_foreseen(file)

    def cached_bytes(self, file: RemoteFile) -> int:
        """See `Fetcher.cached_bytes`."""
        return self._fetcher.cached_bytes(file)

    def usage(self) -> dict[str, int]:
        """See `Fetcher.usage`."""
        return self._fetcher.usage()

    # -- for the mount ---------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Look at the directories; return what is wrong with them, a line each."""
        return [problem for each in self._directories if (problem := each.look()) is not None]

    def status(self) -> dict[str, object]:
        """Return what is read from where, as values that JSON can hold."""
        return {
            "verify": self._verify,
            "directories": [
                {"directory": str(each.path), "unwell": each.unwell, **each.refusals.as_json()}
                for each in self._directories
            ],
        }

    def close(self) -> None:
        """Close all copies and end all threads, unless they hang."""
        self._ahead.close(1.0)
        self._copies.clear()
        for each in self._directories:
            each.close()

    # -- copies ----------------------------------------------------------------------------

    def _from_copy(self, copy: Copy, file: RemoteFile, wanted: ByteRange) -> bytes | None:
        """Return bytes of a copy, or None if it can't be read; then it isn't asked again soon."""
        try:
            return copy.file.read(wanted.start, wanted.stop)
        except (LocalCopyError, CacheError, OSError) as exc:
            copy.directory.failed(file, exc)
            self._copies.forget(file, copy, for_good=isinstance(exc, LocalCopyError))
            return None

    def _count(self, file: RemoteFile, size: int) -> None:
        self._counters.add("local_bytes", size)
        number = hash(file.short_key)
        with self._lock:
            is_first = number not in self._counted
            if is_first:
                if len(self._counted) >= _COUNTED:
                    self._counted.clear()
                self._counted.add(number)
        if is_first:
            self._counters.add("local_files")

    # -- foresight -------------------------------------------------------------------------

    def _spares(self, copy: Copy | None, foreseen: ByteRange) -> bool:
        """Tell whether what is foreseen needn't be fetched, given that there is a copy."""
        if self._verify != FULL:
            return True
        return copy is not None and copy.equality.holds(pieces_covering(foreseen))

    def _look_ahead(self, file: RemoteFile, foreseen: ByteRange) -> None:
        try:
            copy = self._copies.find(file)
            if copy is None or not self._spares(copy, foreseen):
                self._fetcher.prefetch(file, foreseen)
        except Exception:
            logger.exception("looking for a copy of %r failed unexpectedly", file.path)
        finally:
            with self._lock:
                self._waiting -= 1

    # -- comparing -------------------------------------------------------------------------

    def _is_worth_comparing(self, file: RemoteFile, wanted: ByteRange) -> bool:
        """Tell whether to compare now: nothing that is at hand waits for that."""
        return self._reachable() and not self._fetcher.holds(file, wanted)

    def _compare_sample(self, copy: Copy, file: RemoteFile, patience: Patience) -> None:
        """Compare some pieces with the archive's; afterwards the copy is whole or forgotten.

        Raises:
            EmpiarFSError: As `Fetcher.read`; the archive's pieces can't be had.
        """
        try:
            holes = copy.file.holes(MOST_HOLES)
        except CacheError as exc:
            copy.directory.failed(file, exc)
            self._copies.forget(file, copy, for_good=False)
            return
        ranges = [
            byte_range_of(range(piece, piece + 1), file.size)
            for piece in sampled_pieces(file.name_key, file.size, holes)
        ]
        for each in ranges[1:]:
            self._fetcher.prefetch(file, each)
        for each in ranges:
            theirs, _ = self._fetcher.read(file, each, patience)
            if not self._is_equal(copy, file, each, theirs):
                return
        copy.equality.add_all()
        self._note_equal(SAMPLE_COMPARED, file, copy)

    def _read_and_compare(
        self,
        copy: Copy,
        file: RemoteFile,
        wanted: ByteRange,
        patience: Patience,
        waiting: Callable[[], Sequence[ByteRange]],
    ) -> tuple[bytes, bool]:
        """Return the archive's bytes, and note which of the copy's are equal."""
        pieces = pieces_covering(wanted)
        whole = byte_range_of(pieces, file.size)
        theirs, starved = self._fetcher.read(file, whole, patience, waiting)
        is_equal = self._is_equal(copy, file, whole, theirs)
        if is_equal and copy.equality.add(pieces):
            self._note_equal(ALL_COMPARED, file, copy)
        start = wanted.start - whole.start
        return theirs[start : start + len(wanted)], starved

    def _note_equal(self, how: bytes, file: RemoteFile, copy: Copy) -> None:
        line = self._record.add(how, file, copy.file.path, copy.file.identity)
        if line is not None:
            with suppress(CacheError):  # while all is being closed
                self._ahead.submit(lambda: self._record.write(line))

    def _is_equal(self, copy: Copy, file: RemoteFile, within: ByteRange, theirs: bytes) -> bool:
        """Tell whether a copy's bytes are the archive's; one that differs is given up."""
        ours = self._from_copy(copy, file, within)
        if ours is None:
            return False
        offset = difference(ours, theirs, within.start)
        if offset is None:
            return True
        copy.directory.differs(file, offset)
        self._copies.forget(file, copy, for_good=True)
        return False
