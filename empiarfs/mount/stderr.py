"""Catches what C libraries write to stderr, so that it can be said in one line.

libfuse and fusermount3 explain a failed mount there and nowhere else.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import TextIO

_STDERR = 2
_MAX_BYTES = 64 * 1024
_SPEAKER = re.compile(r"^(?:(?:fuse|fusermount3?|mount)\s*:\s*)+")


class CapturedStderr:
    """Keeps file descriptor 2 aside until `release`; Python's `sys.stderr` goes on as before.

    Threading: `release` may be called from any thread, and more than once.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saved = os.dup(_STDERR)
        self._memory = os.memfd_create("empiarfs-stderr")
        self._python_stderr = sys.stderr
        self._replacement: TextIO | None = os.fdopen(
            os.dup(self._saved), "w", buffering=1, errors="backslashreplace"
        )
        sys.stderr.flush()
        sys.stderr = self._replacement
        os.dup2(self._memory, _STDERR)

    def release(self) -> str:
        """Put things back, and return what was said; nothing if that was done before."""
        with self._lock:
            if self._replacement is None:
                return ""
            os.dup2(self._saved, _STDERR)
            sys.stderr = self._python_stderr
            self._replacement.close()
            self._replacement = None
            os.close(self._saved)
            said = os.pread(self._memory, _MAX_BYTES, 0).decode(errors="replace")
            os.close(self._memory)
            return said


def in_one_line(said: str) -> str:
    r"""Return the last line of what was said that isn't empty, without who said it.

    >>> in_one_line("fusermount3: mount failed: Operation not permitted\n\n")
    'mount failed: Operation not permitted'
    """
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return _SPEAKER.sub("", lines[-1]) if lines else ""
