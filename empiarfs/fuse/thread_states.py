"""Keeps what the interpreter needs for a thread of libfuse's, from one request to the next.

libfuse's threads aren't Python's. For each call from one of them the interpreter makes a
thread state, with a stack of its own that is mapped into memory, and removes it after the
answer: some 15 % of the processor time that a read from the cache takes. A state that was
asked for once more than it is given back stays, and the next call in that thread finds it.

What is kept of a thread that has ended is some 17 KB that nobody finds again, so that as
many are kept as libfuse has idle threads, twice over, and no more; threads beyond those do
without, as all did.

Threading: called in each of libfuse's threads.
"""

from __future__ import annotations

import ctypes
import itertools
import threading

_MOST = 128
_here = threading.local()  # is gone with the state
_kept = itertools.count()


def keep() -> None:
    """Keep the state of the calling thread."""
    if not hasattr(_here, "is_kept"):
        _here.is_kept = True
        if next(_kept) < _MOST:
            ctypes.pythonapi.PyGILState_Ensure()
