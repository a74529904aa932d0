"""Ends the process when a request of the kernel's can't even reach Python code.

libfuse calls us through ctypes. Should there be no memory to make a Python call of that,
ctypes says so on stderr and hands libfuse whatever stood where the answer belongs: any
number, taken for an errno or for so many bytes of a read. A mount that ends is an error
that everybody sees; wrong bytes are one that nobody does.

Threading: the hook is called in whatever thread failed.
"""

from __future__ import annotations

import os
import sys

# Of sysexits.h: an internal error of the software.
_STATUS = 70


def end_when_unanswered() -> None:
    """From now on, end the process where a callback fails before its handler is reached."""
    sys.unraisablehook = _unraisable


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    # As little as can be is done here, since memory may be what is missing.
    if unraisable.err_msg is not None and "ctypes callback" in unraisable.err_msg:
        os.write(2, b"empiarfs: a request could not be answered, ending the mount\n")
        os._exit(_STATUS)
    sys.__unraisablehook__(unraisable)
