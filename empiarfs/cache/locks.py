"""Locks between processes: `flock` on files, waited for with a bound.

A lock belongs to an open file, so it goes with its process however that ends. Each use
opens the file anew: two threads with one descriptor would both hold the lock.

Threading: a lock may be taken by any thread; it is held by the `with` block.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from empiarfs.errors import CacheError

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
# A process that waits in `flock` can't give up; held locks are held for milliseconds.
LOCK_POLL_S = 0.005


class BusyError(CacheError):
    """Somebody else holds the lock for longer than we wait."""


def try_lock(path: str) -> int | None:
    """Return a descriptor that holds the lock at `path`, or None if another holds it."""
    descriptor = os.open(path, _OPEN, 0o600)
    try:
        if try_lock_descriptor(descriptor):
            held, descriptor = descriptor, -1
            return held
        return None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def try_lock_descriptor(descriptor: int) -> bool:
    """Take the exclusive lock on an open file or folder, if nobody else has one."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: str, timeout_s: float) -> Iterator[None]:
    """Hold the lock at `path`.

    Raises:
        BusyError: Another held it for all of `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() >= deadline:
            raise BusyError(f"{path} is locked by another process")
        # A lock that is waited for in the kernel can't be given up when the time is over.
        time.sleep(LOCK_POLL_S)
    try:
        yield
    finally:
        os.close(descriptor)
