"""Gives memory that is free back to the system, and finds what only seems to be in use.

Buffers of many sizes come and go in many threads, and glibc gives back only what is free at
the end of its heap: a mount under 64 readers held 470 MB of which 384 were free. Asked to,
it gives back every free page, which takes some milliseconds in a thread that holds no lock of
the interpreter's; it is asked whenever memory has grown by a little.

Errors and the frames that they came through hold each other, and by those frames what a
request had received: few objects, and so seldom collected, and many bytes. Such circles are
undone where they are known (`errors.without_frames`); libraries have more. A full collection
takes some 20 ms, for which everything stands still, so it is done only once memory has grown
by a good deal. Collecting young objects alone would be worse: what is in use just then is
taken for old.

Threading: one thread, `empiarfs-memory`, which holds no lock of ours.
"""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_EVERY_S = 10.0
# Half of what a mount with much to do holds anyway.
_MUCH = 64 * 1024 * 1024
_A_LITTLE = 4 * 1024 * 1024


def resident() -> int:
    """Return the bytes of memory that this process has for itself; 0 if that isn't known."""
    with suppress(OSError, ValueError, IndexError):
        words = Path("/proc/self/statm").read_bytes().split()
        return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGESIZE")
    return 0


def trim() -> None:
    """Give back what is free, and what is in use by nothing but itself."""
    gc.collect()
    give_back_free()


def give_back_free() -> None:
    """Give back what is free."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def keep_trimmed(
    over: threading.Event,
    collect: Callable[[], None] = trim,
    give_back: Callable[[], None] = give_back_free,
    measure: Callable[[], int] = resident,
) -> None:
    """Start a thread that gives memory back whenever it has grown, until `over` is set.

    Args:
        over: Ends it.
        collect: Called where it has grown by much.
        give_back: Called where it has grown by a little.
        measure: Returns the bytes in use.
    """
    threading.Thread(
        target=_repeat,
        args=(over, collect, give_back, measure),
        name="empiarfs-memory",
        daemon=True,
    ).start()


def _repeat(
    over: threading.Event,
    collect: Callable[[], None],
    give_back: Callable[[], None],
    measure: Callable[[], int],
) -> None:
    collected = given_back = measure()
    while not over.wait(_EVERY_S):
        now = measure()
        if now - collected > _MUCH:
            collect()
            collected = given_back = measure()
        elif now - given_back > _A_LITTLE:
            give_back()
            given_back = measure()
        collected, given_back = min(collected, now), min(given_back, now)
