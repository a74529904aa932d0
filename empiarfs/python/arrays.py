"""Frames and regions of images as NumPy arrays, from little more than their bytes.

    MRC, MRCS, map, st, rec, …   by the rules of mrcfile; also modes 3 and 101 (`mrcs.py`)
    TIFF, BigTIFF, EER           by tifffile and imagecodecs: `pip install 'empiarfs[arrays]'`
    any of them, packed          by bzip2 or gzip: unpacked as far as is needed (MRC), or wholly

Which of them a file is its first bytes tell, and its name only where those can't.

Threading: no state; a file may be read by several threads.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from empiarfs.formats import FormatError
from empiarfs.formats.kinds import format_of
from empiarfs.formats.mrc import HEADER_SIZE
from empiarfs.formats.regions import Corners, Frames, checked_region, chosen_frames
from empiarfs.python.file import ArchiveFile
from empiarfs.python.file import open as open_file
from empiarfs.python.mrcs import MrcImages
from empiarfs.python.unpacked import Spool, is_packed

if TYPE_CHECKING:
    from numpy.typing import NDArray


def imread(
    file: str | os.PathLike[str] | ArchiveFile,
    frames: Frames = None,
    region: Corners | None = None,
) -> NDArray[Any]:
    """Return an image, or some frames of one, or a part of each.

    Of MRC files little more is fetched than the bytes that are returned (whole rows, if rows
    are shorter than 128 KiB), and all of that side by side. Of TIFF and EER files, all of each
    frame that is wanted. Of a packed file, all before what is wanted.

    Args:
        file: As `empiarfs.open` takes it, or what that returned. It may be packed by bzip2 or
            gzip.
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
        [head] = opened.read_ranges([(0, HEADER_SIZE)])
        if not is_packed(head):
            return _read(opened, frames, region)
        with Spool(opened) as unpacked:
            return _read(unpacked, frames, region)


def _read(file: ArchiveFile | Spool, frames: Frames, region: Corners | None) -> NDArray[Any]:
    [head] = file.read_ranges([(0, HEADER_SIZE)])
    try:
        kind = format_of(plain_name(file.path), head)
        if kind == "MRC":
            return _read_mrc(MrcImages(file), frames, region)
    except FormatError as exc:
        raise ValueError(f"{file.path}: {exc}") from exc
    check_tiff(file.path, kind if head else "empty")
    from empiarfs.python.tiffs import read_tiff

    return read_tiff(file, frames, region)


def _read_mrc(images: MrcImages, frames: Frames, region: Corners | None) -> NDArray[Any]:
    wanted = chosen_frames(frames, len(images))
    part = checked_region(region, *images.frame_shape[-2:])
    made = images.read(wanted, part)
    return made[0] if isinstance(frames, int) or (frames is None and images.is_single) else made


def plain_name(path: str) -> str:
    """Return a file's name as it is when it isn't packed."""
    return path.removesuffix(".gz").removesuffix(".bz2")


def check_tiff(path: str, kind: str) -> None:
    """Raise a ValueError if a file of this kind is no TIFF, and so no image that can be read."""
    if kind != "TIFF":
        raise ValueError(f"{path}: {kind}, and no image that can be read")
