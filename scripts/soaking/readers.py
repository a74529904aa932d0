"""Readers of one kind: a program whose threads read a mount and compare every byte.

By hand, until its input ends:

    python -m scripts.soaking.readers KIND THREADS MOUNTED ORIGINAL STATISTICS SEED

It writes what it has counted to STATISTICS once a second, and the time at which the call
under way began of each thread, so that who watches can tell which one hangs. Whoever starts
it reads both through `Counted`.

A failed read is a fault of the mount, since nothing that the network does lasts as long as
`--wait`. A failed look-up is none while the archive is out of reach; it is counted apart.

Threading: a thread for each reader, one that writes the counts; `_lock` guards them. A page
fault holds Python's global lock: who maps files needs a process for each reader.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.soaking.served import HEADERS, MOVIES, STACKS

_EVERY_S = 1.0
_PAUSE_S = 0.2
_MESSAGES = 20


@dataclass(frozen=True, slots=True)
class Counted:
    """What the readers of one process have counted.

    Attributes:
        counts: Sums by name: calls, reads, bytes, wrong_bytes, failed_reads,
            failed_lookups, lost_names.
        began_s: Monotonic time at which each thread's call under way began; 0 for none.
        calls: What those calls are.
        longest_s: The longest time that a call of each kind took.
        messages: What went wrong, some of it.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    began_s: tuple[float, ...] = ()
    calls: tuple[str, ...] = ()
    longest_s: Mapping[str, float] = field(default_factory=dict)
    messages: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Counted:
        """Return what stands in a file; nothing if there is none yet."""
        try:
            values = json.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        return cls(
            values["counts"],
            tuple(values["began_s"]),
            tuple(values["calls"]),
            values["longest_s"],
            tuple(values["messages"]),
        )


class _Readers:
    """The threads of one process, and what they count."""

    def __init__(self, mounted: Path, original: Path, statistics: Path, threads: int) -> None:
        self.mounted = mounted
        self.original = original
        self.over = threading.Event()
        self._statistics = statistics
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()  # guarded by _lock
        self._longest: dict[str, float] = {}  # guarded by _lock
        self._messages: list[str] = []  # guarded by _lock
        self._began = [0.0] * threads
        self._calls = [""] * threads

    def run(self, kind: str, seed: int) -> None:
        """Read until the input ends."""
        for name in ("reads", "bytes", "wrong_bytes", "failed_reads", "failed_lookups"):
            self._counts[name] = 0
        threads = [
            threading.Thread(target=self._repeat, args=(kind, number, seed + number), daemon=True)
            for number in range(len(self._began))
        ]
        for thread in (*threads, threading.Thread(target=self._report, daemon=True)):
            thread.start()
        sys.stdin.read()
        self.over.set()
        for thread in threads:
            thread.join()
        self._write()

    def _repeat(self, kind: str, number: int, seed: int) -> None:
        reader = _Reader(self, number, random.Random(seed))
        work: Callable[[_Reader], None] = _KINDS[kind]
        while not self.over.is_set():
            self._once(work, reader)

    def _once(self, work: Callable[[_Reader], None], reader: _Reader) -> None:
        try:
            work(reader)
        except _CallError as exc:
            self.note(exc.counted, 1, str(exc))
            self.over.wait(_PAUSE_S)

    def note(self, name: str, count: int, message: str = "") -> None:
        """Add to a count."""
        with self._lock:
            self._counts[name] += count
            if message and len(self._messages) < _MESSAGES:
                self._messages.append(message)

    @contextmanager
    def call(self, number: int, name: str) -> Iterator[None]:
        """Let it be seen how long a call takes."""
        began_s = time.monotonic()
        self._calls[number], self._began[number] = name, began_s
        try:
            yield
        finally:
            self._began[number] = 0.0
            took_s = time.monotonic() - began_s
            with self._lock:
                self._counts["calls"] += 1
                self._longest[name] = max(took_s, self._longest.get(name, 0.0))

    def _report(self) -> None:
        while not self.over.wait(_EVERY_S):
            self._write()

    def _write(self) -> None:
        with self._lock:
            values: dict[str, Any] = {
                "counts": dict(self._counts),
                "began_s": self._began,
                "calls": self._calls,
                "longest_s": self._longest,
                "messages": self._messages,
            }
            fresh = self._statistics.with_suffix(".new")
            fresh.write_text(json.dumps(values))
            fresh.rename(self._statistics)


