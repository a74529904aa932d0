"""Makes the kernel forget what it holds of a file that has changed in the archive.

The kernel keeps attributes for an hour and pages as long as it likes, and so must be told.
Telling it may wait for pages of that file which are being read, that is for answers of
ours: done in a thread that has a request to answer, this has frozen other file systems for
good. So it is done in a thread of its own, and who asks for it waits for a bounded time.

On libfuse 2, which can't do this, the timeouts are one second and nothing is done here.

Threading: safe from any thread. `_session_lock` is held while libfuse's session is used, so
that it isn't freed meanwhile; `_lock` guards the list of what is to be done. Neither is
taken while the other is held.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque
from collections.abc import Callable

from empiarfs.fuse import library

logger = logging.getLogger(__name__)

Invalidate = Callable[[int, bytes], int]


class Invalidator:
    """A thread that invalidates paths, each as soon as those before it are done.

    Args:
        invalidate: Does it: called with libfuse's session and the path, it returns 0 or a
            negative errno.
    """

    def __init__(self, invalidate: Invalidate = library.invalidate_path) -> None:
        self._invalidate = invalidate
        self._lock = threading.Condition()
        self._waiting: deque[str] = deque()  # guarded by _lock
        self._done: dict[str, threading.Event] = {}  # of those that wait; guarded by _lock
        self._ended = False  # guarded by _lock
        self._session_lock = threading.Lock()
        self._session = 0  # 0: there is none; guarded by _session_lock

    def start(self, session: int) -> None:
        """Start the thread for libfuse's session."""
        with self._session_lock:
            self._session = session
        threading.Thread(target=self._run, name="empiarfs-invalidation", daemon=True).start()

    def forget(self, path: str, wait_s: float) -> None:
        """Make the kernel forget `path`, a path as programs see it, without leading slash.

        Args:
            path: What has changed.
            wait_s: How long to wait for it to be done, in seconds; 0 not to wait.
        """
        with self._lock:
            if self._ended:
                return
            done = self._done.get(path)
            if done is None:
                done = self._done[path] = threading.Event()
                self._waiting.append(path)
                self._lock.notify()
        if wait_s and not done.wait(wait_s):
            logger.warning("the kernel still reads the old version of %r", path)

    def stop(self) -> None:
        """End the thread; libfuse's session isn't used any more when this returns."""
        with self._lock:
            self._ended = True
            self._lock.notify()
        # A call that waits for pages ends when the kernel ends the connection, so this is
        # short; without a limit a kernel that doesn't would keep us from ending.
        if self._session_lock.acquire(timeout=5):
            self._session = 0
            self._session_lock.release()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting or self._ended)
                if self._ended:
                    self._release_all()
                    return
                path = self._waiting.popleft()
                # From here on a further change of the same file needs another round.
                done = self._done.pop(path)
            try:
                self._forget_now(path)
            except Exception:
                logger.exception("cannot make the kernel forget %r", path)
            done.set()

    def _forget_now(self, path: str) -> None:
        with self._session_lock:
            if not self._session:
                return
            raw = b"/" + path.encode("utf-8", "surrogateescape")
            code = self._invalidate(self._session, raw)
        # ENOENT: the kernel doesn't hold it, which is just as well.
        if code not in (0, -errno.ENOENT):
            logger.warning("the kernel did not forget %r: errno %d", path, -code)

    def _release_all(self) -> None:
        self._waiting.clear()
        for done in self._done.values():
            done.set()
        self._done.clear()
