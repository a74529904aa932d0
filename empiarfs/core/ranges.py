"""Byte ranges, the half-open way: `[start, stop)`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """The bytes `start <= offset < stop` of a file; empty when `start == stop`.

    Attributes:
        start: Offset of the first byte, in bytes from the start of the file.
        stop: Offset one past the last byte.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.stop:
            raise ValueError(f"not a byte range: [{self.start}, {self.stop})")

    def __len__(self) -> int:
        return self.stop - self.start

    def __bool__(self) -> bool:
        # len() refuses sizes over sys.maxsize, and an empty range must be falsy all the same.
        return self.stop > self.start

    def clamp(self, size: int) -> ByteRange:
        """Return the part of this range that lies inside a file of `size` bytes."""
        return ByteRange(min(self.start, size), min(self.stop, size))
