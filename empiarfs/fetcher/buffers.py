"""Memory to receive into.

`bytearray(n)` clears its memory, and with it touches each page for the first time, while it
keeps all other threads from running: 0.2 to 0.4 ms for half a MiB, a third of a second and
more for a GB. What is received overwrites it all; so it is left as it comes, and the kernel
maps the pages while a thread waits for bytes and hinders nobody.

Whoever takes such a buffer must fill it wholly before anybody reads from it.
"""

from __future__ import annotations

import ctypes

# Public in C: without bytes to copy, it leaves the memory as it is.
_make = ctypes.pythonapi.PyByteArray_FromStringAndSize
_make.restype = ctypes.py_object
_make.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]


def buffer(size: int) -> memoryview:
    """Return `size` writable bytes, whatever they are.

    Raises:
        MemoryError: There is no room for them.
    """
    return memoryview(_make(None, size))
