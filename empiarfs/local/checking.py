"""Compares local copies with the archive: which are missing, short, different, or extra.

Unlike a mount it takes as long as the disk does, and tells of every file. Copies are looked
for as a mount does, so what is equal here is what a mount can read.

Threading: safe from any thread.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from empiarfs.core.blocks import byte_range_of
from empiarfs.core.checksums import Checksum
from empiarfs.core.files import RemoteFile
from empiarfs.core.layouts import entry_folders, is_safe
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import InterruptedCallError, LocalCopyError
from empiarfs.fetcher import Fetcher
from empiarfs.local.comparing import FULL, MOST_HOLES, NONE, difference, sampled_pieces
from empiarfs.local.opening import find_holes, identity_of, open_below, open_directory
from empiarfs.local.record import ALL_COMPARED, SAMPLE_COMPARED, Record
from empiarfs.patience import Patience

_STEP = 4 * 1024 * 1024
# Ranges that are fetched while one is compared: enough to keep the connections busy.
_AHEAD = 4

MISSING, SHORT, LONG, DIFFERENT, EXTRA, UNREADABLE = KINDS = (
    "missing",
    "short",
    "long",
    "different",
    "extra",
    "unreadable",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A copy that isn't the archive's file.

    Attributes:
        kind: One of `KINDS`.
        path: The archive's, or where in the archive an extra file would be.
        size: Bytes of the archive's file; None for an extra one.
        local: Where the copy lies; None if there is none.
        local_size: Its bytes; None if there is none, or they aren't known.
        reason: Why it differs, in a sentence.
    """

    kind: str
    path: str
    size: int | None
    local: str | None
    local_size: int | None
    reason: str


