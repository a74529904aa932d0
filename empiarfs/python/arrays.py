"""Frames and regions of images as NumPy arrays, from little more than their bytes.

    MRC, MRCS, map, st, rec, …   here, by the rules of mrcfile; also modes 3 and 101
    TIFF, BigTIFF, EER           by tifffile and imagecodecs: `pip install 'empiarfs[arrays]'`

Which of them a file is its first bytes tell, and its name only where those can't.

Threading: no state; a file may be read by several threads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from empiarfs.formats import FormatError, Window
from empiarfs.formats.kinds import format_of
from empiarfs.formats.mrc import HEADER_SIZE, parse_mrc
from empiarfs.formats.mrc_pixels import MrcPixels, Part, mrc_pixels
from empiarfs.formats.regions import (
    Corners,
    Frames,
    Region,
    checked_region,
    chosen_frames,
    highest,
)
from empiarfs.python.file import ArchiveFile
from empiarfs.python.file import open as open_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

# As mrcfile has them; pairs of 16-bit integers become complex numbers, pixels of 4 bits bytes.
_TYPES = {0: "i1", 1: "i2", 2: "f4", 3: "i2", 4: "c8", 6: "u2", 12: "f2", 101: "u1"}


def imread(
    file: str | os.PathLike[str] | ArchiveFile,
    frames: Frames = None,
    region: Corners | None = None,
) -> NDArray[Any]:
    """Return an image, or some frames of one, or a part of each.

    Of MRC files little more is fetched than the bytes that are returned (whole rows, if rows
    are shorter than 128 KiB), and all of that side by side. Of TIFF and EER files, all of each
    frame that is wanted.

    Args:
        file: As `empiarfs.open` takes it, or what that returned.
        frames: Which; as an index of the first axis: a number, a slice, or numbers. All if None.
        region: Of each frame, as (y0, y1, x0, x1) in pixels: rows y0 up to y1 without it, and
            columns likewise. All if None.

    Returns:
        Frames × rows × columns, in the file's own type and byte order. Without the first axis
        if `frames` is a number, or None for a file that holds one image.

    Raises:
        OSError: The bytes can't be had.
        ValueError: The file isn't an image that can be read, or ends too early; or the region
            isn't within the frames.
        IndexError: There is no such frame.
        ImportError: A package is missing that reads this format.
    """
    with nullcontext(file) if isinstance(file, ArchiveFile) else open_file(file) as opened:
        try:
            head = _bytes(opened, 0, HEADER_SIZE)
            kind = format_of(opened.path, head)
            if kind == "MRC":
                return _read_mrc(opened, frames, region)
        except FormatError as exc:
            raise ValueError(f"{opened.path}: {exc}") from exc
        if kind != "TIFF":
            kind = kind if opened.size else "empty"
            raise ValueError(f"{opened.path}: {kind}, and no image that can be read")
        from empiarfs.python.tiffs import read_tiff

        return read_tiff(opened, frames, region)


def _bytes(file: ArchiveFile, offset: int, size: int) -> bytes:
    [data] = file.read_ranges([(offset, size)])
    return data


# -- MRC -------------------------------------------------------------------------------------


def _read_mrc(
    file: ArchiveFile,
    frames: Frames,
    region: Corners | None,
) -> NDArray[Any]:
    import numpy

    window = Window(file.size, lambda offset, size: _bytes(file, offset, size), HEADER_SIZE)
    pixels = mrc_pixels(parse_mrc(window))
    header = pixels.header
    wanted = chosen_frames(frames, pixels.frames)
    part = checked_region(region, header.rows, header.columns)
    # Nothing is set aside for what isn't in the file.
    if wanted and pixels.stop(highest(wanted)) > file.size:
        raise FormatError(f"the file ends before frame {highest(wanted)}")
    order = "<" if header.byte_order == "little" else ">"
    stored = numpy.dtype(order + _TYPES[header.mode])
    depth = pixels.depth or 1
    made: NDArray[Any] = numpy.empty(
        (len(wanted), depth, part.bottom - part.top, part.right - part.left),
        numpy.complex64 if header.mode == 3 else stored,
    )
    if made.size:
        _fill(made, file, pixels, wanted, part, stored)
    if pixels.depth is None:
        made = made[:, 0]
    return made[0] if isinstance(frames, int) or (frames is None and pixels.is_single) else made


def _fill(
    made: NDArray[Any],
    file: ArchiveFile,
    pixels: MrcPixels,
    wanted: Sequence[int],
    region: Region,
    stored: Any,
) -> None:
    parts = [
        (number, part)
        for number, frame in enumerate(wanted)
        for part in pixels.parts(frame, region)
    ]
    found = file.read_ranges([(part.offset, part.size) for _, part in parts])
    for (number, part), data in zip(parts, found, strict=True):
        left = part.region.left
        rows = _decoded(data, part, pixels, stored)[:, region.left - left : region.right - left]
        top = part.region.top - region.top
        made[number, part.section, top : top + len(rows)] = rows


def _decoded(data: bytes, part: Part, pixels: MrcPixels, stored: Any) -> NDArray[Any]:
    """Return the pixels in the bytes of a part, row by row."""
    import numpy

    rows = part.region.bottom - part.region.top
    columns = part.region.right - part.region.left
    values = numpy.frombuffer(data, stored).reshape(rows, -1)
    if pixels.header.mode == 101:
        halves = numpy.empty((rows, 2 * values.shape[1]), "u1")
        halves[:, 0::2], halves[:, 1::2] = values & 15, values >> 4
        return halves[:, :columns]
    if pixels.header.mode == 3:
        pairs = values.astype("f4")
        return pairs[:, 0::2] + 1j * pairs[:, 1::2]
    return values
