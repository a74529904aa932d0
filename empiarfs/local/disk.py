"""Calls to a disk that may hang, such that no caller waits for long.

A parallel file system or an NFS server that is gone keeps whoever touches it in the kernel,
where nothing can end the wait. So all is done by threads that are allowed to hang, and waited
for during some seconds, but for reads of what the kernel has in memory: those are done at
once where the file system can promise that they don't wait (`RWF_NOWAIT`), and on one that is
in memory.

Threading: safe from any thread; `close` also from a finalizer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from empiarfs import threads
from empiarfs.cache.file_systems import is_in_memory
from empiarfs.cache.threads import CacheThreads
from empiarfs.local.opening import Identity, identity_of

T = TypeVar("T")

# As many as a file system over a network is worth asking at once.
_THREADS = 8
# A disk that is merely busy answers sooner, and the archive doesn't.
TIMEOUT_S = 3.0
# Waited for in one go: what a disk brings in that time even if it is slow.
_STEP = 4 * 1024 * 1024
_NOT_KNOWN = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Manner(Enum):
    """How an open file is read."""

    UNKNOWN = "unknown"
    AT_ONCE = "what the kernel has is read at once"
    DIRECT = "its file system is in memory"
    BY_THREADS = "each read may hang"


@dataclass(frozen=True, slots=True)
class Read:
    """What a read brought.

    Attributes:
        data: The bytes; fewer than were asked for only at the file's end.
        identity: The file's, after they were read.
        manner: How to read it the next time.
    """

    data: bytes
    identity: Identity
    manner: Manner


class Disk:
    """The disk of one directory.

    Args:
        name: What its threads are called.
    """

    def __init__(self, name: str) -> None:
        self._threads = CacheThreads(name, _THREADS)
        self._name = name
        self._lock = threading.Lock()
        self._closer: threading.Thread | None = None  # guarded by _lock
        # A finalizer may run anywhere, even inside `put`: this queue allows for that.
        self._to_close: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ended = False

    def call(self, work: Callable[[], T]) -> T:
        """Have `work` done by a thread that may hang; return or raise what it does.

        Raises:
            TooSlowError: It took too long.
            CacheError: The disk was closed.
        """
        self._start_closer()
        return self._threads.call(work, TIMEOUT_S)

    def read(self, descriptor: int, start: int, stop: int, manner: Manner) -> Read:
        """Read the bytes `[start, stop)` of an open file.

        The descriptor must stay open until it returns or times out. A read that timed out may
        still be under way when it is closed: its result is never looked at.

        Raises:
            TooSlowError: The disk took too long.
            OSError: It failed.
        """
        parts: list[bytes] = []
        while True:
            size = min(_STEP, stop - start)
            part = self._read_step(descriptor, start, size, manner)
            parts.append(part.data)
            start, manner = start + size, part.manner
            if start >= stop or len(part.data) < size:
                return Read(b"".join(parts), part.identity, manner)

    def _read_step(self, descriptor: int, start: int, size: int, manner: Manner) -> Read:
        if manner in (Manner.UNKNOWN, Manner.AT_ONCE):
            try:
                buffer = bytearray(size)
                found = os.preadv(descriptor, [buffer], start, os.RWF_NOWAIT)
                manner = Manner.AT_ONCE
                if found == size:
                    return Read(bytes(buffer), identity_of(descriptor), manner)
            except BlockingIOError:
                manner = Manner.AT_ONCE
            except OSError as exc:
                if exc.errno not in _NOT_KNOWN:
                    raise
                manner = Manner.DIRECT if is_in_memory(descriptor) else Manner.BY_THREADS
        if manner is Manner.DIRECT:
            return _read_now(descriptor, start, size, manner)
        return self.call(lambda: _read_now(descriptor, start, size, manner))

    def close(self, descriptor: int) -> None:
        """Close a file, some time; after `end`, at once."""
        if self._ended or self._closer is None:
            _close(descriptor)
        else:
            self._to_close.put(descriptor)

    def end(self, timeout_s: float) -> None:
        """Close what waits to be closed, and end the threads, unless they hang."""
        self._ended = True
        # One that hangs isn't waited for longer because others do.
        self._threads.close(timeout_s / _THREADS)
        with self._lock:
            closer = self._closer
        if closer is not None:
            self._to_close.put(-1)
            closer.join(timeout_s)

    def _start_closer(self) -> None:
        if self._closer is None:
            with self._lock:
                if self._closer is None:
                    self._closer = threads.start(f"{self._name}-close", self._close_all)

    def _close_all(self) -> None:
        while (descriptor := self._to_close.get()) >= 0:
            _close(descriptor)


def _close(descriptor: int) -> None:
    # A file system that is gone says so here, too; the number is free all the same.
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _read_now(descriptor: int, start: int, size: int, manner: Manner) -> Read:
    data = os.pread(descriptor, size, start)
    while data and len(data) < size:
        more = os.pread(descriptor, size - len(data), start + len(data))
        if not more:
            break
        data += more
    return Read(data, identity_of(descriptor), manner)
