"""Fetches many files at once, and counts what is done.

Several files are read side by side, each from its start to its end, so that the connections
are busy with small files, too; which file is next is their order in the list. What fails is
told and left, and the others go on.

A file that is there already, with the archive's size and time, is left as it is. One that
differs is somebody's work, and is replaced only if that was asked for.

Threading: `run` starts threads; `progress` may be read, `stop` be called from any.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from empiarfs.core.files import FileVersion
from empiarfs.downloads.crew import Crew
from empiarfs.downloads.manifest import NAME, Manifest
from empiarfs.downloads.partial import PartialFile, digest_of
from empiarfs.errors import DownloadError, EmpiarFSError, InterruptedCallError
from empiarfs.patience import Patience
from empiarfs.vfs import FileSystem

_STEP = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to be copied.

    Attributes:
        path: Below the archive's root, and below the destination.
        version: What the archive holds.
    """

    path: str
    version: FileVersion


@dataclass(slots=True)
class Progress:
    """What is done so far; bytes are of files, wherever they came from.

    Attributes:
        files: Files that are whole now, and weren't before.
        size: Their bytes, and those of files under way.
        resumed: Of these, bytes that an earlier run had written.
        there: Files that were there already.
        there_size: Their bytes.
        failed: Files that could not be copied.
    """

    files: int = 0
    size: int = 0
    resumed: int = 0
    there: int = 0
    there_size: int = 0
    failed: int = 0

    def add(self, **numbers: int) -> None:
        """Add to the counts of these names."""
        for name, number in numbers.items():
            setattr(self, name, getattr(self, name) + number)


class Failed(Protocol):
    """Is told of each file that could not be copied."""

    def __call__(self, path: str, error: EmpiarFSError, /) -> None:
        """Take note of why."""
        ...


class Downloads:
    """Copies files of one archive to one directory.

    Args:
        files: The archive.
        destination: Where they go, as `destination/10934/data/x.mrc`; it is made if need be.
        wait_s: How long one read may wait for the archive, in seconds.
        overwrite: Replace files that differ.
        makes: Make the destination if it isn't there.
        failed: Told of each file that could not be copied; called from any thread.

    Attributes:
        progress: What is done so far.

    Raises:
        DownloadError: The destination can't be used.
    """

    def __init__(
        self,
        files: FileSystem,
        destination: Path,
        *,
        wait_s: float,
        overwrite: bool = False,
        makes: bool = True,
        failed: Failed = lambda path, error: None,
    ) -> None:
        self._files = files
        self._destination = destination
        self._wait_s = wait_s
        self._overwrite = overwrite
        self._failed = failed
        self._lock = threading.Lock()
        self._crew = Crew("download", self._try)
        self.progress = Progress()
        try:
            if makes:
                destination.mkdir(parents=True, exist_ok=True)
            self.manifest = Manifest(destination)
        except OSError as exc:
            raise DownloadError(f"{destination} can't be written: {exc.strerror}") from exc

    def stop(self) -> None:
        """Let `run` end soon; what is under way can be gone on with."""
        self._crew.stop()

    def run(self, wanted: Iterable[Wanted], told: Callable[[Progress], None]) -> Progress:
        """Copy the files; see `Crew.run`.

        Args:
            wanted: Which; taken from as they are copied.
            told: Called a few times a second with what is done so far.
        """
        self._crew.run(wanted, lambda: told(self.progress))
        return self.progress

    def is_there(self, wanted: Wanted) -> bool:
        """Tell whether the file is there, with the archive's size and time."""
        return is_copy(self._destination / wanted.path, wanted.version)

    def is_sound(self, wanted: Wanted) -> bool | None:
        """Tell whether the bytes of a file are those that were written; None if unknown.

        Raises:
            OSError: It can't be read.
        """
        digest = self.manifest.get(wanted.path)
        return None if digest is None else digest_of(self._destination / wanted.path) == digest

    # -- in the threads --------------------------------------------------------------------

    def _try(self, wanted: Wanted) -> None:
        failure: EmpiarFSError
        try:
            self._copy(wanted)
            return
        except InterruptedCallError:
            return  # it was told to stop
        except EmpiarFSError as exc:
            failure = exc
        except OSError as exc:
            failure = DownloadError(f"{exc.strerror or exc}: {exc.filename or self._destination}")
        with self._lock:
            self.progress.failed += 1
        self._failed(wanted.path, failure)

    def _copy(self, wanted: Wanted) -> None:
        target = self._place_for(wanted.path)
        if is_copy(target, wanted.version):
            if self.manifest.get(wanted.path) is None:
                # It was made by other means, or its line was lost in a crash.
                self.manifest.add(wanted.path, digest_of(target))
            self._count(there=1, there_size=wanted.version.size)
            return
        if os.path.lexists(target) and not self._overwrite:
            raise DownloadError(
                f"{target} is there and differs in size or time; --overwrite replaces it"
            )
        with PartialFile(target, str(wanted.version), wanted.version.size) as partial:
            self._count(size=partial.done, resumed=partial.done)
            try:
                self._fetch(wanted, partial)
                digest = partial.finish(wanted.version.modified_s)
            except BaseException:
                self._count(size=-partial.done)
                raise
        self.manifest.add(wanted.path, digest)
        self._count(files=1)

    def _fetch(self, wanted: Wanted, partial: PartialFile) -> None:
        opened = self._files.open(wanted.path, self._patience())
        try:
            found = self._files.attributes_of_handle(opened.handle)
            modified_s = wanted.version.modified_s
            if found.size != wanted.version.size or (
                modified_s is not None and found.mtime_ns != modified_s * 1_000_000_000
            ):
                raise DownloadError("it has changed in the archive; run the command again")
            while partial.done < wanted.version.size:
                data = self._files.read(opened.handle, partial.done, _STEP, self._patience())
                partial.add(data)
                self._count(size=len(data))
        finally:
            self._files.release(opened.handle)

    def _place_for(self, path: str) -> Path:
        """Return where a file goes, whose directory is there.

        Raises:
            DownloadError: There can't be a file of that name.
        """
        names = path.split("/")
        if any(name in ("", ".", "..") or "\0" in name for name in names):
            raise DownloadError("not a path that can be written")
        if path == NAME:
            raise DownloadError(f"{NAME} is the name of the list of checksums")
        target = self._destination.joinpath(*names)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _patience(self) -> Patience:
        return Patience(self._wait_s, self._crew.stopped.is_set)

    def _count(self, **numbers: int) -> None:
        with self._lock:
            self.progress.add(**numbers)


def is_copy(path: Path, version: FileVersion) -> bool:
    """Tell whether a local file has the size and the time of this version."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return False
    has_time = version.modified_s is None or int(status.st_mtime) == version.modified_s
    return status.st_size == version.size and has_time
