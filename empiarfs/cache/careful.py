"""Reads and closes block files such that no caller hangs, whatever the disk does.

Who touches a disk that hangs (a dying drive, a dead server, a frozen volume) stays in the
kernel, where nothing can end the wait. So callers touch it only where they can't wait:

    what                    where
    ----------------------  ------------------------------------------------------------
    a read of bytes that    in the caller's thread, by `RWF_NOWAIT`: 10 µs for 128 KiB
    the kernel has          where `pread` takes 5
    any other read          by a thread that may hang; the caller waits for it for a
                            limited time. 60 µs more than the disk takes
    a close                 by a thread of its own: the last close of a block that was
                            evicted is what removes its bytes, and writes to the disk

Where the file system doesn't know `RWF_NOWAIT` all reads go to the threads, except on one
that is in memory, which can't hang.

Threading: safe from any thread; `close` from a finalizer, too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
from collections.abc import Callable
from typing import Protocol

from empiarfs.cache.file_systems import is_in_memory
from empiarfs.cache.threads import CacheThreads
from empiarfs.errors import CacheError

# As many as a disk is worth asking at once; only what the kernel hasn't got comes here.
_THREADS = 8
_READ_TIMEOUT_S = 1.5
_NOT_KNOWN = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Reads(Protocol):
    """What reads and closes the files of blocks."""

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        """Return what `os.pread` does.

        Raises:
            TooSlowError: The disk took too long.
            OSError: It failed.
        """
        ...

    def close(self, descriptor: int) -> None:
        """Close the file, some time."""
        ...


class DirectReads:
    """Reads and closes in the caller's thread: for those that may hang."""

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        """See `Reads.pread`."""
        return os.pread(descriptor, size, offset)

    def close(self, descriptor: int) -> None:
        """See `Reads.close`."""
        os.close(descriptor)


class CarefulReads:
    """Keeps callers from hanging, as the module says.

    Args:
        succeeded: Called after each read.
        failed: Called with the reason if a read failed or took too long.
    """

    def __init__(
        self,
        succeeded: Callable[[], None] = lambda: None,
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._succeeded = succeeded
        self._failed = failed
        self._threads = CacheThreads("cache-disk", _THREADS)
        self._knows_nowait = True
        self._is_in_memory = False
        self._lock = threading.Lock()
        self._closer: threading.Thread | None = None  # guarded by _lock
        # A finalizer may run anywhere, even inside `put`: this queue allows for that.
        self._to_close: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ended = False

    def start(self) -> None:
        """Start the thread that closes; to be called before the first file is opened."""
        with self._lock:
            if self._closer is None and not self._ended:
                self._closer = threading.Thread(
                    target=self._close_all, name="empiarfs-cache-close", daemon=True
                )
                self._closer.start()

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        """See `Reads.pread`; the descriptor must stay open until it returns or times out.

        A read that timed out may still be under way when the descriptor is closed, and its
        number belongs to another file then: its result is never looked at.
        """
        try:
            data = self._pread(descriptor, size, offset)
        except (CacheError, OSError) as exc:
            self._failed(exc)
            raise
        self._succeeded()
        return data

    def close(self, descriptor: int) -> None:
        """See `Reads.close`; after `end` it is closed at once."""
        if self._ended or self._closer is None:
            os.close(descriptor)
        else:
            self._to_close.put(descriptor)

    def end(self, timeout_s: float) -> None:
        """Close what waits to be closed, and end the threads."""
        self._ended = True
        with self._lock:
            closer = self._closer
        if closer is not None:
            self._to_close.put(-1)
            closer.join(timeout_s)
        self._threads.close(timeout_s)

    def _pread(self, descriptor: int, size: int, offset: int) -> bytes:
        if self._is_in_memory:
            return os.pread(descriptor, size, offset)
        if self._knows_nowait:
            data = self._pread_at_once(descriptor, size, offset)
            if data is not None:
                return data
        return self._threads.call(lambda: os.pread(descriptor, size, offset), _READ_TIMEOUT_S)

    def _pread_at_once(self, descriptor: int, size: int, offset: int) -> bytes | None:
        """Return the bytes if the kernel has all of them."""
        buffer = bytearray(size)
        try:
            found = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError as exc:
            if exc.errno not in _NOT_KNOWN:
                raise
            self._is_in_memory = is_in_memory(descriptor)
            self._knows_nowait = False
            return None
        return bytes(buffer) if found == size else None

    def _close_all(self) -> None:
        while (descriptor := self._to_close.get()) >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)
