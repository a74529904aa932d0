"""A visitor: does what programs do in a file system, and holds everything against the truth.

What a visitor sees must be right, or an error that may be shown; each call is timed, and none
may take longer than it was told to wait and some seconds. What isn't so becomes a line of
`problems`; nothing is raised, so that one visit finds all there is to find.

Threading: one visitor may be used from several threads; its notes are guarded by a lock.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

from empiarfs.errors import EmpiarFSError
from empiarfs.fuse.errnos import errno_for
from empiarfs.patience import Patience
from empiarfs.vfs import FileSystem
from tests.support.campaign import tally

T = TypeVar("T")

# What the kernel asks for at most, with its own read-ahead.
STEP = 128 * 1024
# A busy machine may let a thread stand for seconds; no retry is as long as this.
_SLACK_S = 15.0


class Visitor:
    """Visits a file system on behalf of a test.

    Args:
        files: What is visited.
        truth: Contents by path.
        wait_s: How long each call may wait.
        shows: The errnos that may be shown; any other is a problem.
        hidden: Those of the paths that no listing shows.
        unlisted: Whether a listing may lack others too; they must be found all the same.
    """

    def __init__(
        self,
        files: FileSystem,
        truth: Mapping[str, bytes],
        *,
        wait_s: float,
        shows: Collection[int] = (),
        hidden: Collection[str] = (),
        unlisted: bool = False,
    ) -> None:
        self._files = files
        self._truth = truth
        self._wait_s = wait_s
        self._shows = frozenset(shows)
        self._listed = {path: data for path, data in truth.items() if path not in hidden}
        self._unlisted = unlisted
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()  # guarded by _lock
        self.problems: list[str] = []  # guarded by _lock
        self.refused: Counter[int] = Counter()  # guarded by _lock

    # -- what programs do ------------------------------------------------------------------

    def list_names(self, directory: str) -> None:
        """Read a directory."""
        handle = self._call("opendir", directory, self._files.open_directory)
        if handle is None:
            return
        names = {item.name for item in self._files.directory_items(handle)}
        self._files.close_directory(handle)
        expected = names_in(self._listed, directory)
        lost = expected - names
        self._note("names", "readdir", len(expected))
        if names - names_in(self._truth, directory):
            self._problem(f"readdir {directory!r} invents {sorted(names - expected)}")
        if lost and not self._unlisted:
            self._note("lost_names", "readdir", len(lost))
            self._problem(f"readdir {directory!r} lacks {sorted(lost)}")

    def stat(self, path: str) -> None:
        """Ask for the attributes of a file."""
        found = self._call("stat", path, self._files.attributes)
        self._note("names", "stat")
        if found is not None and (found.is_directory or found.size != len(self._truth[path])):
            self._note("lost_names", "stat")
            self._problem(f"stat {path!r}: {found}")

    def look_for_nothing(self, path: str) -> None:
        """Ask for a name that isn't there."""
        try:
            self._files.attributes(path, Patience(self._wait_s))
        except EmpiarFSError as exc:
            if errno_for(exc) != 2 and errno_for(exc) not in self._shows:
                self._problem(f"stat {path!r}, which isn't there: {exc!r}")
        else:
            self._problem(f"{path!r} is there and shouldn't be")

    def open(self, path: str) -> int | None:
        """Open a file; None if that was refused."""
        opened = self._call("open", path, self._files.open)
        return None if opened is None else opened.handle

    def read(self, handle: int, path: str, offset: int, size: int) -> bool:
        """Read from an open file; tell whether bytes came."""
        found = self._call(
            "read", path, lambda _, patience: self._files.read(handle, offset, size, patience)
        )
        if found is None:
            return False
        right = found == self._truth[path][offset : offset + size]
        self._note("reads", "the file system")
        if not right:
            self._note("wrong_bytes", "the file system")
            self._problem(f"read {path!r} [{offset}, {offset + size}): wrong bytes")
        return True

    def release(self, handle: int) -> None:
        """Close a file."""
        self._files.release(handle)

    def read_whole(self, path: str) -> bool:
        """Open a file, read it from start to end, close it; tell whether all came."""
        return self.read_parts(path, range(0, max(1, len(self._truth[path])), STEP), STEP)

    def read_parts(self, path: str, offsets: Iterable[int], size: int) -> bool:
        """Open a file and read parts of it in the given order."""
        handle = self.open(path)
        if handle is None:
            return False
        try:
            # All of them, though one fails: programs skip what they can't read.
            came = [self.read(handle, path, offset, size) for offset in offsets]
            return all(came)
        finally:
            self.release(handle)

    def side_by_side(self, *works: Callable[[], object]) -> None:
        """Do several things at once."""
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # -- notes -----------------------------------------------------------------------------

    def _call(self, kind: str, path: str, work: Callable[[str, Patience], T]) -> T | None:
        began_s = time.monotonic()
        try:
            return work(path, Patience(self._wait_s))
        except EmpiarFSError as exc:
            self._note_refusal(kind, path, exc)
            return None
        except Exception as exc:
            self._problem(f"{kind} {path!r}: {exc!r}")
            return None
        finally:
            took_s = time.monotonic() - began_s
            late = took_s > self._wait_s + _SLACK_S
            self._note("calls", kind)
            if late:
                self._note("calls_past_deadline", kind)
                self._problem(f"{kind} {path!r} took {took_s:.1f} s of {self._wait_s:g} s")

    def _note_refusal(self, kind: str, path: str, error: EmpiarFSError) -> None:
        code = errno_for(error)
        with self._lock:
            self.refused[code] += 1
        if code in self._shows:
            return
        if code == 2:
            self._note("lost_names", kind)
        self._problem(f"{kind} {path!r}: {error!r}")

    def _note(self, column: str, kind: str, count: int = 1) -> None:
        with self._lock:
            self._counts[column, kind] += count

    def _problem(self, line: str) -> None:
        with self._lock:
            self.problems.append(line)

    def report(self) -> None:
        """Add what was counted to the campaign's tally."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        for (column, kind), count in counts.items():
            tally.add(column, kind, count)
        for column in ("wrong_bytes", "lost_names", "calls_past_deadline"):
            tally.add(column, "the file system", 0)


def names_in(truth: Mapping[str, bytes], directory: str) -> set[str]:
    """Return the names that a listing of the directory shows."""
    prefix = directory + "/" if directory else ""
    return {path[len(prefix) :].partition("/")[0] for path in truth if path.startswith(prefix)}
