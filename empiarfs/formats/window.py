"""The bytes of a file as a parser sees them: by offset, counted, and never too many."""

from __future__ import annotations

from collections.abc import Callable

from empiarfs.errors import EmpiarFSError

_KEPT = 4096


class FormatError(EmpiarFSError):
    """A file isn't what it seems to be, or is broken; the message says what is wrong."""


class Window:
    """Reads a file where a parser wants to look. Not thread-safe.

    Args:
        size: The file's size in bytes.
        read: Returns exactly the bytes `[offset, offset + size)`, which lie in the file.
        most: Bytes that may be read in all.

    Attributes:
        size: As given.
        bytes_read: Bytes read so far.
    """

    def __init__(self, size: int, read: Callable[[int, int], bytes], most: int) -> None:
        self.size = size
        self.bytes_read = 0
        self._read = read
        self._most = most
        self._head = b""

    @property
    def left(self) -> int:
        """How many more bytes may be read."""
        return self._most - self.bytes_read

    def at(self, offset: int, size: int) -> bytes:
        """Return the bytes `[offset, offset + size)`.

        Raises:
            FormatError: The file ends before that, or it would be too much.
        """
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FormatError(f"{size} bytes at {offset} are needed, and the file has {self.size}")
        return self.up_to(offset, size)

    def up_to(self, offset: int, size: int) -> bytes:
        """Return those of the bytes `[offset, offset + size)` that the file has.

        Raises:
            FormatError: It would be too much.
        """
        size = max(0, min(size, self.size - offset))
        if offset + size <= len(self._head):
            return self._head[offset : offset + size]
        if size > self.left:
            raise FormatError(f"more than {self._most} bytes would have to be read")
        self.bytes_read += size
        data = self._read(offset, size)
        if offset == 0 and size <= _KEPT:
            # What tells the format is where most formats begin to be read.
            self._head = data
        return data
