"""STAR files with EMPIARreader's dimensions: "frame" for the blocks, "index" for the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from empiarfs.compat.empiarreader.files import File, FileSource, check_packages, opened
from empiarfs.python.tables import read_star

if TYPE_CHECKING:
    import xarray


class StarSource(FileSource):
    """STAR files, which may be packed.

    Args:
        urlpath: A file, or several; each as `empiarfs.open` takes it.
        metadata: Kept as it is.
    """

    name = "starfile"

    def _partition(self, i: int) -> xarray.Dataset:
        return _dataset(self._files[i])

    def to_dask(self) -> xarray.Dataset:
        """Return the same as `read`, in arrays of dask; the files are read now."""
        return self.read().chunk()

    def read(self) -> xarray.Dataset:
        """Return the tables of all files; "partition" is an axis of theirs if they are several.

        Their files' URLs are "filename", along "partition".
        """
        if self._dataset is None:
            self._dataset = self._all()
        return self._dataset

    def _all(self) -> xarray.Dataset:
        check_packages()
        parts = [_dataset(file) for file in self._files]
        names = [part.attrs["filename"] for part in parts]
        found = parts[0] if len(parts) == 1 else _together(parts, "partition")
        found = found.assign({"filename": ("partition", names)})
        found.attrs = {}
        return found


def _dataset(file: File) -> xarray.Dataset:
    """Return the blocks of a file; one that is no table has one row."""
    with opened(file) as table:
        url, blocks = table.url, read_star(table)
    import pandas

    frames = [
        pandas.DataFrame([block]) if isinstance(block, dict) else block
        for block in blocks.values()
    ]
    found = _together([frame.to_xarray() for frame in frames], "frame")
    return found.assign_attrs(filename=url)


def _together(parts: list[Any], axis: str) -> Any:
    import pandas
    import xarray

    number = pandas.RangeIndex(len(parts), name=axis)
    return xarray.concat(
        parts, number, data_vars="all", coords="different", compat="equals", join="outer"
    )
