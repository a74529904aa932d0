"""Where the pixels of an MRC file are: which bytes hold a part of which frame.

The first axis of the data is that of frames, as mrcfile has it: sections of a stack or of a
volume, whole volumes of a stack of volumes (space group 401). Rows follow each other without a
gap. Pixels of 4 bits (mode 101) lie two in a byte, the left one in its lower half, and each row
is filled up to whole bytes: https://bio3d.colorado.edu/imod/doc/mrc_format.txt.

Pure functions, safe from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from empiarfs.formats.mrc import HEADER_SIZE, MrcHeader
from empiarfs.formats.regions import Region
from empiarfs.formats.window import FormatError

# A part of each row is fetched by itself where that saves a piece (64 KiB) of every row; with
# less between them, the pieces of neighbouring rows are the same or next to each other.
_WORTH_A_GAP = 2 * 64 * 1024
_VOLUME_STACK = 401


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file, and which pixels they hold.

    Attributes:
        offset: Of the first byte.
        size: In bytes.
        section: Of the frame, from 0.
        region: Pixels that the bytes hold, row by row; may be more columns than are wanted.
    """

    offset: int
    size: int
    section: int
    region: Region


@dataclass(frozen=True, slots=True)
class MrcPixels:
    """Where the pixels of a file are.

    Attributes:
        header: What the file says.
        frames: How many frames it has.
        depth: Sections of each frame; None if frames are images and no volumes.
        is_single: It is one image and no stack, which has no axis of frames.
    """

    header: MrcHeader
    frames: int
    depth: int | None
    is_single: bool

    @property
    def row_size(self) -> int:
        """Bytes of a row."""
        assert self.header.pixel_bits is not None
        return (self.header.columns * self.header.pixel_bits + 7) // 8

    @property
    def frame_size(self) -> int:
        """Bytes of a frame."""
        return self.row_size * self.header.rows * (self.depth or 1)

    def stop(self, frame: int) -> int:
        """Return the offset behind a frame's last byte."""
        return HEADER_SIZE + self.header.extended_size + (frame + 1) * self.frame_size

    def parts(self, frame: int, region: Region) -> Iterator[Part]:
        """Yield what holds a region of a frame, from the file's start on."""
        first = self.stop(frame - 1)
        section_size = self.row_size * self.header.rows
        for section in range(self.depth or 1):
            start = first + section * section_size
            left, right = self._bytes_of(region)
            if self.row_size - (right - left) < _WORTH_A_GAP:
                band = Region(region.top, region.bottom, 0, self.header.columns)
                size = (band.bottom - band.top) * self.row_size
                yield Part(start + band.top * self.row_size, size, section, band)
                continue
            columns = self._columns_of(left, right)
            for row in range(region.top, region.bottom):
                offset = start + row * self.row_size + left
                yield Part(offset, right - left, section, Region(row, row + 1, *columns))

    def _bytes_of(self, region: Region) -> tuple[int, int]:
        """Return the first byte of a row that is wanted, and the one behind the last."""
        assert self.header.pixel_bits is not None
        bits = self.header.pixel_bits
        return region.left * bits // 8, (region.right * bits + 7) // 8

    def _columns_of(self, left: int, right: int) -> tuple[int, int]:
        """Return the columns that lie in these bytes of a row."""
        assert self.header.pixel_bits is not None
        bits = self.header.pixel_bits
        return left * 8 // bits, min(right * 8 // bits, self.header.columns)


def mrc_pixels(header: MrcHeader) -> MrcPixels:
    """Return where the pixels are that a header speaks of.

    Raises:
        FormatError: It speaks of none, or of some that nobody knows.
    """
    if header.pixel_bits is None:
        raise FormatError(f"its mode, {header.mode}, isn't known")
    if not (header.columns and header.rows):
        raise FormatError(f"its images have {header.columns} × {header.rows} pixels")
    if _VOLUME_STACK <= header.space_group <= _VOLUME_STACK + 229:
        depth = header.grid[2]
        if depth < 1:
            raise FormatError(f"each of its volumes has {depth} sections")
        return MrcPixels(header, header.sections // depth, depth, is_single=False)
    is_single = header.space_group == 0 and header.sections == 1
    return MrcPixels(header, header.sections, None, is_single)
