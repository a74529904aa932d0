"""Which programs read how much, and what became of their reads, for `status`.

Bytes count for the process that opened the file, as the kernel asks for them: what it has in
its own cache is never seen here. A look into /proc is made when a file is opened, at most
once a second for each thread; a read costs an addition.

Of no more than 256 processes anything is kept; those that have nothing open and read longest
ago are forgotten first. `empiarfs.fuse.reads` says what is kept of reads.

Threading: safe from any thread; /proc is read without the lock. What is open and under way is
also looked up without it, which for a dictionary is one step of the interpreter.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from empiarfs.core.waits import Wait
from empiarfs.fuse.callers import is_gone, program_of
from empiarfs.fuse.reads import SHOWN, FileReads, Reading, Reads, sum_of

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True, slots=True)
class Closed:
    """A file that a process has closed.

    Attributes:
        process: Its number.
        program: Its name, or "".
        path: The file's path in the mount.
        size: Its bytes.
        read: How many bytes of it were read.
        opened_s: When it was opened, in seconds since 1970,
        closed_s: and closed.
    """

    process: int
    program: str
    path: str
    size: int
    read: int
    opened_s: float
    closed_s: float


@dataclass(slots=True)
class _Opened:
    reader: _Reader | None
    file: FileReads
    size: int = 0
    opened_s: float = 0.0
    read_bytes: int = 0


_UNKNOWN = _Opened(None, FileReads(""))


class Readers:
    """Takes down which process reads how much.

    Args:
        program: Returns the process that a thread belongs to, and its name.
        now: Wall-clock seconds since 1970.
        closed: Told of each file that a process closes, if it was told how long that is.
    """

    def __init__(
        self,
        program: Callable[[int], tuple[int, str]] = program_of,
        now: Callable[[], float] = time.time,
        closed: Callable[[Closed], None] = lambda file: None,
    ) -> None:
        self._program = program
        self._now = now
        self._closed = closed
        self._lock = threading.Lock()
        # By process and name: numbers are used again. The last to open a file is the last.
        self._readers: OrderedDict[tuple[int, str], _Reader] = OrderedDict()  # guarded by _lock
        self._handles: dict[int, _Opened] = {}  # changed under _lock
        self._reads = Reads()  # guarded by _lock
        self._under_way: dict[int, Reading] = {}
        self._threads: dict[int, tuple[float, tuple[int, str]]] = {}  # guarded by _lock

    def opened(self, handle: int, pid: int, path: str = "", size: int = 0) -> None:
        """Note that a process or thread has opened a file; 0 is one that can't be seen."""
        reader = self._reader(pid) if pid else None
        with self._lock:
            if reader is not None:
                self._readers.move_to_end((reader.process, reader.program))
                reader.files += 1
                reader.open_files += 1
            self._handles[handle] = _Opened(reader, self._reads.opened(path), size, self._now())

    def _reader(self, pid: int) -> _Reader:
        now_s = self._now()
        with self._lock:
            known = self._threads.get(pid)
        if known is None or not 0 <= now_s - known[0] < _KNOWN_S:
            known = now_s, self._program(pid)
        with self._lock:
            if len(self._threads) >= _THREADS_KEPT:
                self._threads.clear()
            self._threads[pid] = known
            reader = self._readers.get(known[1])
            if reader is None:
                reader = self._readers[known[1]] = _Reader(*known[1], now_s, now_s)
                # Or it would be the first to be forgotten.
                reader.open_files += 1
                self._forget_some()
                reader.open_files -= 1
            reader.last_s = now_s
            return reader

    def begin(self, handle: int, offset: int, size: int) -> Reading:
        """Note that a read of an open file begins; `ended` or `failed` must be called."""
        opened = self._handles.get(handle, _UNKNOWN)
        who = opened.reader
        process, program = (0, "") if who is None else (who.process, who.program)
        reading = Reading(opened.file, process, program, offset, size)
        self._under_way[id(reading)] = reading
        return reading

    def begin_anew(self, reading: Reading) -> None:
        """Forget a read that is tried anew."""
        self._under_way.pop(id(reading), None)

    def ended(self, handle: int, reading: Reading, size: int) -> None:
        """Note that so many bytes were handed out."""
        self._end(handle, reading, size)

    def failed(self, handle: int, reading: Reading, error: BaseException, number: str) -> None:
        """Note that a read failed, and which errno the program got."""
        self._end(handle, reading, 0, error, number)

    def _end(
        self,
        handle: int,
        reading: Reading,
        size: int,
        error: BaseException | None = None,
        number: str = "",
    ) -> None:
        self._under_way.pop(id(reading), None)
        now_s = self._now()
        with self._lock:
            opened = self._handles.get(handle)
            if opened is not None:
                opened.read_bytes += size
                if opened.reader is not None:
                    opened.reader.read_bytes += size
                    opened.reader.last_s = now_s
            if reading.file is not _UNKNOWN.file:
                self._reads.ended(reading, now_s, error, number)

    def looked_up(
        self,
        call: str,
        path: str,
        pid: int,
        began_s: float,
        error: BaseException | None = None,
        number: str = "",
    ) -> None:
        """Note that a look-up was slow, or failed.

        Args:
            call: What the program asked for, as "open".
            path: Of what, in the mount.
            pid: The process or thread that asked; 0 if that can't be seen.
            began_s: When, by the monotonic clock.
            error: Why it failed, or None.
            number: Which errno the program got, or "".
        """
        process, program = self._program(pid) if pid else (0, "")
        # Nobody else has it, so that the lock isn't needed yet.
        looking = Reading(FileReads(path), process, program, None, None, call, began_s)
        looking.account.add(Wait.NAMES, time.monotonic() - began_s)
        now_s = self._now()
        with self._lock:
            self._reads.ended(looking, now_s, error, number)

    def released(self, handle: int) -> None:
        """Note that a file was closed."""
        with self._lock:
            opened = self._handles.pop(handle, None)
            if opened is None or opened.reader is None:
                return
            who = opened.reader
            who.open_files -= 1
        if opened.size:
            self._tell_closed(opened, who)

    def _tell_closed(self, opened: _Opened, who: _Reader) -> None:
        file = Closed(
            who.process,
            who.program,
            opened.file.path,
            opened.size,
            opened.read_bytes,
            opened.opened_s,
            self._now(),
        )
        try:
            self._closed(file)
        except Exception:
            # The file has to be closed, whatever becomes of this.
            logger.exception("who reads %r could not be taken down", file.path)

    def reads_of(
        self,
        belongs: Callable[[str], bool],
        leads: Callable[[str], bool] = lambda path: False,
    ) -> dict[str, object]:
        """Return what is known of reads of files, as values that JSON can hold.

        Args:
            belongs: Tells by a file's path whether it is meant.
            leads: Tells whether a path leads to what is meant: who looks that up waits for it.
        """
        with self._lock:
            files = [replace(file) for file in self._reads.files() if belongs(file.path)]
            slow = [
                each
                for each in self._reads.slow()
                if belongs(str(each["path"]))
                or (each["call"] != "read" and leads(str(each["path"])))
            ]
        under_way = [each for each in list(self._under_way.values()) if belongs(each.file.path)]
        return {
            "reads": sum_of(files),
            "slow_reads": slow[-SHOWN:],
            "under_way": [each.as_json() for each in under_way[:SHOWN]],
        }

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
