"""Which frames of a file a picture is made from, and which part of each.

    kind      of                                   shown
    --------  -----------------------------------  -----------------------------------------
    average   micrographs, movies, gain            the first frames, averaged
    tilt      tilt series                          the image in the middle
    grid      particle stacks, class averages      images side by side
    slices    tomograms, maps, subtomograms        central sections, as far as they are cheap

What a file is its role says (`empiarfs.core.roles`), then its name, then its shape. If not
even one frame fits what may be fetched, the middle of it is shown.

Pure functions, safe from any thread.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.formats.regions import Region

Kind = Literal["average", "tilt", "grid", "slices"]

_VOLUME_NAMES = (".rec", ".map", ".ccp4")
_TILT_NAMES = (".st", ".ali", ".preali")
_VOLUME = 1
# Boxes around particles; detectors have more pixels.
_LARGEST_BOX = 1024
# Of a frame, from each side's whole length on.
_PARTS = (1.0, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125, 0.09375, 0.0625)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller wants of each file.

    Attributes:
        pixels: Longest side of a picture.
        frames: Of a movie, to be averaged; None for what is usual.
        images: Of a stack, to be shown side by side.
        seed: Which of them.
        most: Bytes that may be fetched, about; one frame may take more.
    """

    pixels: int
    frames: int | None
    images: int
    seed: int
    most: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What a file holds, as far as that is known without going through it.

    Attributes:
        rows: Of a frame, in pixels.
        columns: Likewise.
        frames: How many; None if only its end would tell.
        depth: Sections of a volume, in a stack of volumes; else None.
        space_group: What an MRC header says: 0 for images, 1 for a volume; None in others.
    """

    rows: int
    columns: int
    frames: int | None
    depth: int | None = None
    space_group: int | None = None


def kind_of(name: str, role: str, shape: Shape) -> Kind:
    """Return what is to be shown of a file.

    >>> kind_of("x.mrcs", "unknown", Shape(100, 100, 5000, space_group=0))
    'grid'
    """
    name = name.lower()
    if shape.frames == 1:
        return "average"
    if shape.space_group is None:
        return "tilt" if role == "tilts" and shape.frames is not None else "average"
    if shape.depth is not None or role in ("tomograms", "maps") or name.endswith(_VOLUME_NAMES):
        return "slices"
    if role == "movies":
        return "average"
    if role == "tilts" or name.endswith(_TILT_NAMES):
        return "tilt"
    is_box = shape.rows == shape.columns <= _LARGEST_BOX
    is_volume = shape.space_group == _VOLUME
    if role == "particles" or (is_box and not (is_volume and shape.frames == shape.rows)):
        return "grid"
    return "slices" if is_volume else "average"


def fetched_size(ranges: Iterable[tuple[int, int]]) -> int:
    """Return how many bytes are fetched for ranges, given by offset and size: whole pieces.

    >>> fetched_size([(0, 10), (70_000, 10), (70_100, 10)])
    131072
    """
    count, last = 0, -1
    for offset, size in sorted(ranges):
        if size <= 0:
            continue
        first, end = max(offset // PIECE_SIZE, last + 1), (offset + size - 1) // PIECE_SIZE
        count += max(0, end - first + 1)
        last = max(last, end)
    return count * PIECE_SIZE


def fitting_region(shape: Shape, most: int, cost: Callable[[Region], int]) -> Region:
    """Return the middle of a frame that doesn't cost too much; all of it, if that doesn't.

    Args:
        shape: Of the file.
        most: Bytes.
        cost: Returns how many bytes a region of a frame takes.

    Raises:
        ValueError: Even a small part costs far too much.
    """
    last = 0
    for part in _PARTS:
        rows, columns = (max(1, int(side * part)) for side in (shape.rows, shape.columns))
        top, left = (shape.rows - rows) // 2, (shape.columns - columns) // 2
        region = Region(top, top + rows, left, left + columns)
        last = cost(region)
        if last <= most:
            return region
    whole = Region(0, shape.rows, 0, shape.columns)
    # In a file with one strip for each frame no part costs less than all.
    if cost(whole) <= max(8 * most, 64 * 1024 * 1024) and last >= cost(whole) // 2:
        return whole
    raise ValueError(f"even a small part of a frame takes {last} bytes")


def chosen_images(count: int, number: int, seed: int) -> Sequence[int]:
    """Return the numbers of `number` images of `count`; the same for the same seed.

    >>> chosen_images(3, 5, 0), len(chosen_images(10**9, 2, 0))
    (range(0, 3), 2)
    """
    if count <= number:
        return range(count)
    return sorted(random.Random(seed).sample(range(count), number))
