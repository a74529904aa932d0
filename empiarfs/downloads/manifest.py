r"""The manifest: the SHA-256 of each file that was written, in the form of coreutils.

    9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  10934/data/x.mrc

`sha256sum -c SHA256SUMS` in that directory checks all of them. Names are bytes; one with a
newline or a backslash is written as coreutils do, escaped, behind a line's first `\`.

Lines are appended as files become whole. The last line of a path counts: a file that was
fetched anew has two. A line that was cut by a crash, or written by somebody else, is none.

Threading: safe from any thread.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from pathlib import Path

NAME = "SHA256SUMS"
_LINE = re.compile(rb"(\\?)([0-9a-f]{64})  (.+)\n", re.DOTALL)
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Manifest:
    """The manifest of one directory.

    Args:
        directory: Where the files go; it exists.

    Raises:
        OSError: There is something that can't be read.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self._lock = threading.Lock()
        self._sums: dict[str, str] = {}  # guarded by _lock
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as lines:
            for line in lines:
                self._take(line)

    def _take(self, line: bytes) -> None:
        found = _LINE.fullmatch(line)
        if found is None:
            return
        name = found[3]
        if found[1]:
            name = re.sub(rb"\\[\\nr]", lambda match: _ESCAPES[match[0]], name)
        self._sums[os.fsdecode(name)] = found[2].decode("ascii")

    def get(self, path: str) -> str | None:
        """Return the SHA-256 of a file in hexadecimal, None if it isn't known."""
        with self._lock:
            return self._sums.get(path)

    def add(self, path: str, digest: str) -> None:
        """Take down what was written.

        Args:
            path: Below the directory; bytes that aren't UTF-8 stand in it as surrogates.
            digest: SHA-256 in hexadecimal.

        Raises:
            OSError: It can't be written.
        """
        name = os.fsencode(path)
        escaped = re.sub(
            rb"[\\\n\r]", lambda m: {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}[m[0]], name
        )
        mark = b"\\" if escaped != name else b""
        with self._lock:
            if self._sums.get(path) == digest:
                return
            self._append(mark + digest.encode("ascii") + b"  " + escaped + b"\n")
            self._sums[path] = digest

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self.path, _APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                # A line that was cut off: what comes next mustn't become a part of it.
                line = b"\n" + line
            # One call, so that another process that appends is before it or after it.
            if os.write(descriptor, line) != len(line):
                raise OSError(f"{self.path} was written in part only; is the disk full?")
        finally:
            os.close(descriptor)
