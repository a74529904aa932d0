"""What the threads share that ask for the sizes of one directory's files.

Invariant: each name is handed out once, or fails once, or is still unresolved; an unresolved
row that is in no queue is with the thread that took it, or with two.

Threading: safe from any thread. `answered` is called without the lock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from empiarfs.core.files import FileVersion
from empiarfs.core.head_sequence import Certain, HeadRow
from empiarfs.core.listing import ListingItem
from empiarfs.errors import ArchiveError, GaveUpError

Answered = Callable[[str, FileVersion], None]
Failures = dict[str, ArchiveError | GaveUpError]

# So many connections may mix answers up, and a row may stall so often, before the slow way.
_ATTEMPTS = 3


class SizeWork:
    """The rows to ask for, in two queues: to be pipelined, and to be asked for singly.

    Args:
        directory: Path of the directory.
        rows: Its files.
        answered: Called for each size as soon as it is certain.
        pipelining: Whether requests may be pipelined at all.
    """

    def __init__(
        self, directory: str, rows: Sequence[ListingItem], answered: Answered, *, pipelining: bool
    ) -> None:
        self.directory = directory
        self._answered = answered
        self._lock = threading.Lock()
        all_rows = deque(HeadRow(item) for item in rows)
        self._rows = all_rows if pipelining else deque()  # guarded by _lock
        self._singles = deque() if pipelining else all_rows  # guarded by _lock
        self._unresolved = {item.name for item in rows}  # guarded by _lock
        self._pipelining = pipelining  # guarded by _lock
        self._distrust = 0  # guarded by _lock
        # Whether the archive was seen to ignore tags; only ever set to True.
        self.tags_ignored = False
        # Connections that gave no answer, and whether any gave one.
        self.silent = 0
        self.has_answers = False
        self._failures: Failures = {}  # guarded by _lock
        # Rows asked for and not answered, with the time, by name; and names asked for a second
        # time since nothing else was left to do. Guarded by _lock.
        self._flying: dict[str, tuple[HeadRow, float]] = {}
        self._hedged: set[str] = set()
        # After how many seconds without an answer that is worth it.
        self.overdue_s = float("inf")
        self._crash: BaseException | None = None  # guarded by _lock
        self._over = False  # guarded by _lock

    def take(self, count: int) -> list[HeadRow]:
        """Return up to `count` rows to be pipelined.

        When none are left, rows that others have asked for are, once each, if their answers
        are overdue.
        """
        now_s = time.monotonic()
        with self._lock:
            taken: list[HeadRow] = []
            while self._rows and len(taken) < count:
                row = self._rows.popleft()
                if row.item.name in self._unresolved:
                    taken.append(row)
            if not taken and count > 0:
                taken = self._overdue(now_s)[:count]
                self._hedged.update(row.item.name for row in taken)
            for row in taken:
                self._flying[row.item.name] = (row, now_s)
            return taken

    def _overdue(self, now_s: float) -> list[HeadRow]:
        due_s = now_s - self.overdue_s
        return [
            row
            for name, (row, since_s) in self._flying.items()
            if since_s <= due_s and name not in self._hedged
        ]

    def take_single(self) -> HeadRow | None:
        """Return a row to be asked for on its own, or None."""
        with self._lock:
            return self._singles.popleft() if self._singles else None

    def give_back(self, rows: Sequence[HeadRow]) -> None:
        """Put rows back that no answer was taken for."""
        with self._lock:
            rows = [row for row in rows if self._lands(row)]
            (self._rows if self._pipelining else self._singles).extendleft(reversed(rows))

    def ask_singly(self, rows: Sequence[HeadRow]) -> None:
        """Have these rows asked for on their own."""
        with self._lock:
            self._singles.extend(row for row in rows if self._lands(row))

    def stalled(self, row: HeadRow) -> None:
        """Put a row back whose answer didn't come, before all others.

        Somebody may wait for just this one: behind thousands, its turn came after the
        look-up's deadline.
        """
        row.stalls += 1
        with self._lock:
            if not self._lands(row):
                return
            pipelined = self._pipelining and row.stalls < _ATTEMPTS
            (self._rows if pipelined else self._singles).appendleft(row)

    def _lands(self, row: HeadRow) -> bool:
        """Note that no answer to the row is awaited any more; tell whether it is needed."""
        self._flying.pop(row.item.name, None)
        return row.item.name in self._unresolved

    def mixed_up(self) -> None:
        """Note a connection that mixed answers up; after three nothing more is pipelined."""
        with self._lock:
            self._distrust += 1
            distrusted = self._distrust >= _ATTEMPTS
        if distrusted:
            self.stop_pipelining()

    def stop_pipelining(self) -> None:
        """Have everything that is left asked for on its own."""
        with self._lock:
            self._pipelining = False
            self._singles.extend(self._rows)
            self._rows.clear()

    def settle(self, certain: Sequence[Certain]) -> None:
        """Hand sizes out, each name once."""
        with self._lock:
            fresh = [] if self._over else [c for c in certain if c.name in self._unresolved]
            for each in fresh:
                self._unresolved.discard(each.name)
                self._flying.pop(each.name, None)
        for each in fresh:
            self._answered(each.name, each.version)

    def failed(self, name: str, error: ArchiveError | GaveUpError) -> None:
        """Note that there will be no size for `name`."""
        with self._lock:
            if name in self._unresolved and not self._over:
                self._unresolved.discard(name)
                self._failures[name] = error

    def fail_rest(self, error: ArchiveError | GaveUpError) -> None:
        """Note that there will be no more sizes."""
        with self._lock:
            self._failures.update(dict.fromkeys(self._unresolved, error))
            self._unresolved.clear()
            self._rows.clear()
            self._singles.clear()

    def crashed(self, error: BaseException) -> None:
        """Stop all threads because of an error that nobody expects."""
        with self._lock:
            self._crash = self._crash or error
            self._over = True

    def end(self) -> None:
        """Stop all threads; nothing is handed out any more."""
        with self._lock:
            self._over = True

    def result(self) -> Failures:
        """Return what failed, by name; raises the error that a thread crashed with."""
        with self._lock:
            if self._crash is not None:
                raise self._crash
            return dict(self._failures)

    @property
    def is_over(self) -> bool:
        """Whether the threads should stop."""
        return self._over

    @property
    def has_rows(self) -> bool:
        """Whether there is something to pipeline, if only a second time."""
        if self._over or self._rows:
            return not self._over
        with self._lock:
            return bool(self._overdue(time.monotonic()))

    @property
    def has_anything(self) -> bool:
        """Whether there is something to begin."""
        return (bool(self._singles) and not self._over) or self.has_rows
