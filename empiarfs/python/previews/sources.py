"""An opened file as frames: how many, where their bytes are, and their pixels.

MRC here, TIFF and EER in `tiff_source.py`; either may be packed by bzip2 or gzip, and then
everything before a frame is fetched as well.

Threading: a source belongs to one thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from empiarfs.formats import FormatError
from empiarfs.formats.kinds import format_of
from empiarfs.formats.mrc import HEADER_SIZE
from empiarfs.formats.regions import Region
from empiarfs.python.arrays import check_tiff, plain_name
from empiarfs.python.file import ArchiveFile
from empiarfs.python.mrcs import MrcImages
from empiarfs.python.previews.views import Shape, fetched_size
from empiarfs.python.unpacked import Spool, is_packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Hardly anything becomes smaller than that by being packed.
_PACKED = 2
# What a header says is no pixel size otherwise: from atoms to whole cells, in Å.
_SMALLEST_A, _LARGEST_A = 0.05, 1e6


class Source(Protocol):
    """A file's frames.

    Attributes:
        shape: What it holds.
        pixel_size: Å, or None if it doesn't say so.
        type_name: Of a pixel, in NumPy's words.
        is_eer: Each frame is a small part of an exposure.
    """

    shape: Shape
    pixel_size: float | None
    type_name: str
    is_eer: bool

    def ranges(self, frame: int, region: Region) -> list[tuple[int, int]]:
        """Return which bytes hold a part of a frame, by offset and size."""
        ...

    def cost(self, frames: Sequence[int], region: Region) -> int:
        """Return how many bytes are fetched for a part of some frames, about."""
        ...

    def foresee(self, frames: Sequence[int], region: Region) -> None:
        """Have a part of these frames fetched."""
        ...

    def read(self, frame: int, region: Region) -> NDArray[Any] | None:
        """Return a part of a frame; None if there are fewer frames.

        Raises:
            ValueError: It is broken.
            OSError: The bytes can't be had.
        """
        ...


class MrcSource:
    """The sections of an MRC file, of a stack or of volumes; see `Source`."""

    is_eer = False

    def __init__(self, file: ArchiveFile | Spool) -> None:
        self._file = file
        self._images = MrcImages(file)
        pixels, header = self._images.pixels, self._images.pixels.header
        self.shape = Shape(
            header.rows, header.columns, header.sections, pixels.depth, header.space_group
        )
        # Every section by itself, also those of volumes.
        self._images.pixels = replace(pixels, frames=header.sections, depth=None, is_single=False)
        self.pixel_size = sensible(header.pixel_size[0])
        self.type_name = str(self._images.dtype.newbyteorder("="))

    def ranges(self, frame: int, region: Region) -> list[tuple[int, int]]:
        """See `Source`."""
        return [(part.offset, part.size) for part in self._images.pixels.parts(frame, region)]

    def cost(self, frames: Sequence[int], region: Region) -> int:
        """See `Source`."""
        if isinstance(self._file, Spool):
            last = max((sum(each) for each in self.ranges(max(frames), region)), default=0)
            return last // _PACKED
        first = fetched_size(self.ranges(frames[0], region))
        # All are alike but for where pieces begin.
        return first * len(frames)

    def foresee(self, frames: Sequence[int], region: Region) -> None:
        """See `Source`."""
        self._file.foresee([each for frame in frames for each in self.ranges(frame, region)])

    def read(self, frame: int, region: Region) -> NDArray[Any] | None:
        """See `Source`."""
        assert self.shape.frames is not None
        if frame >= self.shape.frames:
            return None
        try:
            found: NDArray[Any] = self._images.read([frame], region)[0]
        except FormatError as exc:
            raise ValueError(str(exc)) from exc
        return found


def sensible(pixel_size: float | None) -> float | None:
    """Return a pixel size in Å if it can be one."""
    if pixel_size is None or not _SMALLEST_A <= pixel_size <= _LARGEST_A:
        return None
    return pixel_size


@contextmanager
def opened_source(file: ArchiveFile, most: int) -> Iterator[Source]:
    """Lend the frames of an open file.

    Args:
        file: The file.
        most: Bytes that may be fetched, about.

    Raises:
        ValueError: It is no image that can be read.
        OSError: Its bytes can't be had.
        ImportError: A package is missing that reads it.
    """
    [head] = file.read_ranges([(0, HEADER_SIZE)])
    if not is_packed(head):
        with _opened(file, head) as source:
            yield source
        return
    with Spool(file) as unpacked:
        [inner] = unpacked.read_ranges([(0, HEADER_SIZE)])
        if format_of(plain_name(file.path), inner) != "MRC" and file.size > most:
            raise ValueError(f"packed: all of its {file.size} bytes would have to be fetched")
        with _opened(unpacked, inner) as source:
            yield source


@contextmanager
def _opened(file: ArchiveFile | Spool, head: bytes) -> Iterator[Source]:
    kind = format_of(plain_name(file.path), head)
    if kind == "MRC":
        try:
            source = MrcSource(file)
        except FormatError as exc:
            raise ValueError(str(exc)) from exc
        if not source.shape.frames:
            raise ValueError("it holds no frame")
        yield source
        return
    check_tiff(file.path, kind if head else "empty")
    from empiarfs.python.previews.tiff_source import opened_tiff

    with opened_tiff(file) as tiff:
        yield tiff
