"""Gives memory that is free back to the system.

Buffers of many sizes come and go in many threads, and glibc gives back only what is free at
the end of its heap: a mount under 64 readers held 340 MB of which 200 were free. Asked to,
it gives back every free page, which takes some milliseconds.

Threading: one thread, `empiarfs-memory`, which holds no lock of ours.
"""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Callable

_EVERY_S = 10.0


def trim() -> bool:
    """Give free memory back; False where the C library can't."""
    # Errors and the frames that they came through hold each other, and by those frames what
    # a request had received: few objects, and so seldom collected, and many bytes. The oldest
    # generation, which takes long to go through, is left alone.
    gc.collect(1)
    try:
        give_back = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    give_back(0)
    return True


def keep_trimmed(over: threading.Event, give_back: Callable[[], bool] = trim) -> None:
    """Start a thread that gives free memory back, until `over` is set.

    Args:
        over: Ends it.
        give_back: Does it; False ends the thread at once.
    """
    threading.Thread(
        target=_repeat, args=(over, give_back), name="empiarfs-memory", daemon=True
    ).start()


def _repeat(over: threading.Event, give_back: Callable[[], bool]) -> None:
    while not over.wait(_EVERY_S) and give_back():
        pass