class Checker:
    """Compares the copies in one directory.

    Args:
        directory: Where they are; absolute.
        archive_url: URL of the archive's root.
        fetcher: Has the archive's bytes, and knows nothing of these copies.
        verify: "none", "sample" or "full": how many bytes to compare with the archive's.
        record: Where to note what was found equal, for mounts.
        patience: Returns how long one read of the archive may wait.
        stopped: Tells whether to end soon.

    Attributes:
        sums: Checksums by path in the archive, which copies are compared with.
    """

    def __init__(
        self,
        directory: Path,
        archive_url: str,
        fetcher: Fetcher,
        *,
        verify: str = NONE,
        record: Record | None = None,
        patience: Callable[[], Patience],
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._directory = directory
        self._raw = os.fsencode(directory)
        self._archive_url = archive_url
        self._fetcher = fetcher
        self._verify = verify
        self._record = record or Record(None)
        self.sums: Mapping[str, Checksum] = {}
        self._patience = patience
        self._stopped = stopped
        self._lock = threading.Lock()
        self._folders: dict[str, list[str]] = {}  # guarded by _lock

    def folders(self, entry: str) -> list[str]:
        """Return where copies of an entry are, below the directory."""
        with self._lock:
            found = self._folders.get(entry)
            if found is None:
                likely = entry_folders(entry, self._archive_url, self._directory.name)
                found = [each for each in likely if os.path.isdir(self._place(each))]
                self._folders[entry] = found
        return found

    def check(self, file: RemoteFile) -> Finding | None:
        """Compare a file; return how the copy differs, None if it doesn't.

        Raises:
            EmpiarFSError: The archive's bytes can't be had.
            InterruptedCallError: It was told to end.
        """
        _, _, below = file.path.partition("/")
        if not is_safe(file.path):
            return Finding(UNREADABLE, file.path, file.size, None, None, "no safe path")
        worst: Finding | None = None
        for folder in self.folders(file.entry):
            place = f"{folder}/{below}" if below else folder
            try:
                with self._opened(place) as descriptor:
                    found = self._compared(file, place, descriptor)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, LocalCopyError) as exc:
                reason = exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
                found = self._finding(UNREADABLE, file, place, None, reason)
            if found is None:
                return None  # a mount would find it as well
            worst = worst or found
        return worst or Finding(MISSING, file.path, file.size, None, None, "there is none")

    def extras(self, path: str, known: set[str]) -> Iterator[Finding]:
        """Yield files below a place of which the archive has none.

        Args:
            path: The place in the archive: an entry, or something in it.
            known: Paths of the archive's files.
        """
        entry, _, below = path.partition("/")
        for folder in self.folders(entry):
            top = self._place(f"{folder}/{below}" if below else folder)
            start = len(self._place(folder)) + 1
            for where, directories, names in os.walk(top):
                directories.sort()
                for name in sorted(names):
                    local = os.path.join(where, name)
                    inside = os.fsencode(local[start:]).decode("utf-8", "surrogateescape")
                    theirs = f"{entry}/{inside}"
                    if theirs not in known:
                        size = _size_of(local)
                        yield Finding(EXTRA, theirs, None, local, size, "the archive has none")

    def _place(self, below: str) -> str:
        raw = below.encode("utf-8", "surrogateescape")
        return os.fsdecode(os.path.normpath(os.path.join(self._raw, raw)))

    @contextmanager
    def _opened(self, place: str) -> Iterator[int]:
        directory = open_directory(self._raw)
        try:
            descriptor = open_below(directory, place.encode("utf-8", "surrogateescape"))
        finally:
            os.close(directory)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _finding(
        self, kind: str, file: RemoteFile, place: str, size: int | None, reason: str
    ) -> Finding:
        return Finding(kind, file.path, file.size, self._place(place), size, reason)

    def _compared(self, file: RemoteFile, place: str, descriptor: int) -> Finding | None:
        identity = identity_of(descriptor)
        size = identity.size
        if size != file.size:
            kind = SHORT if size < file.size else LONG
            return self._finding(kind, file, place, size, f"{size} bytes of {file.size}")
        reason = self._differs_from_sum(file, descriptor) or self._differs(file, descriptor)
        if reason is None and identity_of(descriptor) != identity:
            reason = "it changed while it was compared"
        if reason is not None:
            return self._finding(DIFFERENT, file, place, size, reason)
        if self._verify != NONE:
            how = ALL_COMPARED if self._verify == FULL else SAMPLE_COMPARED
            line = self._record.add(how, file, self._place(place), identity)
            if line is not None:
                self._record.write(line)
        return None

    def _differs_from_sum(self, file: RemoteFile, descriptor: int) -> str | None:
        """Return how a copy differs from the checksum that is known of it, if one is."""
        known = self.sums.get(file.path)
        if known is None:
            return None
        digest = hashlib.new(known.kind, usedforsecurity=False)
        offset = 0
        while data := os.pread(descriptor, _STEP, offset):
            self._check_stopped()
            digest.update(data)
            offset += len(data)
        if digest.hexdigest() == known.digest:
            return None
        return f"its {known.kind} is {digest.hexdigest()}, not {known.digest}"

    def _differs(self, file: RemoteFile, descriptor: int) -> str | None:
        """Return how a copy differs from the archive's bytes, as far as they are compared."""
        ranges = self._ranges(file, descriptor)
        for number, part in enumerate(ranges):
            self._check_stopped()
            for each in ranges[number + 1 : number + 1 + _AHEAD]:
                self._fetcher.prefetch(file, each)
            theirs, _ = self._fetcher.read(file, part, self._patience())
            ours = _read(descriptor, part)
            offset = difference(ours, theirs, part.start)
            if offset is not None:
                return f"its bytes near {offset} aren't the archive's"
        return None

    def _ranges(self, file: RemoteFile, descriptor: int) -> list[ByteRange]:
        if self._verify == NONE:
            return []
        if self._verify == FULL:
            starts = range(0, file.size, _STEP)
            return [ByteRange(start, min(start + _STEP, file.size)) for start in starts]
        holes = find_holes(descriptor, file.size, MOST_HOLES)
        pieces = sampled_pieces(file.name_key, file.size, holes)
        return [byte_range_of(range(piece, piece + 1), file.size) for piece in pieces]

    def _check_stopped(self) -> None:
        if self._stopped():
            raise InterruptedCallError("stopped")


def _read(descriptor: int, part: ByteRange) -> bytes:
    """Return the bytes of a range; fewer if the file has become shorter."""
    parts: list[bytes] = []
    offset = part.start
    while offset < part.stop and (data := os.pread(descriptor, part.stop - offset, offset)):
        parts.append(data)
        offset += len(data)
    return b"".join(parts)


def _size_of(path: str) -> int | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
