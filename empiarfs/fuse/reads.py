"""What is remembered of reads, so that `status PATH` can tell why they were slow or failed.

So it is of look-ups (`stat`, `open`, `opendir`), but only if they were slow or failed.

    a read under way     what it waits for now
    one that was slow,   when, where, for how long, what it waited for, where its bytes were,
    or failed            which program, and the error; the last 200 of all files, and the last
                         50 look-ups
    a file               how many reads, bytes and seconds; the last 256 that were read

A read that finds its bytes at hand costs some additions here, under a lock that is taken for
it anyway (`empiarfs.fuse.readers`).

Threading: a `Reading` belongs to the thread of its read, and others may look at it. `Reads`
is guarded by the lock of whoever has it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge

from empiarfs.core.waits import Account

SLOW_S = 1.0
"""A read that takes so long is remembered by itself, in seconds."""

SHOWN = 100
"""Of how many reads `status PATH` is told at most."""

_FILES_KEPT = 256
# Measured: all of this takes some 400 KiB when it is full.
_READS_KEPT = 200
_LOOKUPS_KEPT = 50
# An error's text names a URL; a page of them helps nobody.
_MOST_TEXT = 400


class Reading:
    """A read that is under way.

    Attributes:
        file: Of the file that is read.
        process: Who opened it; 0 if that can't be seen.
        program: Its name, or "".
        offset: In bytes; None for a look-up.
        size: In bytes; likewise.
        call: "read", or the look-up's.
        began_s: When it began, by the monotonic clock.
        account: What it waits for.
    """

    __slots__ = ("account", "began_s", "call", "file", "offset", "process", "program", "size")

    def __init__(
        self,
        file: FileReads,
        process: int,
        program: str,
        offset: int | None,
        size: int | None,
        call: str = "read",
        began_s: float | None = None,
    ) -> None:
        self.file = file
        self.process = process
        self.program = program
        self.offset = offset
        self.size = size
        self.call = call
        self.account = Account()
        self.began_s = time.monotonic() if began_s is None else began_s

    def as_json(self) -> dict[str, object]:
        """Return it as values that JSON can hold."""
        course = self.account.course
        return {
            **_where(self),
            "took_s": round(time.monotonic() - self.began_s, 3),
            "waits_for": None if course is None else course.now.value,
            **_waited(self.account),
        }


@dataclass(slots=True)
class FileReads:
    """What was read of one file.

    Attributes:
        path: As the file system spells it.
        first_s: When it was read first, in seconds since 1970,
        last_s: and last.
        count: Reads that ended, failed ones included.
        failed: Of these, how many failed,
        slow: and how many took `SLOW_S` or more.
        seconds: All of them took together,
        longest_s: and one of them at most.
        memory_bytes: Bytes that were in memory, and so the others.
    """

    path: str
    first_s: float = 0.0
    last_s: float = 0.0
    count: int = 0
    failed: int = 0
    slow: int = 0
    seconds: float = 0.0
    longest_s: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    local_bytes: int = 0
    archive_bytes: int = 0

    def add(self, reading: Reading, took_s: float, now_s: float, *, has_failed: bool) -> None:
        """Note a read that has ended."""
        account = reading.account
        self.first_s = self.first_s or now_s - took_s
        self.last_s = now_s
        self.count += 1
        self.seconds += took_s
        if took_s > self.longest_s:
            self.longest_s = took_s
        if took_s >= SLOW_S:
            self.slow += 1
        if has_failed:
            self.failed += 1
        self.memory_bytes += account.memory
        self.disk_bytes += account.disk
        self.local_bytes += account.local
        self.archive_bytes += account.archive


class Reads:
    """What is remembered of reads; guarded by the lock of whoever has it."""

    def __init__(self) -> None:
        self._files: OrderedDict[str, FileReads] = OrderedDict()
        self._slow: deque[dict[str, object]] = deque(maxlen=_READS_KEPT)
        # Of `ls -l` without a network there are thousands, which mustn't drive out the reads.
        self._looked_up: deque[dict[str, object]] = deque(maxlen=_LOOKUPS_KEPT)

    def opened(self, path: str) -> FileReads:
        """Return what is known of a file that is opened."""
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = FileReads(path)
            if len(self._files) > _FILES_KEPT:
                self._files.popitem(last=False)
        self._files.move_to_end(path)
        return file

    def ended(
        self, reading: Reading, now_s: float, error: BaseException | None, number: str
    ) -> None:
        """Note a read that has ended.

        Args:
            reading: The read.
            now_s: Seconds since 1970.
            error: Why it failed, or None.
            number: The name of the errno that the program got, or "".
        """
        took_s = time.monotonic() - reading.began_s
        reading.file.add(reading, took_s, now_s, has_failed=error is not None)
        if took_s < SLOW_S and error is None:
            return
        account = reading.account
        kept = self._slow if reading.call == "read" else self._looked_up
        kept.append(
            {
                "at_s": now_s - took_s,
                **_where(reading),
                "took_s": round(took_s, 3),
                **_waited(account),
                "memory_bytes": account.memory,
                "disk_bytes": account.disk,
                "local_bytes": account.local,
                "archive_bytes": account.archive,
                "errno": number or None,
                "error": None if error is None else _text(error),
                "kind": None if error is None else _kind(error),
            }
        )

    def files(self) -> list[FileReads]:
        """Return what is known of files, the one that was opened last at the end."""
        return list(self._files.values())

    def slow(self) -> Iterator[dict[str, object]]:
        """Yield those that were slow or failed, the last one last; none may be changed."""
        return merge(list(self._slow), list(self._looked_up), key=_at_s)


def sum_of(files: Sequence[FileReads]) -> dict[str, object] | None:
    """Return what was read of several files together, as values that JSON can hold."""
    files = [file for file in files if file.count]
    if not files:
        return None
    sums = ("count", "failed", "slow", "seconds", "memory_bytes", "disk_bytes", "local_bytes",
            "archive_bytes")  # fmt: skip
    return {
        "files": len(files),
        "first_s": min(file.first_s for file in files),
        "last_s": max(file.last_s for file in files),
        "longest_s": round(max(file.longest_s for file in files), 3),
        **{name: round(sum(getattr(file, name) for file in files), 3) for name in sums},
    }


def _at_s(read: dict[str, object]) -> float:
    at_s = read["at_s"]
    return at_s if isinstance(at_s, float) else 0.0


def _where(reading: Reading) -> dict[str, object]:
    return {
        "call": reading.call,
        "path": reading.file.path,
        "offset": reading.offset,
        "size": reading.size,
        "pid": reading.process,
        "program": reading.program,
    }


def _waited(account: Account) -> dict[str, object]:
    waited = {name: round(seconds, 3) for name, seconds in account.waited.items()}
    return {"waited": waited, "faults": account.faults, "hedges": account.hedges}


def _text(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"


def _kind(error: BaseException) -> str:
    """Return the name of what went wrong: of a patience that ended, why it had to wait."""
    while error.__cause__ is not None and type(error).__name__ == "GaveUpError":
        error = error.__cause__
    return type(error).__name__
