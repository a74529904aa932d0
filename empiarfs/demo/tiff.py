"""Writes a TIFF movie: grey images of one size, one page for each frame, uncompressed.

Just what the demo needs, so that it needs no imaging library. The directory of a page
stands behind the page's pixels, as most writers leave it; a reader that walks the chain of
directories takes one small step in each frame, which is what makes such files slow over a
network.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt

_SHORT, _LONG = 3, 4


def tiff_movie(frames: Sequence[npt.NDArray[Any]]) -> bytes:
    """Return a little-endian TIFF file with one page for each frame.

    Args:
        frames: Two-dimensional arrays of uint8 or uint16, all of one shape and type, with
            an even number of bytes each; in all below 4 GiB.

    Raises:
        ValueError: For any other frames.
    """
    if not frames:
        raise ValueError("a TIFF file needs at least one page")
    shape, kind = frames[0].shape, frames[0].dtype
    if len(shape) != 2 or kind.kind != "u" or kind.itemsize not in (1, 2):
        raise ValueError(f"not a grey image of 8 or 16 bits: {shape}, {kind}")
    size = frames[0].nbytes
    if size % 2 or any(frame.shape != shape or frame.dtype != kind for frame in frames):
        raise ValueError("frames must be equal in shape and type, and have an even size")

    directory_size = len(_directory(shape, kind.itemsize, 0, size, 0))
    parts = [struct.pack("<2sHI", b"II", 42, 8 + size)]
    for number, frame in enumerate(frames):
        pixels_at = 8 + number * (size + directory_size)
        is_last = number == len(frames) - 1
        next_directory = 0 if is_last else pixels_at + 2 * size + directory_size
        parts.append(frame.astype(kind.newbyteorder("<")).tobytes())
        parts.append(_directory(shape, kind.itemsize, pixels_at, size, next_directory))
    return b"".join(parts)


def _directory(
    shape: tuple[int, ...], item_size: int, pixels_at: int, size: int, next_directory: int
) -> bytes:
    height, width = shape
    tags = (
        (256, _LONG, width),
        (257, _LONG, height),
        (258, _SHORT, 8 * item_size),
        (259, _SHORT, 1),  # uncompressed
        (262, _SHORT, 1),  # 0 is black
        (273, _LONG, pixels_at),
        (277, _SHORT, 1),  # samples per pixel
        (278, _LONG, height),  # rows per strip: the page is one strip
        (279, _LONG, size),
    )
    # A SHORT sits in the first two of its four bytes, which "<I" gives it too.
    rows = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return struct.pack("<H", len(tags)) + rows + struct.pack("<I", next_directory)
