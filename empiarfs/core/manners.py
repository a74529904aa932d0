"""In which manner a file was read, so that its neighbours may be read so ahead of time.

A `Footprint` collects what is read of one open file. The `Manner` made from it says the same
in terms that hold for other files: whole; or these ranges from the file's start, and so many
bytes before its end. Two manners that agree in most of what they name have a common one.

Everything is rounded to pieces of 64 KiB, the unit of asking.

Pure. Of a footprint, one thread at a time may add; any may ask for the manner meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.core.ranges import ByteRange

# A file read in more places than this is read in no manner that others could share. TIFF
# directories of a movie are some hundred places.
_MOST_PARTS = 256


@dataclass(frozen=True, slots=True)
class Manner:
    """How a file was, or will be, read.

    Attributes:
        file_size: Size of the file that it was seen at, in bytes.
        parts: Ranges from the start of the file, on the grid of pieces, ascending. A part
            that ends with its file ends where its last piece would.
        tail: Bytes at the end of the file; 0 for none.
        is_whole: The whole file; `parts` is what that was for this one.
    """

    file_size: int
    parts: tuple[ByteRange, ...]
    tail: int
    is_whole: bool

    @property
    def size(self) -> int:
        """Bytes that were read."""
        return sum(map(len, self.parts)) + self.tail

    @property
    def head(self) -> int:
        """Bytes read from the start of the file on, without a gap."""
        return self.parts[0].stop if self.parts and self.parts[0].start == 0 else 0

    def ranges(self, file_size: int) -> tuple[ByteRange, ...]:
        """Return what will be read of a file of `file_size` bytes, ascending."""
        if self.is_whole:
            return (ByteRange(0, file_size),) if file_size else ()
        found = [part.clamp(file_size) for part in self.parts]
        if self.tail:
            found.append(ByteRange(max(0, file_size - self.tail), file_size))
        return tuple(part for part in found if part)

    def size_for(self, file_size: int) -> int:
        """Return how many bytes `ranges` has, give or take an overlap."""
        return sum(map(len, self.ranges(file_size)))

    def in_common(self, other: Manner) -> Manner | None:
        """Return what both manners read, or None if that is less than half of either."""
        if self.is_whole and other.is_whole:
            return other
        if self.is_whole or other.is_whole:
            small, large = (self, other) if self.is_whole else (other, self)
            # A file that fits into what is read of longer ones was read like them.
            return large if small.file_size <= large.head else None
        parts = _intersection(self.parts, other.parts)
        tail = min(self.tail, other.tail)
        common = Manner(other.file_size, parts, tail, is_whole=False)
        return common if 2 * common.size >= max(self.size, other.size) else None


class Footprint:
    """What was read of one open file.

    Attributes:
        file_size: In bytes.
        was_hungry: A read of it had to wait for the archive.
        is_over: The file was closed; nothing comes any more.
    """

    def __init__(self, file_size: int) -> None:
        self.file_size = file_size
        self.was_hungry = False
        self.is_over = False
        # The stretch that grows: one value, since others may look while a reader adds.
        self._growing = (0, 0)
        self._others: list[tuple[int, int]] = []

    def add(self, read: ByteRange) -> None:
        """Take note of a read; a fraction of a microsecond, as every read does it."""
        start, stop = self._growing
        if start <= read.start <= stop:
            if read.stop > stop:
                self._growing = (start, read.stop)
            return
        if len(self._others) < _MOST_PARTS:
            self._others.append(self._growing)
        self._growing = (read.start, read.stop)

    def manner(self) -> Manner | None:
        """Return in which manner the file was read so far; None for nothing, or too many."""
        if len(self._others) >= _MOST_PARTS:
            return None
        parts = _merged([*self._others, self._growing])
        if not parts:
            return None
        first, last = parts[0], parts[-1]
        if first.start == 0 and first.stop >= self.file_size:
            return Manner(self.file_size, (first,), 0, is_whole=True)
        if last.stop < self.file_size or last.start == 0:
            return Manner(self.file_size, tuple(parts), 0, is_whole=False)
        tail = self.file_size - last.start
        return Manner(self.file_size, tuple(parts[:-1]), tail, is_whole=False)


def _merged(stretches: list[tuple[int, int]]) -> list[ByteRange]:
    """Return the pieces that the stretches touch, as ascending ranges."""
    found: list[ByteRange] = []
    for start, stop in sorted(stretches):
        if stop <= start:
            continue
        start = start // PIECE_SIZE * PIECE_SIZE
        stop = -(-stop // PIECE_SIZE) * PIECE_SIZE
        if found and start <= found[-1].stop:
            found[-1] = ByteRange(found[-1].start, max(stop, found[-1].stop))
        else:
            found.append(ByteRange(start, stop))
    return found


def _intersection(
    these: tuple[ByteRange, ...], those: tuple[ByteRange, ...]
) -> tuple[ByteRange, ...]:
    found: list[ByteRange] = []
    i = j = 0
    while i < len(these) and j < len(those):
        start = max(these[i].start, those[j].start)
        stop = min(these[i].stop, those[j].stop)
        if start < stop:
            found.append(ByteRange(start, stop))
        if these[i].stop < those[j].stop:
            i += 1
        else:
            j += 1
    return tuple(found)
