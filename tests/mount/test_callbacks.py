"""A callback of libfuse that can't be answered ends the process."""

from __future__ import annotations

import subprocess
import sys

from tests.support.users import CHECKOUT

_PROGRAM = """
import ctypes
from empiarfs.mount.callbacks import end_when_unanswered
end_when_unanswered()
def fail():
    raise MemoryError
print(ctypes.CFUNCTYPE(ctypes.c_int)(fail)())
"""


def _run(program: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", program]
    return subprocess.run(
        words, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_process_ends_before_libfuse_takes_anything_for_the_answer() -> None:
    done = _run(_PROGRAM)

    assert (done.returncode, done.stdout) == (70, "")
    assert "could not be answered" in done.stderr


def test_without_it_anything_is_the_answer() -> None:
    done = _run(_PROGRAM.replace("end_when_unanswered()\n", "", 1))

    assert done.returncode == 0
    assert done.stdout != ""


def test_what_else_can_not_be_raised_is_told_as_ever() -> None:
    program = _PROGRAM.rpartition("print")[0] + (
        "class Bad:\n    def __del__(self):\n        raise ValueError('in the end')\n"
        "Bad()\nprint('goes on')\n"
    )
    done = _run(program)

    assert done.returncode == 0
    assert "in the end" in done.stderr
    assert done.stdout == "goes on\n"
