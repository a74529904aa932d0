"""Images with EMPIARreader's dimensions, coordinates and attributes.

A partition is an `xarray.DataArray` of NumPy's arrays whose bytes are fetched when they are
looked at, and kept from then on: `part[3]` fetches one frame, `part.values` all of them. All
partitions together are a Dataset of dask, with a chunk for each frame.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from empiarfs.compat.empiarreader.files import File, FileSource, check_packages, opened
from empiarfs.formats.mrc import HEADER_SIZE
from empiarfs.python.arrays import imread
from empiarfs.python.images import ImageArray, looked_into
from empiarfs.python.unpacked import is_packed, plain

if TYPE_CHECKING:
    import xarray

# Of images and volumes; what lies before "y" is "frame" whatever the header says of it.
_NAMES = {"z": "frame"}
_BY_COUNT = {2: ("y", "x"), 3: ("frame", "y", "x"), 4: ("volume", "frame", "y", "x")}
# Where an MRC header says how long the one is that follows it.
_EXTENDED_SIZE = slice(92, 96)


class MrcSource(FileSource):
    """Images: MRC files, and beyond EMPIARreader TIFF, EER, and any of them packed.

    Args:
        urlpath: A file, or several; each as `empiarfs.open` takes it.
        metadata: Kept as it is.
    """

    name = "mrc"

    def _partition(self, i: int) -> xarray.DataArray:
        from empiarfs.compat.empiarreader.lazily import when_looked_at

        return _data_array(self._files[i], when_looked_at)

    def to_dask(self) -> xarray.Dataset:
        """Return all images as "raster", with "partition" before their own axes.

        Their files' URLs are "filename". Images that differ in size are filled up with NaN.
        Packed ones are read whole; of the others, headers.
        """
        if self._dataset is None:
            self._dataset = self._all()
        return self._dataset

    def read(self) -> xarray.Dataset:
        """Return the same as `to_dask`, in memory."""
        self._dataset = self.to_dask().load()
        return self._dataset

    def _all(self) -> xarray.Dataset:
        check_packages()
        import pandas
        import xarray

        parts = [_data_array(file, ImageArray.dask) for file in self._files]
        number = pandas.RangeIndex(len(parts), name="partition")
        raster = xarray.concat(parts, number, join="outer", combine_attrs="override")
        names = [part.attrs["filename"] for part in parts]
        return xarray.Dataset({"raster": raster, "filename": ("partition", names)})


def _data_array(file: File, held: Callable[[ImageArray], Any]) -> xarray.DataArray:
    """Return the images of a file; `held` makes of their array what holds them."""
    import numpy
    import xarray

    with opened(file) as image:
        [head] = image.read_ranges([(0, HEADER_SIZE)])
        attributes = {"filename": image.url}
        if is_packed(head):
            head = plain(image).read(HEADER_SIZE) or b""
            data = imread(image)
            dims = _BY_COUNT[data.ndim]
        else:
            [images] = looked_into([image])
            array = ImageArray([images], is_one=True)
            dims = tuple(_NAMES.get(name, name) for name in array.dims)
            data = held(array)
    voxel_size = _voxel_size(head)
    if voxel_size is not None:
        attributes["voxel_size"] = voxel_size
    coords = {name: numpy.arange(size) for name, size in zip(dims, data.shape, strict=True)}
    return xarray.DataArray(data, coords, dims, attrs=attributes)


def _voxel_size(head: bytes) -> Any:
    """Return Å along x, y, z as mrcfile does; None of what is no MRC file."""
    from mrcfile.mrcinterpreter import MrcInterpreter

    # What follows the header wasn't fetched.
    alone = bytearray(head)
    alone[_EXTENDED_SIZE] = bytes(4)
    try:
        return MrcInterpreter(io.BytesIO(alone), header_only=True).voxel_size
    except ValueError:
        return None
