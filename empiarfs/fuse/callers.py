"""Who made a request, and whether they still wait for its answer.

The kernel sends an interrupt for every signal that reaches a waiting process, also when a
terminal is resized (SIGWINCH) or a child ends (SIGCHLD). A `stat()` that fails with EINTR
for those breaks programs that never heard of EINTR there. So an interrupt counts only if
the process has a signal pending that ends it, or one by which people stop programs.

A process that is gone waits for nothing, and its request is given up at once.

Threading: a `Caller` may be asked from any thread; the kernel's interrupt is looked at only
in the thread that serves the request, since libfuse knows the request by its thread.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from empiarfs.fuse import library

_STOPPING = frozenset(
    (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
)
# Signals that by default don't end a process (signal(7)).
_HARMLESS = frozenset(
    (
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGURG,
        signal.SIGWINCH,
        signal.SIGSTOP,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
    )
)


def _mask(signals: frozenset[signal.Signals]) -> int:
    return sum(1 << (number - 1) for number in signals)


_KILL_MASK = _mask(frozenset((signal.SIGKILL,)))
_STOPPING_MASK = _mask(_STOPPING)
_HARMLESS_MASK = _mask(_HARMLESS)


def is_being_stopped(status: bytes) -> bool:
    """Tell from the text of `/proc/PID/status` whether a pending signal stops the process.

    Those that it blocks don't count, nor those that it catches, but for the signals by
    which people stop programs.
    """
    masks = {"SigPnd": 0, "ShdPnd": 0, "SigBlk": 0, "SigIgn": 0, "SigCgt": 0}
    for line in status.splitlines():
        name, _, value = line.partition(b":")
        key = name.decode("ascii", "replace")
        if key in masks:
            masks[key] = int(value, 16)
    pending = masks["SigPnd"] | masks["ShdPnd"]
    if pending & _KILL_MASK:
        return True
    pending &= ~(masks["SigBlk"] | masks["SigIgn"])
    fatal = pending & ~masks["SigCgt"] & ~_HARMLESS_MASK
    return bool(fatal or pending & _STOPPING_MASK)


def is_gone(pid: int) -> bool:
    """Tell whether there is no process or thread of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def program_of(pid: int) -> tuple[int, str]:
    """Return the process that a thread belongs to, and its name; (0, "") if they aren't known."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = dict(line.split(b":\t", 1) for line in file.read(512).splitlines()[:4])
        process = int(lines[b"Tgid"])
        with open(f"/proc/{process}/comm", "rb") as file:
            return process, file.read(64).decode(errors="replace").rstrip("\n")
    except (OSError, ValueError, KeyError):
        # Gone, or of another PID namespace, or hidden from us.
        return (pid, "") if pid else (0, "")


class Caller:
    """The process that waits for the answer to one request.

    Args:
        pid: Its process or thread, as libfuse says; 0 for one that can't be seen from here.
        ending: Tells whether the mount ends, so that nobody should wait for anything.
        interrupted: Tells whether the kernel has sent an interrupt; asked in the thread
            that made this object only.
    """

    __slots__ = ("_ending", "_interrupted", "_thread", "pid")

    def __init__(
        self, pid: int, ending: Callable[[], bool], interrupted: Callable[[], bool]
    ) -> None:
        self.pid = pid
        self._ending = ending
        self._interrupted = interrupted
        self._thread = threading.get_ident()

    def has_left(self) -> bool:
        """Tell whether the answer isn't waited for any more."""
        if self._ending():
            return True
        # 0 stands for a process of another PID namespace: it can't be asked about, and
        # answering EINTR to every signal would be worse than to let it wait.
        if self.pid == 0:
            return False
        if is_gone(self.pid):
            return True
        if threading.get_ident() != self._thread or not self._interrupted():
            return False
        try:
            with open(f"/proc/{self.pid}/status", "rb") as file:
                return is_being_stopped(file.read())
        except OSError:
            # Gone in between, or /proc shows us only our own (hidepid).
            return is_gone(self.pid)

    def program(self) -> tuple[int, str]:
        """Return the number and the name of the process, as far as they can be known."""
        return program_of(self.pid)


def current_caller(ending: Callable[[], bool]) -> Caller:
    """Return who made the request that this thread serves; there must be one."""
    return Caller(library.caller_pid(), ending, library.interrupted)
