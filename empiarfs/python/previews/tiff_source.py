"""Frames of TIFF, BigTIFF and EER files, of which only the strips or tiles that are needed.

How many frames there are isn't counted, since every directory would have to be fetched for
that.

Threading: a source belongs to one thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy

from empiarfs.formats.regions import Region
from empiarfs.python.file import ArchiveFile
from empiarfs.python.previews.sources import sensible
from empiarfs.python.previews.views import Shape, fetched_size
from empiarfs.python.tiffs import check_sizes, opened_pages, page_at, segments, translated
from empiarfs.python.unpacked import Spool, View

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from numpy.typing import NDArray

# A frame unpacked; detectors have 100 million pixels at most, of 4 bytes.
_MOST_UNPACKED = 1024**3
_EER = (65000, 65001, 65002)
_EER_METADATA = 65001
_EER_PIXEL_M = re.compile(rb'name="sensorPixelSize\.width"[^>]{0,100}>\s*([0-9.eE+-]{1,40})\s*<')
# Å in an inch and in a centimetre, by TIFF's number of the unit.
_UNITS_A = {2: 2.54e8, 3: 1e8}


class _Still(View):
    """The bytes of a file, none of which are read ahead: the frames behind aren't wanted."""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        [data] = self._file.read_ranges([(self._position, len(view))])
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


class TiffSource:
    """See `empiarfs.python.previews.sources.Source`."""

    def __init__(self, pages: Any, file: ArchiveFile | Spool) -> None:
        self._pages = pages
        self._file = file
        first = page_at(pages, 0)
        if first is None:
            raise ValueError("it holds no frame")
        self._first = first
        shape = self._shape_of(first)
        self.is_eer = first.compression in _EER
        self.shape = Shape(*shape, None)
        self.pixel_size = _pixel_size(first)
        self.type_name = str(first.dtype)

    def _shape_of(self, page: Any) -> tuple[int, int]:
        if page.axes not in ("YX", "YXS"):
            raise ValueError(f"a frame has the axes {page.axes or 'of nothing'}")
        if page.nbytes > _MOST_UNPACKED:
            raise ValueError(f"a frame of {page.nbytes} bytes is too large")
        check_sizes([page])
        return page.shape[0], page.shape[1]

    def ranges(self, frame: int, region: Region) -> list[tuple[int, int]]:
        """See `Source`."""
        with translated(self._file.path):
            page = page_at(self._pages, frame)
            return [] if page is None else self._ranges(page, region)

    def _ranges(self, page: Any, region: Region) -> list[tuple[int, int]]:
        every = segments(page)
        return [every[number] for number in _needed(page, region)]

    def cost(self, frames: Sequence[int], region: Region) -> int:
        """See `Source`; all frames are taken to be like the first."""
        return fetched_size(self._ranges(self._first, region)) * len(frames)

    def foresee(self, frames: Sequence[int], region: Region) -> None:
        """See `Source`."""
        self._file.foresee([each for frame in frames for each in self.ranges(frame, region)])

    def read(self, frame: int, region: Region) -> NDArray[Any] | None:
        """See `Source`; a frame of another size is taken for the end."""
        with translated(self._file.path):
            return self._read(frame, region)

    def _read(self, frame: int, region: Region) -> NDArray[Any] | None:
        page = page_at(self._pages, frame)
        if page is None or self._shape_of(page) != (self.shape.rows, self.shape.columns):
            return None
        if not _is_divided(page):
            self._file.foresee(segments(page))
            whole: NDArray[Any] = page.asarray()
            return whole[region.top : region.bottom, region.left : region.right]
        return self._assembled(page, region)

    def _assembled(self, page: Any, region: Region) -> NDArray[Any]:
        every, needed = segments(page), _needed(page, region)
        size = region.bottom - region.top, region.right - region.left
        made: NDArray[Any] = numpy.zeros(size, page.dtype)
        found = self._file.read_ranges([every[number] for number in needed])
        for number, data in zip(needed, found, strict=True):
            if len(data) < every[number][1]:
                raise ValueError(f"the file ends before strip {number} of its frame")
            decoded, (_, _, top, left, _), (_, rows, columns, _) = page.decode(data, number)
            if decoded is not None:
                _place(made, region, decoded[0, :rows, :columns, 0], top, left)
        return made


def _place(made: NDArray[Any], region: Region, part: NDArray[Any], top: int, left: int) -> None:
    """Copy what a strip or tile at this place of its frame has of a region."""
    rows, columns = part.shape
    first, last = max(region.top, top), min(region.bottom, top + rows)
    begin, end = max(region.left, left), min(region.right, left + columns)
    if first < last and begin < end:
        made[first - region.top : last - region.top, begin - region.left : end - region.left] = (
            part[first - top : last - top, begin - left : end - left]
        )


def _is_divided(page: Any) -> bool:
    """Tell whether strips or tiles of a page can be read by themselves."""
    plain = page.axes == "YX" and page.compression not in _EER and page.jpegtables is None
    return plain and len(page.dataoffsets) == numpy.prod(page.chunked) > 0


def _needed(page: Any, region: Region) -> Sequence[int]:
    """Return the numbers of the strips or tiles that hold a region of a page."""
    if not _is_divided(page):
        return range(len(segments(page)))
    (rows, columns), across = page.chunks, page.chunked[1]
    return [
        row * across + column
        for row in range(region.top // rows, -(-region.bottom // rows))
        for column in range(region.left // columns, -(-region.right // columns))
    ]


def _pixel_size(page: Any) -> float | None:
    tag = page.tags.get(_EER_METADATA)
    if tag is not None:
        text = tag.value if isinstance(tag.value, bytes) else str(tag.value).encode()
        found = _EER_PIXEL_M.search(text)
        if found is not None:
            try:
                return sensible(float(found[1]) * 1e10)
            except ValueError:
                return None
    resolution, unit = page.tags.get("XResolution"), page.tags.get("ResolutionUnit")
    if resolution is None or unit is None or int(unit.value) not in _UNITS_A:
        return None
    above, below = resolution.value
    # Dots on paper, as writers of TIFF put it by default, are no pixel size.
    size = _UNITS_A[int(unit.value)] * below / above if above and below else None
    return size if size is not None and sensible(size) and size < 1e5 else None


@contextmanager
def opened_tiff(file: ArchiveFile | Spool) -> Iterator[TiffSource]:
    """Lend the frames of a file; see `opened_source`."""
    with opened_pages(file, _Still) as pages:
        yield TiffSource(pages, file)
