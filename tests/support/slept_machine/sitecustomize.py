"""Lets a Python process believe that its machine has slept, for as long as a file says.

Python imports this at its start where the directory is first in PYTHONPATH. While a machine
sleeps its boot clock goes on and its monotonic clock doesn't, which is all that can be seen.
"""

import os
import struct
import time

_path = os.environ.get("SLEEP_OF_EMPIARFS_TESTS")
if _path:
    _file = os.open(_path, os.O_RDONLY)
    _true_clock = time.clock_gettime

    def _clock_of_a_sleeper(clock: int) -> float:
        slept_s = struct.unpack("d", os.pread(_file, 8, 0))[0] if clock == 7 else 0.0
        return _true_clock(clock) + float(slept_s)

    assert time.CLOCK_BOOTTIME == 7
    time.clock_gettime = _clock_of_a_sleeper