class _CallError(Exception):
    """A call failed; `counted` says what that counts as."""

    def __init__(self, counted: str, what: str, path: Path, error: OSError) -> None:
        code = errno.errorcode.get(error.errno or 0, str(error.errno))
        super().__init__(f"{what} {path.name}: {code}")
        self.counted = counted


class _Reader:
    """One thread's way to files and their originals."""

    def __init__(self, readers: _Readers, number: int, chance: random.Random) -> None:
        self._readers = readers
        self._number = number
        self.chance = chance

    @property
    def is_over(self) -> bool:
        """Whether to come to an end."""
        return self._readers.over.is_set()

    def pause(self) -> None:
        """Leave the processor to others: much of this the kernel answers by itself."""
        self._readers.over.wait(_PAUSE_S)

    def names(self, directory: str) -> list[str]:
        """Return the true names in a directory."""
        return sorted(os.listdir(self._readers.original / directory))

    def some(self, directory: str) -> str:
        """Return a file of a directory."""
        return f"{directory}/{self.chance.choice(self.names(directory))}"

    @contextmanager
    def opened(self, path: str) -> Iterator[tuple[int, int, int]]:
        """Open a file and its original; yield both, and the size. Forgets the kernel's pages."""
        mounted = self._readers.mounted / path
        with self.lookup("open", mounted):
            one = os.open(mounted, os.O_RDONLY)
        try:
            other = os.open(self._readers.original / path, os.O_RDONLY)
            try:
                os.posix_fadvise(one, 0, 0, os.POSIX_FADV_DONTNEED)
                yield one, other, os.fstat(other).st_size
            finally:
                os.close(other)
        finally:
            os.close(one)

    @contextmanager
    def lookup(self, what: str, path: Path) -> Iterator[None]:
        """Time a call that may fail while the archive is out of reach."""
        with self._readers.call(self._number, what):
            try:
                yield
            except OSError as exc:
                is_lost = exc.errno == errno.ENOENT
                counted = "lost_names" if is_lost else "failed_lookups"
                raise _CallError(counted, what, path, exc) from exc

    def compare(self, path: str, files: tuple[int, int, int], offset: int, size: int) -> None:
        """Read a range of a file and of its original, and count how they differ."""
        with self._readers.call(self._number, "read"):
            try:
                data = os.pread(files[0], size, offset)
            except OSError as exc:
                raise _CallError("failed_reads", f"read at {offset}", Path(path), exc) from exc
        self.judge(path, offset, data, os.pread(files[1], size, offset))

    def judge(self, path: str, offset: int, data: bytes, expected: bytes) -> None:
        """Count a read, right or wrong."""
        self._readers.note("reads", 1)
        self._readers.note("bytes", len(data))
        if len(data) < len(expected) and expected.startswith(data):
            # The kernel's answer where some pages came and the next one didn't.
            what = f"{len(data)} bytes instead of {len(expected)} of {path} at {offset}"
            self._readers.note("failed_reads", 1, what)
        elif data != expected:
            wrong = sum(one != other for one, other in zip(data, expected, strict=False))
            wrong += abs(len(expected) - len(data))
            what = f"{len(data)} bytes of {path} at {offset}: {wrong} wrong"
            self._readers.note("wrong_bytes", wrong, what)

    def check_names(self, directory: str) -> list[str]:
        """List a directory and compare its names."""
        with self.lookup("ls", self._readers.mounted / directory):
            found = sorted(os.listdir(self._readers.mounted / directory))
        expected = self.names(directory)
        self._readers.note("names", len(expected))
        lost = len(set(expected) ^ set(found))
        if lost:
            self._readers.note("lost_names", lost, f"{lost} names differ in {directory}")
        return expected

    def check_attributes(self, path: str) -> None:
        """Compare what `stat` says."""
        with self.lookup("stat", self._readers.mounted / path):
            found = os.stat(self._readers.mounted / path)
        expected = os.stat(self._readers.original / path)
        is_right = (found.st_size, int(found.st_mtime)) == (
            expected.st_size,
            int(expected.st_mtime),
        )
        self._readers.note("stats", 1)
        if not is_right:
            self._readers.note("wrong_bytes", 1, f"stat of {path} is wrong")

    def compare_mapped(self, path: str) -> None:
        """Map a file, and compare some of it. What can't be had ends this process (SIGBUS)."""
        with (
            self.opened(path) as files,
            mmap.mmap(files[0], 0, prot=mmap.PROT_READ) as mapped,
        ):
            for _ in range(8):
                offset = self.chance.randrange(files[2])
                size = self.chance.randrange(1, 100_000)
                with self._readers.call(self._number, "mmap"):
                    data = mapped[offset : offset + size]
                self.judge(path, offset, data, os.pread(files[1], size, offset))


