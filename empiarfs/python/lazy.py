"""Images of the archive as arrays of dask behind xarray: read when they are computed.

Only headers are read to begin with: of MRC files 1 KiB, of TIFF and EER files the directories of
all frames. A chunk is one frame; of a part of a frame that is computed alone, an MRC file is
asked for its rows only, since dask hands slices down to `_Source`.

A source goes along with the graph, by pickle: the settings, and which version of which file is
meant. So another process reads by the same settings, with parts of its own on the same cache
directory and within the machine's budget of connections, and never another version.

Threading: safe from any thread; nothing changes after it was made.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from empiarfs.core.entries.values import Entry
from empiarfs.core.ranges import ByteRange
from empiarfs.core.targets import entry_number
from empiarfs.formats import FormatError
from empiarfs.formats.kinds import format_of
from empiarfs.formats.mrc import HEADER_SIZE
from empiarfs.formats.regions import Region
from empiarfs.python.arrays import check_tiff
from empiarfs.python.choosing import ADDITION_S, metadata_of
from empiarfs.python.file import ArchiveFile, opened_file
from empiarfs.python.hints import hint_each
from empiarfs.python.mrcs import MrcImages
from empiarfs.python.places import located
from empiarfs.python.session import Session

if TYPE_CHECKING:
    import xarray
    from numpy.typing import NDArray

File: TypeAlias = "str | os.PathLike[str] | ArchiveFile"
_FILE = (str, os.PathLike, ArchiveFile)


@dataclass(frozen=True, slots=True)
class _Images:
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


class _Source:
    """What dask takes slices of: the images of one file, or of several that are alike."""

    def __init__(self, images: Sequence[_Images], *, is_one: bool) -> None:
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


def _part(images: _Images, axes: Sequence[Sequence[int]]) -> NDArray[Any]:
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


def lazy(files: File | Iterable[File], pixel_size: float | None = None) -> xarray.DataArray:
    """Return images that are read when they are computed, a chunk for each frame.

    Args:
        files: A file, or several whose images have one shape and type; each as `empiarfs.open`
            takes it, or what that returned.
        pixel_size: Å for each pixel. By default what the header says, else what EMPIAR says of
            the image set, if either does.

    Returns:
        Axes are "frame" (none for one image; "z" for the sections of a volume; "volume" and "z"
        for a stack of those), "y", "x"; before them "file", if several are given. With
        coordinates in Å along x, y and z if the pixel size is known. Its attributes are
        `pixel_size` (a list: along x, y, and z if there is such an axis), `pixel_size_from`
        ("header", "EMPIAR" or "given"), `entry`, `doi`, and `source`, the URL; for several
        files that is a coordinate.

    Raises:
        OSError: A file isn't there, or can't be had.
        ValueError: One isn't an image that can be read in parts, or they aren't alike.
        ImportError: xarray or dask is missing, or what reads this format.
    """
    try:
        import dask.array
        import xarray
    except ImportError as exc:
        raise ImportError(f"{exc.name} is missing: pip install 'empiarfs[arrays]'") from exc
    import numpy

    is_one = isinstance(files, _FILE)
    images = _looked_into([files] if isinstance(files, _FILE) else list(files))
    source = _Source(images, is_one=is_one)
    data = dask.array.from_array(
        source,
        chunks=source.chunks,
        meta=numpy.empty((0,) * source.ndim, source.dtype),
    )
    sizes, sizes_from = _pixel_sizes(images, pixel_size)
    lengths = dict(zip(source.dims, source.shape, strict=True))
    along = dict(zip("xyz", sizes, strict=False))
    coords: dict[str, Any] = {
        axis: (axis, numpy.arange(lengths[axis]) * size, {"units": "Å"})
        for axis, size in along.items()
        if size is not None and axis in lengths
    }
    attributes = _attributes(images)
    if coords:
        attributes["pixel_size"] = [along[axis] for axis in "xyz" if axis in coords]
        attributes["pixel_size_from"] = sizes_from
    if is_one:
        attributes["source"] = images[0].file.url
    else:
        # As objects: zarr has no form yet for texts of one length.
        paths = [each.file.path for each in images]
        coords["file"] = ("file", numpy.array(paths, object))
        coords["source"] = ("file", numpy.array([each.file.url for each in images], object))
    return xarray.DataArray(data, coords, source.dims, "images", attributes)


# -- headers -----------------------------------------------------------------------------------


def _looked_into(files: Sequence[File]) -> list[_Images]:
    if not files:
        raise ValueError("there is no file to be read")
    places = [
        (file.session, file.path) if isinstance(file, ArchiveFile) else located(file)
        for file in files
    ]
    if len(places) > 1:
        header = ByteRange(0, HEADER_SIZE)
        hint_each((session, path, header) for session, path in places)
    found: list[_Images] = []
    for file, place in zip(files, places, strict=True):
        opened = copy.copy(file) if isinstance(file, ArchiveFile) else _unopened(*place)
        images = _of_file(opened)
        found.append(images)
        if (images.dims, images.shape, images.dtype) != (
            found[0].dims, found[0].shape, found[0].dtype,
        ):  # fmt: skip
            raise ValueError(
                f"{images.file.path} has {_told(images)}, and {found[0].file.path} has "
                f"{_told(found[0])}; each by itself can be read"
            )
    return found


def _unopened(session: Session, path: str) -> ArchiveFile:
    """Return a file of the version that the archive has, which is opened at its first read."""
    with opened_file(session, path) as file:
        return copy.copy(file)


def _of_file(file: ArchiveFile) -> _Images:
    [head] = file.read_ranges([(0, HEADER_SIZE)])
    try:
        kind = format_of(file.path, head) if head else "empty"
        if kind == "MRC":
            return _of_mrc(file)
    except FormatError as exc:
        raise ValueError(f"{file.path}: {exc}") from exc
    check_tiff(file.path, kind)
    from empiarfs.python.tiffs import tiff_layout

    count, shape, dtype = tiff_layout(file)
    dims: tuple[str, ...] = ("y", "x", "sample")[: len(shape)]
    if count > 1:
        dims, shape = ("frame", *dims), (count, *shape)
    return _Images(file, None, dims, shape, dtype)


def _of_mrc(file: ArchiveFile) -> _Images:
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
    return _Images(file, mrc, dims, shape, mrc.dtype, mrc.pixel_size)


def _told(images: _Images) -> str:
    return f"{' × '.join(map(str, images.shape))} of {images.dtype}"


# -- what is known of them -------------------------------------------------------------------


def _pixel_sizes(
    images: Sequence[_Images], given: float | None
) -> tuple[tuple[float | None, ...], str]:
    """Return Å along x, y, z, and who says so."""
    if given is not None:
        return (given, given, given), "given"
    sizes = {each.pixel_size[:2] for each in images}
    if len(sizes) > 1:
        warnings.warn("pixel sizes differ, so that there are no coordinates in Å", stacklevel=3)
        return (None, None, None), ""
    if None not in images[0].pixel_size[:2]:
        return images[0].pixel_size, "header"
    return (*_stated(images[0].file), None), "EMPIAR"


def _stated(file: ArchiveFile) -> tuple[float | None, float | None]:
    """Return Å along x and y as EMPIAR says of the nearest image set that the file lies in."""
    number = entry_number(file.path)
    if number is None:
        return None, None
    try:
        entry: Entry = metadata_of(file.session, number, ADDITION_S)
    except FileNotFoundError:
        return None, None
    except OSError as exc:
        warnings.warn(f"no pixel size of {file.path} is known: {exc}", stacklevel=5)
        return None, None
    inside = file.path.partition("/")[2]
    around = [
        each
        for each in entry.image_sets
        if not each.directory or inside.startswith(f"{each.directory}/")
    ]
    nearest = max(around, key=lambda each: len(each.directory), default=None)
    return (nearest.pixel_width, nearest.pixel_height) if nearest else (None, None)


def _attributes(images: Sequence[_Images]) -> dict[str, Any]:
    numbers = {entry_number(each.file.path) for each in images}
    if len(numbers) > 1 or None in numbers:
        return {}
    [number] = numbers
    return {"entry": f"EMPIAR-{number}", "doi": f"10.6019/EMPIAR-{number}"}
