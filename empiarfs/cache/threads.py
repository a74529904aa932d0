"""A few threads that do the disk's work, so that no caller waits longer than it chose.

A disk can hang for minutes (a dead NFS server, a dying drive), and whoever touches it then
hangs in the kernel, where nothing can end the wait. So the work is done by threads that are
allowed to hang; a caller waits for its result for a limited time and goes on without it.
diskcache keeps a connection for each thread, too: few threads mean few connections.

The threads start at the first piece of work, not before, since threads don't survive a
fork. They are daemons, so that one which hangs doesn't keep the interpreter from ending.

Threading: safe from any thread; `call` must not be used from one of the threads themselves.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from empiarfs import threads
from empiarfs.errors import CacheError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class TooSlowError(CacheError):
    """The work wasn't done in the time given; it may still be done later, or never."""


class CacheThreads:
    """Runs pieces of work in the order given, on a fixed number of threads.

    Args:
        name: What the threads are called.
        count: How many there are.
        at_end: Run by each thread before it ends.
    """

    def __init__(self, name: str, count: int, at_end: Callable[[], None] = lambda: None) -> None:
        self._name = name
        self._count = count
        self._at_end = at_end
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []  # guarded by _lock
        self._closed = False  # guarded by _lock
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = (
            queue.SimpleQueue()
        )

    def call(self, work: Callable[[], T], timeout_s: float) -> T:
        """Have `work` done, and return or raise what it returns or raises.

        Raises:
            TooSlowError: It wasn't done within `timeout_s`. If it hadn't begun, it never
                will.
            CacheError: The threads were closed.
        """
        done = self.submit(work)
        try:
            return done.result(timeout_s)
        except FutureTimeoutError:
            if not done.cancel() and done.done():
                return done.result()  # it ended just now, or raised a TimeoutError of its own
            raise TooSlowError(f"no answer within {timeout_s:g} s") from None

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Have `work` done some time; return its future.

        Raises:
            CacheError: The threads were closed, or can't be started.
        """
        done: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise CacheError(f"the {self._name} threads are closed")
            if len(self._threads) < self._count:
                self._start()
            if not self._threads:
                raise CacheError(f"there is no {self._name} thread")
            self._work.put((done, work))
        return done

    def close(self, timeout_s: float) -> None:
        """Let the threads end after what is queued; wait for that for at most `timeout_s`."""
        with self._lock:
            self._closed = True
            started = self._threads
            for _ in started:
                self._work.put(None)
        for thread in started:
            thread.join(timeout_s)

    def _start(self) -> None:
        thread = threads.start(f"{self._name}-{len(self._threads)}", self._run)
        if thread is not None:
            self._threads.append(thread)

    def _run(self) -> None:
        while True:
            item = self._work.get()
            if item is None:
                break
            _do(*item)
            # An idle thread must not keep the last block, or the last error's frames, alive.
            del item
        try:
            self._at_end()
        except Exception:
            logger.debug("ending a %s thread", self._name, exc_info=True)


def _do(done: Future[Any], work: Callable[[], Any]) -> None:
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(work())
    except BaseException as exc:
        done.set_exception(exc)
