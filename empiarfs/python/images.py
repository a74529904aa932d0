"""The images of files of the archive, of which parts are read when they are indexed.

Only headers are read to begin with: of MRC files 1 KiB, of TIFF and EER files the directories of
all frames. What takes slices of an `ImageArray` (dask, xarray) hands those of a frame down to
it, so that an MRC file is asked for the rows only that are wanted.

Both kinds of objects go along by pickle: the settings, and which version of which file is meant.
So another process reads by the same settings, with parts of its own on the same cache directory
and within the machine's budget of connections, and never another version.

Threading: safe from any thread; nothing changes after it was made.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from empiarfs.core.ranges import ByteRange
from empiarfs.formats import FormatError
from empiarfs.formats.kinds import format_of
from empiarfs.formats.mrc import HEADER_SIZE
from empiarfs.formats.regions import Region
from empiarfs.python.arrays import check_tiff
from empiarfs.python.file import ArchiveFile, opened_file
from empiarfs.python.hints import hint_each
from empiarfs.python.mrcs import MrcImages
from empiarfs.python.places import located
from empiarfs.python.session import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

File: TypeAlias = "str | os.PathLike[str] | ArchiveFile"
"""A file as `empiarfs.open` takes it, or what that returned."""


@dataclass(frozen=True, slots=True)
class Images:
    """The images of one file, and how to read them.

    Attributes:
        file: The file, in the version whose header was read.
        mrc: For MRC files; None for TIFF and EER.
        dims: Names of its axes.
        shape: Their lengths.
        dtype: NumPy's type of a pixel.
        pixel_size: Å along x, y, z, where the header tells.
    """

    file: ArchiveFile
    mrc: MrcImages | None
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: Any
    pixel_size: tuple[float | None, ...] = (None, None, None)

    @property
    def has_frames(self) -> bool:
        """Whether the first axis is that of frames, as `imread` has it."""
        return self.dims[0] != "y"

    def read(self, frames: Sequence[int], region: Region) -> NDArray[Any]:
        """Return a region of some frames, in an array with an axis of frames."""
        if self.mrc is not None:
            try:
                return self.mrc.read(frames, region)
            except FormatError as exc:
                raise ValueError(f"{self.file.path}: {exc}") from exc
        from empiarfs.python.tiffs import read_tiff

        corners = region.top, region.bottom, region.left, region.right
        found = read_tiff(self.file, list(frames), corners)
        # Each frame of such a file says for itself how large it is.
        size = region.bottom - region.top, region.right - region.left
        rest = self.shape[self.dims.index("y") + 2 :]
        if found.shape != (len(frames), *size, *rest) or found.dtype != self.dtype:
            raise ValueError(f"{self.file.path}: its frames differ in size or type")
        return found

    def ranges(self, frames: Sequence[int], region: Region) -> list[tuple[int, int]]:
        """Return which bytes hold a region of some frames, by offset and size.

        Of TIFF and EER files, all of each frame; their directories are read for it.
        """
        if self.mrc is not None:
            parts = (part for frame in frames for part in self.mrc.pixels.parts(frame, region))
            return [(part.offset, part.size) for part in parts]
        from empiarfs.python.tiffs import opened_pages, segments

        with opened_pages(self.file) as every:
            return [part for frame in frames for part in segments(every[frame])]


class ImageArray:
    """What dask and xarray take slices of: the images of one file, or of several that are alike.

    Attributes:
        dims: Names of its axes; "file" is the first if there are several.
        shape: Their lengths.
        ndim: How many there are.
        dtype: NumPy's type of a pixel.
    """

    def __init__(self, images: Sequence[Images], *, is_one: bool) -> None:
        import numpy

        first = images[0]
        self._images = images
        self._is_one = is_one
        self.dims = first.dims if is_one else ("file", *first.dims)
        self.shape = first.shape if is_one else (len(images), *first.shape)
        self.ndim = len(self.shape)
        self.dtype = numpy.dtype(first.dtype)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        files = [each.file for each in self._images]
        versions = [(file.url, file.version.size, file.version.modified_s) for file in files]
        return ("empiarfs", self._is_one, tuple(versions))

    @property
    def chunks(self) -> tuple[int, ...]:
        """How long a chunk is along each axis: one frame of one file."""
        single = self._images[0].has_frames + (not self._is_one)
        return (1,) * single + self.shape[single:]

    def dask(self) -> Any:
        """Return it as an array of dask.

        Raises:
            ImportError: dask is missing.
        """
        import dask.array
        import numpy

        meta = numpy.empty((0,) * self.ndim, self.dtype)
        return dask.array.from_array(self, chunks=self.chunks, meta=meta)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Return a part: by numbers and slices, and by lists of numbers for an axis each."""
        import numpy

        parts = index if isinstance(index, tuple) else (index,)
        parts += (slice(None),) * (self.ndim - len(parts))
        axes = [_numbers(part, size) for part, size in zip(parts, self.shape, strict=True)]
        made: NDArray[Any] = numpy.empty([len(axis) for axis in axes], self.dtype)
        if made.size:
            self._fill(made, axes)
        # What was asked for by a number has no axis.
        return made[tuple(0 if _is_number(part) else slice(None) for part in parts)]

    def _fill(self, made: NDArray[Any], axes: list[Sequence[int]]) -> None:
        if self._is_one:
            made[...] = _part(self._images[0], axes)
            return
        for number, file in enumerate(axes[0]):
            made[number] = _part(self._images[file], axes[1:])


