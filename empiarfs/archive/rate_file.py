"""The one number that all processes below a limit share: up to when is paid.

It stands in a file of eight bytes in /dev/shm, which every user may write, since the mount of
a facility runs as another user than the commands of its guests. The file is named after the
network namespace, as the connection slots belong to one: what shares an address shares the
limit. The clock is the machine's monotonic one, the same for all processes.

    what happens                           what it costs
    -------------------------------------  -------------------------------------------------
    a process dies, at any moment          the bytes that it had paid for; the kernel takes
                                           its lock back
    the file is removed, as systemd does   up to a second in which two files count
    when its owner logs out
    the lock is held, by one who was       nothing after `_PATIENCE_S`: the number of this
    stopped right then                     process counts until the lock is free
    the file can't be had, or isn't one    the same, and a line in the log
    that anybody may share

Any user of the machine can write nonsense into it, as he can take all connection slots: that
slows the others down by a minute at most at a time, and never lets them hang.

Threading: one lock, held for some system calls on a file in memory; whoever has to wait for
the file's lock waits without it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import stat
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

_FOLDER = Path("/dev/shm")
_NUMBER = struct.Struct("<q")
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MODE = 0o666
# How often to look whether the path still leads to the file that is open.
_LOOK_S = 1.0
# A critical section takes some microseconds: who is in it for so long was stopped.
_PATIENCE_S = 0.2

Step = Callable[[int], tuple[int, int]]


def machine_file(prefix: str) -> Path:
    """Return where the processes of this network namespace share the number.

    Args:
        prefix: First word of the name, that of the connection slots.
    """
    try:
        namespace = str(os.stat("/proc/self/ns/net").st_ino)
    except OSError:  # no /proc: then nobody else has a namespace of his own, either
        namespace = "0"
    return _FOLDER / f"{prefix}-rate-{namespace}"


class RateFile:
    """The shared number.

    Args:
        path: The file; made when it is first needed.
        clock: Seconds, monotonic, for looking after the file only.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._descriptor = -1  # guarded by _lock
        self._looked_s = -_LOOK_S  # guarded by _lock
        self._own = 0  # guarded by _lock; the last number known, for when there is no file
        self._stuck_since_s: float | None = None  # guarded by _lock
        self._warned = False  # guarded by _lock
        self._closed = False  # guarded by _lock

    def change(self, step: Step) -> int | None:
        """Replace the number by what `step` makes of it, with nobody in between.

        Args:
            step: Takes the number; returns its successor and something for the caller. Not
                called if the file is locked at the moment.

        Returns:
            The latter, or None if another process has the lock: try again in a moment.
        """
        with self._lock:
            self._look()
            if self._descriptor < 0:
                return self._change_own(step)
            try:
                return self._change_shared(step)
            except BlockingIOError:
                return self._while_locked(step)
            except OSError as exc:
                self._give_up(exc)
                return self._change_own(step)

    def close(self) -> None:
        """Let go of the file; it stays, with eight bytes, for those who come later."""
        with self._lock:
            self._closed = True
            self._release()

    def _change_own(self, step: Step) -> int:
        self._own, answer = step(self._own)
        return answer

    def _change_shared(self, step: Step) -> int:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            self._stuck_since_s = None
            raw = os.pread(self._descriptor, _NUMBER.size, 0)
            # Shorter: nobody has written yet, or somebody who isn't us has.
            number = _NUMBER.unpack(raw)[0] if len(raw) == _NUMBER.size else 0
            self._own, answer = step(number)
            if self._own != number:
                os.pwrite(self._descriptor, _NUMBER.pack(self._own), 0)
            return answer
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _while_locked(self, step: Step) -> int | None:
        now_s = self._clock()
        if self._stuck_since_s is None:
            self._stuck_since_s = now_s
        if now_s - self._stuck_since_s < _PATIENCE_S:
            return None
        return self._change_own(step)

    def _look(self) -> None:
        """Open the file, or open it anew if the path leads to another one by now."""
        now_s = self._clock()
        if self._closed or now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        try:
            if self._descriptor >= 0 and not _is_at(self._descriptor, self._path):
                self._release()
            if self._descriptor < 0:
                self._descriptor = _open(self._path)
        except OSError as exc:
            self._give_up(exc)

    def _give_up(self, exc: OSError) -> None:
        self._release()
        if not self._warned:
            self._warned = True
            logger.warning(
                "--limit-rate counts for this process only, since %s can't be shared: %s",
                self._path,
                exc.strerror or exc,
            )

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _open(path: Path) -> int:
    """Open the file, which may be another user's; make it if there is none.

    Raises:
        OSError: It can't be opened, or isn't a file that was made for this.
    """
    try:
        # Without O_CREAT: with it, the kernel refuses files of others in such a folder.
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        return _make(path)
    try:
        _check(descriptor, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _make(path: Path) -> int:
    try:
        descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        return os.open(path, _FLAGS)
    os.fchmod(descriptor, _MODE)  # whatever the umask is
    return descriptor


def _check(descriptor: int, path: Path) -> None:
    status = os.fstat(descriptor)
    # Somebody may have laid a name of another file here, so that we write into that.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or status.st_size > _NUMBER.size:
        raise OSError(errno.EINVAL, "not a file of eight bytes", os.fspath(path))


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
