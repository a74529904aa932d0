"""The copies in one directory: found, judged by name, size and rest, opened, read.

A copy is judged when it is opened; that it stays what it was is looked at after each read, by
its identity. What was read while it changed is thrown away.

Threading: safe from any thread. Whatever touches the disk is done by `disk`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from empiarfs.cache.file_systems import file_system_of, read_mounts
from empiarfs.cache.health import Health
from empiarfs.cache.threads import TooSlowError
from empiarfs.core.files import RemoteFile
from empiarfs.core.layouts import entry_folders, is_safe
from empiarfs.errors import CacheError, LocalCopyError
from empiarfs.local.disk import Disk, Manner
from empiarfs.local.opening import (
    Identity,
    find_holes,
    first_hole,
    identity_of,
    open_below,
    open_directory,
)
from empiarfs.local.refusals import Refusals
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

# Programs that copy write their files from the start to the end, or all over; but not with
# pauses of a minute.
_AT_REST_NS = 60 * 10**9
# Within this time a file could be written to again without any of its times moving.
_TICK_NS = 1 * 10**9
# Times so far ahead were set by hand; a clock that goes wrong is nearer.
_AHEAD_NS = 86_400 * 10**9
_OURS = "fuse.empiarfs"


class LocalFile:
    """A copy that is open; closed when nobody has it any more.

    Attributes:
        identity: As it was when it was judged.
        path: Where it lies.
    """

    def __init__(self, disk: Disk, descriptor: int, identity: Identity, path: str) -> None:
        self.identity = identity
        self.path = path
        self._disk = disk
        self._descriptor = descriptor
        self._manner = Manner.UNKNOWN

    def __del__(self) -> None:
        self._disk.close(self._descriptor)

    def read(self, start: int, stop: int) -> bytes:
        """Return exactly the bytes `[start, stop)`, which lie inside the file.

        Raises:
            LocalCopyError: It has changed since it was judged.
            CacheError: The disk took too long.
            OSError: The disk failed.
        """
        if start >= stop:
            return b""
        found = self._disk.read(self._descriptor, start, stop, self._manner)
        self._manner = found.manner
        if found.identity != self.identity or len(found.data) != stop - start:
            raise LocalCopyError("it changed while it was read")
        return found.data

    def holes(self, most: int) -> list[int]:
        """Return offsets of the first few holes.

        Raises:
            CacheError: The disk took too long.
        """
        return self._disk.call(lambda: find_holes(self._descriptor, self.identity.size, most))


class LocalDirectory:
    """A directory with copies of entries.

    Args:
        path: Of it; absolute.
        archive_url: URL of the archive's root.
        counters: Counts what isn't used.
        holes_allowed: What has holes may fit, since its bytes will be compared.
        now_ns: Wall-clock nanoseconds since 1970.

    Attributes:
        path: As given.
        refusals: What isn't used, and why.
    """

    def __init__(
        self,
        path: Path,
        archive_url: str,
        counters: Counters,
        *,
        holes_allowed: bool = False,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.path = path
        self.refusals = Refusals(str(path), counters)
        self._raw = os.fsencode(path)
        self._archive_url = archive_url
        self._holes_allowed = holes_allowed
        self._now_ns = now_ns
        self._disk = Disk("local")
        self._is_checked = False
        self._health = Health(f"reading local copies in {path}")

    @property
    def unwell(self) -> str | None:
        """Why and since when nothing is read from it, or None."""
        return self._health.unwell

    def look(self) -> str | None:
        """Look at the directory; return what is wrong with it, which is logged, or None."""
        self._asked(self._check)
        return self._health.unwell

    def find(self, file: RemoteFile) -> LocalFile | None:
        """Return a copy of the file that fits, opened; None if there is none to be used."""
        if "/" not in file.path or not is_safe(file.path) or not self._health.allows():
            return None
        reasons: list[tuple[str, str]] = []
        found = self._asked(lambda: self._find(file, reasons))
        if found is None and reasons:
            self.refusals.note(file.path, *reasons[0])
        return found

    def failed(self, file: RemoteFile, error: Exception) -> None:
        """Note that a copy that was found can't be read to its end."""
        if isinstance(error, LocalCopyError):
            self.refusals.note(file.path, "changed", str(error))
        elif isinstance(error, OSError):
            self.refusals.note(file.path, "unreadable", _words(error))
        elif isinstance(error, TooSlowError):
            self._fail(str(error))

    def differs(self, file: RemoteFile, offset: int) -> None:
        """Note that a copy has other bytes than the archive's file."""
        reason = f"its bytes near {offset} aren't the archive's"
        self.refusals.note(file.path, "different", reason)

    def close(self) -> None:
        """End its threads, unless they hang."""
        self._disk.end(1.0)

    def _asked(self, work: Callable[[], LocalFile | None]) -> LocalFile | None:
        try:
            found = self._disk.call(work)
        except OSError as exc:
            self._fail(_words(exc))
        except (TooSlowError, LocalCopyError) as exc:
            self._fail(str(exc))
        except CacheError:
            pass  # it is being closed
        else:
            self._health.succeeded()
            return found
        return None

    def _fail(self, reason: str) -> None:
        self._is_checked = False
        self._health.failed(reason)

    # -- in the disk's threads -------------------------------------------------------------

    def _check(self) -> None:
        os.close(open_directory(self._raw))
        if file_system_of(self.path, read_mounts()) == _OURS:
            raise LocalCopyError("it lies in a mount of empiarfs")
        self._is_checked = True

    def _find(self, file: RemoteFile, reasons: list[tuple[str, str]]) -> LocalFile | None:
        """Return a copy that fits, or add to `reasons` why those that are there don't.

        Raises:
            OSError: The directory can't be entered.
            LocalCopyError: It isn't one of local files.
        """
        if not self._is_checked:
            self._check()
        entry, _, below = file.path.partition("/")
        directory = open_directory(self._raw)
        try:
            for folder in entry_folders(entry, self._archive_url, self.path.name):
                path = f"{folder}/{below}".encode("utf-8", "surrogateescape")
                try:
                    return self._opened(directory, path, file)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError as exc:
                    reasons.append(("unreadable", _words(exc)))
                except _Unfit as exc:
                    reasons.append((exc.kind, str(exc)))
                except LocalCopyError as exc:
                    reasons.append(("no file", str(exc)))
        finally:
            os.close(directory)
        return None

    def _opened(self, directory: int, path: bytes, file: RemoteFile) -> LocalFile:
        descriptor = open_below(directory, path)
        where = os.path.normpath(self._raw + b"/" + path).decode("utf-8", "surrogateescape")
        try:
            found = LocalFile(self._disk, descriptor, identity_of(descriptor), where)
        except BaseException:
            os.close(descriptor)
            raise
        self._judge(found.identity, descriptor, file)
        return found

    def _judge(self, identity: Identity, descriptor: int, file: RemoteFile) -> None:
        """Raise if a copy doesn't fit.

        Raises:
            _Unfit: It doesn't.
        """
        if identity.size != file.size:
            kind = "short" if identity.size < file.size else "long"
            raise _Unfit(kind, f"it has {identity.size} bytes instead of {file.size}")
        now = self._now_ns()
        if (
            -_AHEAD_NS < now - identity.modified_ns < _AT_REST_NS
            or -_AHEAD_NS < now - identity.changed_ns < _TICK_NS
        ):
            raise _Unfit("fresh", "it was written less than a minute ago, and may still be")
        if not self._holes_allowed and first_hole(descriptor, identity.size) is not None:
            raise _Unfit("holes", "it has holes, as a copy that isn't complete; "
                         "local_verify=sample compares those")  # fmt: skip


class _Unfit(LocalCopyError):
    """A copy that doesn't fit, with the kind of reason in a word."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def _words(error: OSError) -> str:
    return error.strerror or str(error)
