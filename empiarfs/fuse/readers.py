"""Which programs read how much, for `status`.

Bytes count for the process that opened the file, as the kernel asks for them: what it has in
its own cache is never seen here. A look into /proc is made when a file is opened, at most
once a second for each thread; a read costs an addition.

Of no more than 256 processes anything is kept; those that have nothing open and read longest
ago are forgotten first.

Threading: safe from any thread; /proc is read without the lock.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from empiarfs.fuse.callers import is_gone, program_of

_KEPT = 256
_SHOWN = 10
_KNOWN_S = 1.0
_THREADS_KEPT = 1024


@dataclass(slots=True)
class _Reader:
    process: int
    program: str
    began_s: float
    last_s: float
    read_bytes: int = 0
    files: int = 0
    open_files: int = 0


class Readers:
    """Takes down which process reads how much.

    Args:
        program: Returns the process that a thread belongs to, and its name.
        now: Wall-clock seconds since 1970.
    """

    def __init__(
        self,
        program: Callable[[int], tuple[int, str]] = program_of,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._program = program
        self._now = now
        self._lock = threading.Lock()
        # By process and name: numbers are used again. The last to open a file is the last.
        self._readers: OrderedDict[tuple[int, str], _Reader] = OrderedDict()  # guarded by _lock
        self._handles: dict[int, _Reader] = {}  # guarded by _lock
        self._threads: dict[int, tuple[float, tuple[int, str]]] = {}  # guarded by _lock

    def opened(self, handle: int, pid: int) -> None:
        """Note that a process or thread has opened a file; 0 is one that can't be seen."""
        if not pid:
            return
        now_s = self._now()
        with self._lock:
            known = self._threads.get(pid)
        if known is None or not 0 <= now_s - known[0] < _KNOWN_S:
            known = now_s, self._program(pid)
        with self._lock:
            if len(self._threads) >= _THREADS_KEPT:
                self._threads.clear()
            self._threads[pid] = known
            process, name = known[1]
            reader = self._readers.get(known[1])
            if reader is None:
                reader = self._readers[known[1]] = _Reader(process, name, now_s, now_s)
                self._forget_some()
            self._readers.move_to_end(known[1])
            reader.files += 1
            reader.open_files += 1
            reader.last_s = now_s
            self._handles[handle] = reader

    def read(self, handle: int, size: int) -> None:
        """Note that bytes of a file were handed out."""
        now_s = self._now()
        with self._lock:
            reader = self._handles.get(handle)
            if reader is not None:
                reader.read_bytes += size
                reader.last_s = now_s

    def released(self, handle: int) -> None:
        """Note that a file was closed."""
        with self._lock:
            reader = self._handles.pop(handle, None)
            if reader is not None:
                reader.open_files -= 1

    def as_json(self) -> list[dict[str, object]]:
        """Return those that read most, as values that JSON can hold, the most first."""
        with self._lock:
            most = sorted(self._readers.values(), key=lambda each: -each.read_bytes)[:_SHOWN]
            found = [
                {
                    "pid": each.process,
                    "program": each.program,
                    "read_bytes": each.read_bytes,
                    "files": each.files,
                    "open_files": each.open_files,
                    "began_s": each.began_s,
                    "last_s": each.last_s,
                }
                for each in most
            ]
        return [{**each, "has_ended": is_gone(int(str(each["pid"])))} for each in found]

    def _forget_some(self) -> None:
        # The caller holds _lock.
        for key in list(self._readers):
            if len(self._readers) <= _KEPT:
                return
            if not self._readers[key].open_files:
                del self._readers[key]
