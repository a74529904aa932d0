"""What is in a file, told from as few of its bytes as will do.

    window.py   the bytes of a file, read as they are asked for, and counted
    mrc.py      MRC headers            tiff.py   TIFF, BigTIFF and EER
    star.py     STAR tables            mdoc.py   SerialEM's metadata
    hdf5.py     the HDF5 superblock    kinds.py  which of them a file is
    cs.py       cryoSPARC's tables     names.py  the files that a table names
    mrc_pixels.py   where pixels are   regions.py   which of them are meant

The parsers do no I/O: they ask a `Window`, whose bytes somebody else fetches. Nothing in a
file is believed: every count, size and offset is bounded before it is used, and what can't
be understood is a `FormatError` or a line among the problems, never a guess.

Threading: no state but in the `Window`, which belongs to one thread.
"""

from __future__ import annotations

from empiarfs.formats.kinds import Contents, contents_of
from empiarfs.formats.window import FormatError, Window

__all__ = ["Contents", "FormatError", "Window", "contents_of"]
