"""Frames of TIFF, BigTIFF and EER files, decoded by tifffile and imagecodecs.

Both come with `pip install 'empiarfs[arrays]'`. tifffile walks from one frame's directory to the
next, so no more of those are read than it takes to come to the last frame that is wanted.

Threading: no state.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from empiarfs.formats.regions import Corners, Frames, checked_region, chosen_frames
from empiarfs.python.file import ArchiveFile
from empiarfs.python.unpacked import Spool, View

try:
    import numpy
    import tifffile
except ImportError as exc:
    raise ImportError(f"{exc.name} is missing: pip install 'empiarfs[arrays]'") from exc

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What tifffile and imagecodecs raise of broken files has no class of its own; tifffile has had
# one, which was no ValueError in 2025 yet.
_BROKEN = (ValueError, RuntimeError, KeyError, TypeError, struct.error)
# Deflate packs 1,032 bytes into one at best, LZW some 1,400.
_MOST_PACKED = 2_000
# Frames of one colour may have hardly any bytes.
_SMALL = 64 * 1024 * 1024


def read_tiff(file: ArchiveFile | Spool, frames: Frames, region: Corners | None) -> NDArray[Any]:
    """Return frames of a file; see `empiarfs.python.arrays.imread`."""
    with opened_pages(file) as every:
        pages = _pages(every, frames)
        check_sizes(pages)
        file.foresee([part for page in pages for part in segments(page)])
        made = [_cut(page.asarray(), region) for page in pages]
        if not made:
            return _nothing(every, region)
        if isinstance(frames, int) or (frames is None and len(made) == 1):
            return made[0]
        return numpy.stack(made)


def tiff_layout(file: ArchiveFile) -> tuple[int, tuple[int, ...], Any]:
    """Return how many frames a file has, and the shape and type of the first.

    Raises:
        OSError: The bytes can't be had.
        ValueError: It is broken, or its frames are no images of rows and columns.
    """
    with opened_pages(file) as every:
        count = len(every)
        if not count:
            raise ValueError("it holds no frame")
        first = every[0]
        if first.axes not in ("YX", "YXS"):
            raise ValueError(f"a frame has the axes {first.axes}")
        return count, first.shape, first.dtype


@contextmanager
def opened_pages(file: ArchiveFile | Spool, view: type[View] = View) -> Iterator[Any]:
    """Lend the frames of a file, read by a `view`; what is wrong with them is a ValueError."""
    # Several threads may have it, each with a position of its own.
    source = view(file) if isinstance(file, ArchiveFile) else file
    with translated(file.path), tifffile.TiffFile(source, name=file.path) as opened:
        every: Any = _Complete(opened.pages)
        if opened.is_eer and every[0].compression == 1:
            every = _Later(every)
        yield every


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Make a ValueError of what goes wrong with the frames of a file; within another as well."""
    try:
        yield
    except (*_BROKEN, tifffile.TiffFileError) as exc:
        if str(exc).startswith(f"{path}: "):
            raise
        if "imagecodecs" in str(exc):
            raise ImportError(
                f"imagecodecs is missing, for {path}: pip install 'empiarfs[arrays]'"
            ) from exc
        raise ValueError(f"{path}: {exc}") from exc


class _Complete:
    """The frames of a file, which are counted only where their chain comes to its end.

    tifffile takes it for the end when the next directory can't be read.
    """

    def __init__(self, pages: Any) -> None:
        self._pages = pages

    def __len__(self) -> int:
        count = len(self._pages)
        if not count:
            return 0
        form, file = self._pages.parent.tiff, self._pages.parent.filehandle
        offset = self._pages[count - 1].offset
        file.seek(offset)
        [tags] = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        file.seek(offset + form.tagnosize + tags * form.tagsize)
        # Some writers leave the last one out.
        if any(file.read(form.offsetsize)):
            raise ValueError(f"what comes behind frame {count - 1} can't be read")
        return count

    def __getitem__(self, number: int) -> Any:
        return self._pages[number]


class _Later:
    """The frames of an EER file that begins with their sum."""

    def __init__(self, pages: Any) -> None:
        self._pages = pages

    def __len__(self) -> int:
        return len(self._pages) - 1

    def __getitem__(self, number: int) -> Any:
        return self._pages[number + 1]


def _nothing(pages: Any, region: Corners | None) -> NDArray[Any]:
    """Return no frame, in an array of the shape that frames have."""
    first = page_at(pages, 0)
    if first is None:
        raise ValueError("it holds no frame")
    part = checked_region(region, *first.shape[:2])
    shape = (0, part.bottom - part.top, part.right - part.left, *first.shape[2:])
    return numpy.empty(shape, first.dtype)


def _pages(pages: Any, frames: Frames) -> list[Any]:
    """Return the pages that are meant; those behind the last of them aren't looked for."""
    if isinstance(frames, slice) and _is_bounded(frames):
        numbers = range(frames.start or 0, frames.stop, frames.step or 1)
        found = (page_at(pages, number) for number in numbers)
        return list(takewhile(lambda page: page is not None, found))
    page = page_at(pages, frames) if isinstance(frames, int) and frames >= 0 else None
    if page is not None:
        return [page]
    return [pages[number] for number in chosen_frames(frames, len(pages))]


def page_at(pages: Any, number: int) -> Any:
    """Return a frame, from 0; None if there are fewer."""
    try:
        return pages[number]
    except IndexError:
        return None


def _is_bounded(frames: slice) -> bool:
    start, stop, step = frames.start or 0, frames.stop, frames.step or 1
    return stop is not None and start >= 0 and stop >= 0 and step > 0


def check_sizes(pages: list[Any]) -> None:
    """Refuse frames that are far larger than their bytes could be unpacked to."""
    for page in pages:
        most = _MOST_PACKED * sum(page.databytecounts) + _SMALL
        if page.nbytes > most:
            raise ValueError(f"a frame of {page.nbytes} bytes can't be in those that it has")


def segments(page: Any) -> list[tuple[int, int]]:
    """Return offset and size of a frame's strips or tiles, in bytes."""
    return list(zip(page.dataoffsets, page.databytecounts, strict=False))


def _cut(data: NDArray[Any], region: Corners | None) -> NDArray[Any]:
    part = checked_region(region, *data.shape[:2])
    return data[part.top : part.bottom, part.left : part.right]
