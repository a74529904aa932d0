"""Images of the archive behind xarray and dask: read when they are computed.

A chunk is one frame; `empiarfs.python.images` reads what of it is wanted, in whatever process.

Threading: no state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from empiarfs.python.images import File
from empiarfs.python.labels import labelled

if TYPE_CHECKING:
    import xarray


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

    found = labelled(files, pixel_size)
    dims = found.array.dims
    lengths = dict(zip(dims, found.array.shape, strict=True))
    coords: dict[str, Any] = {
        axis: (axis, numpy.arange(lengths[axis]) * size, {"units": "Å"})
        for axis, size in found.spacing.items()
    }
    for name, texts in found.by_file.items():
        # As objects: zarr has no form yet for texts of one length.
        coords[name] = ("file", numpy.array(texts, object))
    return xarray.DataArray(found.array.dask(), coords, dims, "images", found.attributes)
