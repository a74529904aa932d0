"""An `ImageArray` behind xarray's own arrays: read when it is looked at, and kept from then on.

Imported where xarray is there.
"""

from __future__ import annotations

from typing import Any

from xarray.backends import BackendArray
from xarray.core import indexing

from empiarfs.python.images import ImageArray


class Backend(BackendArray):
    """What xarray asks for the parts of an array that it doesn't have."""

    def __init__(self, array: ImageArray) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        self._array = array

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._array.__getitem__
        )


def when_looked_at(array: ImageArray) -> Any:
    """Return what xarray takes for an array of NumPy; parts are fetched when they are needed.

    It may be written to, as one of NumPy; nothing but this array changes then.
    """
    fetched = indexing.LazilyIndexedArray(Backend(array))
    return indexing.CopyOnWriteArray(indexing.MemoryCachedArray(fetched))