def _is_number(part: Any) -> bool:
    return not isinstance(part, slice) and not hasattr(part, "__len__")


def _numbers(part: Any, size: int) -> Sequence[int]:
    """Return which places of an axis are meant."""
    every = range(size)
    if isinstance(part, slice):
        return every[part]
    if _is_number(part):
        return [every[int(part)]]
    return [every[int(number)] for number in part]


def _part(images: Images, axes: Sequence[Sequence[int]]) -> NDArray[Any]:
    """Return what a file has at these places along each axis, at least one along each."""
    frames = axes[0] if images.has_frames else range(1)
    y = images.dims.index("y")
    rows, columns = axes[y], axes[y + 1]
    region = Region(min(rows), max(rows) + 1, min(columns), max(columns) + 1)
    found = images.read(frames, region)
    if not images.has_frames:
        found = found[0]
    read = list(axes)
    if images.has_frames:
        read[0] = range(len(frames))
    read[y] = [row - region.top for row in rows]
    read[y + 1] = [column - region.left for column in columns]
    for axis, wanted in enumerate(read):
        if list(wanted) != list(range(found.shape[axis])):
            found = found.take(wanted, axis)
    return found


# -- headers -----------------------------------------------------------------------------------


def looked_into(files: Sequence[File], *, only_mrc: bool = False) -> Iterator[Images]:
    """Yield the images of each file; all headers are fetched side by side.

    Args:
        files: The files.
        only_mrc: Those of other formats are refused.

    Raises:
        OSError: A file isn't there, or can't be had.
        ValueError: One isn't an image that can be read in parts.
        ImportError: What reads this format is missing.
    """
    places = [
        (file.session, file.path) if isinstance(file, ArchiveFile) else located(file)
        for file in files
    ]
    if len(places) > 1:
        header = ByteRange(0, HEADER_SIZE)
        hint_each((session, path, header) for session, path in places)
    for file, place in zip(files, places, strict=True):
        found = copy.copy(file) if isinstance(file, ArchiveFile) else _unopened(*place)
        yield _of_file(found, only_mrc)


def _unopened(session: Session, path: str) -> ArchiveFile:
    """Return a file of the version that the archive has, which is opened at its first read."""
    with opened_file(session, path) as file:
        return copy.copy(file)


def _of_file(file: ArchiveFile, only_mrc: bool) -> Images:
    [head] = file.read_ranges([(0, HEADER_SIZE)])
    try:
        kind = format_of(file.path, head) if head else "empty"
        if kind == "MRC":
            return _of_mrc(file)
    except FormatError as exc:
        raise ValueError(f"{file.path}: {exc}") from exc
    if only_mrc:
        raise ValueError(f"{file.path}: {kind}, and no stack of MRC's kind")
    check_tiff(file.path, kind)
    from empiarfs.python.tiffs import tiff_layout

    count, shape, dtype = tiff_layout(file)
    dims: tuple[str, ...] = ("y", "x", "sample")[: len(shape)]
    if count > 1:
        dims, shape = ("frame", *dims), (count, *shape)
    return Images(file, None, dims, shape, dtype)


def _of_mrc(file: ArchiveFile) -> Images:
    mrc = MrcImages(file)
    if len(mrc) and not file.holds(mrc.pixels.stop(len(mrc) - 1)):
        raise FormatError(f"the file ends before frame {len(mrc) - 1}")
    is_image, is_volume = mrc.is_single, mrc.pixels.header.space_group != 0
    dims: tuple[str, ...] = ("y", "x")
    if mrc.pixels.depth is not None:
        dims = ("volume", "z", *dims)
    elif not is_image:
        dims = ("z" if is_volume else "frame", *dims)
    shape = mrc.frame_shape if is_image else (len(mrc), *mrc.frame_shape)
    return Images(file, mrc, dims, shape, mrc.dtype, mrc.pixel_size)
