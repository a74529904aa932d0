"""cryoSPARC's tables of images, `.cs`: the files that they name.

Such a file is a structured array of NumPy with a field for each property
(https://guide.cryosparc.com, "Manipulating .cs Files"), in the format of
https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Nothing is ever
unpickled, and the rows are read a few at a time: NumPy's own reader takes all into memory.
"""

from __future__ import annotations

import ast
import warnings
from typing import Any

from empiarfs.formats.names import Names
from empiarfs.formats.window import FormatError, Window

FILE_FIELDS = (
    "movie_blob/path",
    "micrograph_blob/path",
    "micrograph_blob_non_dw/path",
    "blob/path",
    "location/micrograph_path",
    "gain_ref_blob/path",
)
"""Fields that name images."""

_MAGIC = b"\x93NUMPY"
_CSDAT = b"\x94CSDAT"
# A field takes some 50 bytes in the header, and tables have up to 200 fields.
_MOST_HEADER = 256 * 1024
_STEP = 1024 * 1024


def files_in_cs(window: Window) -> Names:
    """Return the files that a table names, by field.

    Raises:
        FormatError: It is no such table, holds pickles, is broken, or names no files.
    """
    dtype, rows, start = _header(window)
    fields = [name for name in FILE_FIELDS if name in (dtype.names or ())]
    if not fields:
        raise FormatError(f"it names no files: none of its fields is {', '.join(FILE_FIELDS)}")
    if dtype.hasobject or any(dtype[name].kind not in "SU" for name in fields):
        # What stands for an object is a pickle, which may do anything when it is read.
        raise FormatError("its fields hold objects of Python, which aren't read")
    if not 0 < dtype.itemsize <= _STEP or rows < 0:
        raise FormatError(f"{rows} rows of {dtype.itemsize} bytes")
    if start + rows * dtype.itemsize > window.size:
        raise FormatError(f"{rows} rows of {dtype.itemsize} bytes, and it has {window.size} bytes")
    names = Names()
    for field in fields:
        names.begin(field)
    _add_rows(window, names, fields, dtype, range(start, start + rows * dtype.itemsize))
    return names


def _header(window: Window) -> tuple[Any, int, int]:
    """Return the type of a row, how many there are, and the offset of the first."""
    head = window.up_to(0, 12)
    if head.startswith(_CSDAT):
        raise FormatError("it is in cryoSPARC's CSDAT format; let cryosparc-tools save it as .cs")
    if not head.startswith(_MAGIC) or len(head) < 12:
        raise FormatError("it is no .cs file: it doesn't begin as NumPy's arrays do")
    short = head[6] == 1
    if head[6:8] not in (b"\1\0", b"\2\0"):
        raise FormatError(f"NumPy's format {head[6]}.{head[7]} isn't known here")
    size = int.from_bytes(head[8 : 10 if short else 12], "little")
    if size > _MOST_HEADER:
        raise FormatError(f"a header of {size} bytes")
    start = (10 if short else 12) + size
    shape, dtype = _meaning(window.at(start - size, size).decode("latin-1"))
    if len(shape) != 1:
        raise FormatError(f"it holds an array of {len(shape)} dimensions, not a list of rows")
    return dtype, shape[0], start


def _meaning(text: str) -> tuple[tuple[int, ...], Any]:
    """Return the shape and the type that a header describes, which is a literal of Python."""
    # Importing it takes 0.1 s that no other format needs.
    from numpy.lib import format as npy

    try:
        with warnings.catch_warnings():
            # What is doubtful would be told on stderr.
            warnings.simplefilter("error")
            header = ast.literal_eval(text.strip())
            shape, dtype = header["shape"], npy.descr_to_dtype(header["descr"])
            if not all(type(size) is int for size in shape):
                raise ValueError("a shape of other than numbers")
            return tuple(shape), dtype
    # Both may fail in as many ways as Python has.
    except Exception as exc:
        raise FormatError(f"its header is broken: {str(exc)[:100]}") from exc


def _add_rows(window: Window, names: Names, fields: list[str], dtype: Any, span: range) -> None:
    import numpy

    step = _STEP // dtype.itemsize * dtype.itemsize
    for offset in range(span.start, span.stop, step):
        data = window.at(offset, min(step, span.stop - offset))
        rows = numpy.frombuffer(data, dtype)
        for field in fields:
            # As lists of Python: those that follow each other are mostly equal.
            for value in dict.fromkeys(rows[field].tolist()):
                text = (
                    value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
                )
                # It marks paths in the project's directory.
                names.add(field, text.removeprefix(">"))
