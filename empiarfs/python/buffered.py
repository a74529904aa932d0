"""An open file with a buffer, for what reads lines and small values.

Threading: as `io.BufferedReader`, safe from any thread.
"""

from __future__ import annotations

import io

from empiarfs.python.file import ArchiveFile

BUFFER = 64 * 1024
"""Bytes: a piece, the least that is fetched."""


class BufferedFile(io.BufferedReader):
    """An open file with a buffer, so that lines and small values are read fast; it pickles."""

    def __init__(self, raw: ArchiveFile, buffer_size: int = BUFFER, position: int = 0) -> None:
        super().__init__(raw, buffer_size)
        self.path, self.size = raw.path, raw.size
        self._buffer_size = buffer_size
        if position:
            self.seek(position)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.raw, self._buffer_size, self.tell())