def _sequential(reader: _Reader) -> None:
    path = reader.some(MOVIES)
    size = reader.chance.choice([65_536, 131_072, 1_000_003])
    with reader.opened(path) as files:
        for offset in range(0, files[2] + 1, size):
            if reader.is_over:
                return
            reader.compare(path, files, offset, size)


def _scattered(reader: _Reader) -> None:
    path = reader.some(reader.chance.choice([MOVIES, STACKS]))
    with reader.opened(path) as files:
        for _ in range(10):
            offset, size = reader.chance.randrange(files[2]), reader.chance.randrange(200_000)
            reader.compare(path, files, offset, size)


def _mapped(reader: _Reader) -> None:
    reader.compare_mapped(reader.some(reader.chance.choice([MOVIES, HEADERS])))


def _strided(reader: _Reader) -> None:
    path, first = reader.some(STACKS), reader.chance.randrange(10) * 100_000
    with reader.opened(path) as files:
        for offset in range(first, files[2], 1_048_576):
            if reader.is_over:
                return
            reader.compare(path, files, offset, 65_536)


def _stat(reader: _Reader) -> None:
    for _ in range(20):
        reader.check_attributes(reader.some(reader.chance.choice([MOVIES, STACKS, HEADERS])))
    reader.pause()


def _list(reader: _Reader) -> None:
    directory = reader.chance.choice([MOVIES, STACKS, HEADERS])
    for name in reader.check_names(directory)[:200]:
        reader.check_attributes(f"{directory}/{name}")
    reader.pause()


def _headers(reader: _Reader) -> None:
    names = reader.names(HEADERS)
    first = reader.chance.randrange(len(names))
    for name in names[first : first + 100]:
        if reader.is_over:
            return
        path = f"{HEADERS}/{name}"
        with reader.opened(path) as files:
            reader.compare(path, files, 0, 1_024)


_KINDS: Mapping[str, Callable[[_Reader], None]] = {
    "sequential": _sequential,
    "scattered": _scattered,
    "mapped": _mapped,
    "strided": _strided,
    "stat": _stat,
    "list": _list,
    "headers": _headers,
}
KINDS = tuple(_KINDS)


def _main(words: list[str]) -> None:
    kind, threads, mounted, original, statistics, seed = words
    readers = _Readers(Path(mounted), Path(original), Path(statistics), int(threads))
    readers.run(kind, int(seed))


if __name__ == "__main__":
    _main(sys.argv[1:])
