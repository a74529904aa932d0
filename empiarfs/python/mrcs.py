"""Frames of MRC files as NumPy arrays, by the rules of mrcfile; also of modes 3 and 101.

Only the header is read to begin with, and then what holds the pixels that are wanted.

Threading: nothing changes after the header was read; safe from any thread if the bytes are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from empiarfs.formats import FormatError, Window
from empiarfs.formats.mrc import HEADER_SIZE, parse_mrc
from empiarfs.formats.mrc_pixels import Part, mrc_pixels
from empiarfs.formats.regions import Region, highest

if TYPE_CHECKING:
    from numpy.typing import NDArray

# As mrcfile has them; pairs of 16-bit integers become complex numbers, pixels of 4 bits bytes.
_TYPES = {0: "i1", 1: "i2", 2: "f4", 3: "i2", 4: "c8", 6: "u2", 12: "f2", 101: "u1"}


class Bytes(Protocol):
    """What is needed of a file."""

    def holds(self, stop: int) -> bool:
        """Tell whether the file has at least so many bytes."""
        ...

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each range, given by offset and size."""
        ...

    def read_into(self, wanted: Sequence[tuple[int, memoryview]]) -> None:
        """Fill memory with as many bytes from offsets on; a ValueError if there are fewer."""
        ...


class MrcImages:
    """The frames of one file.

    Attributes:
        pixels: Where they are.
        dtype: NumPy's type of a pixel.

    Raises:
        FormatError: It is no MRC file, or one whose pixels nobody could read.
    """

    def __init__(self, file: Bytes) -> None:
        import numpy

        self._file = file
        # Whether it has as many bytes as it says is judged where they are read.
        self.pixels = mrc_pixels(parse_mrc(Window(HEADER_SIZE, self._bytes, HEADER_SIZE)))
        header = self.pixels.header
        order = "<" if header.byte_order == "little" else ">"
        self._stored = numpy.dtype(order + _TYPES[header.mode])
        self.dtype = numpy.dtype("c8") if header.mode == 3 else self._stored

    def __len__(self) -> int:
        return self.pixels.frames

    @property
    def is_single(self) -> bool:
        """Whether it is one image, without an axis of frames."""
        return self.pixels.is_single

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Rows and columns; before them sections, where frames are volumes."""
        pixels = self.pixels
        image = pixels.header.rows, pixels.header.columns
        return image if pixels.depth is None else (pixels.depth, *image)

    @property
    def pixel_size(self) -> tuple[float | None, float | None, float | None]:
        """Å along x, y, z; None where the header doesn't tell."""
        return self.pixels.header.pixel_size

    def ranges(self, frame: int) -> list[tuple[int, int]]:
        """Return which bytes hold a frame, by offset and size."""
        pixels = self.pixels
        return [(pixels.stop(frame - 1), pixels.frame_size)]

    def read(self, wanted: Sequence[int], region: Region) -> NDArray[Any]:
        """Return a region of some frames, by their numbers, in an array with an axis of frames.

        Raises:
            FormatError: The file ends before one of them.
            OSError: The bytes can't be had.
        """
        import numpy

        # Nothing is set aside for what isn't in the file.
        if wanted and not self._file.holds(self.pixels.stop(highest(wanted))):
            raise FormatError(f"the file ends before frame {highest(wanted)}")
        depth = self.pixels.depth or 1
        shape = (len(wanted), depth, region.bottom - region.top, region.right - region.left)
        made: NDArray[Any] = numpy.empty(shape, self.dtype)
        if made.size:
            self._fill(made, wanted, region)
        return made[:, 0] if self.pixels.depth is None else made

    def _bytes(self, offset: int, size: int) -> bytes:
        [data] = self._file.read_ranges([(offset, size)])
        return data

    def _fill(self, made: NDArray[Any], wanted: Sequence[int], region: Region) -> None:
        parts = [
            (number, part)
            for number, frame in enumerate(wanted)
            for part in self.pixels.parts(frame, region)
        ]
        if self._is_as_stored(region):
            self._file.read_into(
                [(part.offset, self._memory(made, number, part, region)) for number, part in parts]
            )
            return
        found = self._file.read_ranges([(part.offset, part.size) for _, part in parts])
        for (number, part), data in zip(parts, found, strict=True):
            left = part.region.left
            rows = self._decoded(data, part)[:, region.left - left : region.right - left]
            top = part.region.top - region.top
            made[number, part.section, top : top + len(rows)] = rows

    def _is_as_stored(self, region: Region) -> bool:
        """Whether a region's bytes in the file are those of the array, row by row."""
        header = self.pixels.header
        is_plain = header.mode not in (3, 101)
        return is_plain and (region.left, region.right) == (0, header.columns)

    def _memory(self, made: NDArray[Any], number: int, part: Part, region: Region) -> memoryview:
        """Return the bytes of the array for a part, which has whole rows."""
        top = part.region.top - region.top
        rows = made[number, part.section, top : top + part.region.bottom - part.region.top]
        flat: Any = rows.reshape(-1).view("u1")
        return memoryview(flat)

    def _decoded(self, data: bytes, part: Part) -> NDArray[Any]:
        """Return the pixels in the bytes of a part, row by row."""
        import numpy

        rows = part.region.bottom - part.region.top
        columns = part.region.right - part.region.left
        values = numpy.frombuffer(data, self._stored).reshape(rows, -1)
        if self.pixels.header.mode == 101:
            halves = numpy.empty((rows, 2 * values.shape[1]), "u1")
            halves[:, 0::2], halves[:, 1::2] = values & 15, values >> 4
            return halves[:, :columns]
        if self.pixels.header.mode == 3:
            pairs = values.astype("f4")
            return pairs[:, 0::2] + 1j * pairs[:, 1::2]
        return values
