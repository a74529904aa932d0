"""Images of the archive behind xarray and dask: read when they are computed.

A chunk is one frame; `empiarfs.python.images` reads what of it is wanted, in whatever process.

Threading: no state.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from empiarfs.core.entries.values import Entry
from empiarfs.core.targets import entry_number
from empiarfs.python.choosing import ADDITION_S, metadata_of
from empiarfs.python.file import ArchiveFile
from empiarfs.python.images import File, ImageArray, Images, looked_into

if TYPE_CHECKING:
    import xarray

_FILE = (str, os.PathLike, ArchiveFile)


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
        import dask.array  # noqa: F401 # told before anything is fetched
        import xarray
    except ImportError as exc:
        raise ImportError(f"{exc.name} is missing: pip install 'empiarfs[arrays]'") from exc
    import numpy

    is_one = isinstance(files, _FILE)
    images = _alike([files] if isinstance(files, _FILE) else list(files))
    source = ImageArray(images, is_one=is_one)
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
    return xarray.DataArray(source.dask(), coords, source.dims, "images", attributes)


def _alike(files: Sequence[File]) -> list[Images]:
    """Return the images of each file, all of one shape and type."""
    if not files:
        raise ValueError("there is no file to be read")
    found: list[Images] = []
    for images in looked_into(files):
        found.append(images)
        if (images.dims, images.shape, images.dtype) != (
            found[0].dims, found[0].shape, found[0].dtype,
        ):  # fmt: skip
            raise ValueError(
                f"{images.file.path} has {_told(images)}, and {found[0].file.path} has "
                f"{_told(found[0])}; each by itself can be read"
            )
    return found


def _told(images: Images) -> str:
    return f"{' × '.join(map(str, images.shape))} of {images.dtype}"


# -- what is known of them -------------------------------------------------------------------


def _pixel_sizes(
    images: Sequence[Images], given: float | None
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


def _attributes(images: Sequence[Images]) -> dict[str, Any]:
    numbers = {entry_number(each.file.path) for each in images}
    if len(numbers) > 1 or None in numbers:
        return {}
    [number] = numbers
    return {"entry": f"EMPIAR-{number}", "doi": f"10.6019/EMPIAR-{number}"}
