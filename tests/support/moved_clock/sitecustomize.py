"""Moves the wall clock of a Python process: by the number in the file that a test writes.

Python imports this at its start where the directory is first in PYTHONPATH. Only what Python
code takes for the time is moved, which is all that empiarfs looks at.
"""

import mmap
import os
import struct
import time

_file = os.environ.get("CLOCK_OF_EMPIARFS_TESTS")
if _file:
    with open(_file, "rb") as _opened:
        _memory = mmap.mmap(_opened.fileno(), 8, prot=mmap.PROT_READ)
    _true_time = time.time

    def _moved_time() -> float:
        return _true_time() + float(struct.unpack("d", _memory[:8])[0])

    time.time = _moved_time
