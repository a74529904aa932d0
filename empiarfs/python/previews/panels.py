"""One file: what is shown of it, and the pictures and words that show it.

`view_of` says what will be read, so that the bytes of many files can be asked for before the
first is read; `portrait` reads it.

Threading: used from one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy

from empiarfs.core import paths
from empiarfs.formats.regions import Region
from empiarfs.python.previews.averages import (
    Average,
    factor_for,
    plain,
    power_spectrum,
    smaller,
    stretched,
)
from empiarfs.python.previews.sources import Source
from empiarfs.python.previews.views import (
    Kind,
    Shape,
    Wishes,
    chosen_images,
    fitting_region,
    kind_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of movies; frames of EER have a small part of the dose of others.
_FRAMES, _EER_FRAMES = 8, 40
_GAP = 2


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of a file's picture.

    Attributes:
        pixels: Bytes, rows × columns.
        pixel_a: Å of each of them, or None if that isn't known.
        caption: What it is, or "".
    """

    pixels: NDArray[Any]
    pixel_a: float | None
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Portrait:
    """What is shown of a file.

    Attributes:
        path: Below the archive's root.
        panels: Side by side; none if it couldn't be read.
        lines: What is to be said of it.
        problem: Why it couldn't be read, or "".
    """

    path: str
    panels: tuple[Panel, ...]
    lines: tuple[str, ...]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What will be read of a file.

    Attributes:
        kind: What is shown.
        frames: Which frames; sections of a volume.
        region: Of each.
        cuts: Of a volume: "xz", "yz"; sections across `frames`.
    """

    kind: Kind
    frames: Sequence[int]
    region: Region
    cuts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a file from elsewhere.

    Attributes:
        pixel_size: Å, as EMPIAR says; or None.
        gain: By what the pixels of the view's region are multiplied, or None.
        notes: To be said.
    """

    pixel_size: float | None = None
    gain: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()


def view_of(source: Source, path: str, role: str, wishes: Wishes, *, alone: bool) -> View:
    """Return what will be read of a file.

    Args:
        source: The file.
        path: Where it is.
        role: What it is for.
        wishes: What is wanted.
        alone: Its picture is the only one; else volumes show one section.

    Raises:
        ValueError: Even one frame is far too much.
    """
    shape, most = source.shape, wishes.most
    kind = kind_of(paths.split(path)[1], role, shape)
    if kind in ("slices", "tilt"):
        depth = shape.depth or shape.frames or 1
        middle = [depth // 2]
        region = fitting_region(shape, most, lambda part: source.cost(middle, part))
        cuts: tuple[str, ...] = ()
        if kind == "slices" and alone and _is_whole(region, shape):
            cuts = _cheap_cuts(source, depth, most)
        return View(kind, middle, region, cuts)
    region = fitting_region(shape, most, lambda part: source.cost([0], part))
    if kind == "grid":
        assert shape.frames is not None
        number = _as_many(source, wishes.images, region, most)
        return View(kind, chosen_images(shape.frames, number, wishes.seed), region)
    wanted = wishes.frames or (_EER_FRAMES if source.is_eer else _FRAMES)
    number = wanted if shape.frames is None else min(wanted, shape.frames)
    return View(kind, range(_as_many(source, number, region, most)), region)


def _as_many(source: Source, wanted: int, region: Region, most: int) -> int:
    """Return how many frames don't cost too much; at least one."""
    while wanted > 1 and source.cost(range(wanted), region) > most:
        wanted -= max(1, wanted // 10)
    return wanted


def _is_whole(region: Region, shape: Shape) -> bool:
    return region == Region(0, shape.rows, 0, shape.columns)


def _cheap_cuts(source: Source, depth: int, most: int) -> tuple[str, ...]:
    shape = source.shape
    if depth < 2:
        return ()
    if source.cost(range(depth), Region(0, shape.rows, 0, shape.columns)) <= most:
        return ("xz", "yz")
    return ("xz",) if source.cost(range(depth), _row(shape)) <= most else ()


def _row(shape: Shape) -> Region:
    middle = shape.rows // 2
    return Region(middle, middle + 1, 0, shape.columns)


def foresee(source: Source, view: View) -> None:
    """Have what is read first fetched; of files whose frames are a chain, the first frame."""
    frames = view.frames if source.shape.frames is not None else view.frames[:1]
    source.foresee(frames, view.region)


def portrait(
    source: Source, path: str, view: View, wishes: Wishes, known: Known, *, alone: bool
) -> Portrait:
    """Read what a view says, and return what is shown of it.

    Raises:
        ValueError: The file is broken, or ends too early.
        OSError: Its bytes can't be had.
    """
    pixel_size, notes = _pixel_size(source, known), list(known.notes)
    if view.kind == "grid":
        panels = [_grid(source, view, wishes, pixel_size)]
        notes.insert(0, f"{len(view.frames)} of {source.shape.frames} images")
    elif view.kind == "slices":
        panels = _slices(source, view, wishes, pixel_size)
        depth = source.shape.depth or source.shape.frames
        notes.insert(0, f"section {view.frames[0] + 1} of {depth}")
    else:
        average = _averaged(source, view, wishes, known)
        panels = [Panel(stretched(average.small), _times(pixel_size, average.factor))]
        if alone:
            panels += _spectrum(average, pixel_size)
        notes[:0] = _about_frames(source, view, average.frames)
    shape, region = source.shape, view.region
    if not _is_whole(region, shape):
        size = f"{region.right - region.left} × {region.bottom - region.top}"
        notes.insert(0, f"the middle {size} pixels")
    return Portrait(path, tuple(panels), (_facts(source, pixel_size), ", ".join(notes)))


def _averaged(source: Source, view: View, wishes: Wishes, known: Known) -> Average:
    region = view.region
    rows, columns = region.bottom - region.top, region.right - region.left
    factor = factor_for(max(rows, columns), wishes.pixels)
    average = Average(rows, columns, factor, known.gain)
    is_chain = source.shape.frames is None
    for number in view.frames:
        frame = source.read(number, region)
        if frame is None:
            break
        if is_chain and number + 1 in view.frames:
            # Its directory is read for that; its pixels come while these are worked on.
            source.foresee([number + 1], region)
        average.add(frame)
    if not average.frames:
        raise ValueError(f"it holds no frame {view.frames[0]}")
    return average


def _about_frames(source: Source, view: View, averaged: int) -> list[str]:
    count = source.shape.frames
    if view.kind == "tilt":
        return [f"image {view.frames[0] + 1} of {count}"]
    if averaged == 1 and count is not None and count > 1:
        return [f"the first of {count} frames"]
    of = "" if count is None else f" of {count}"
    return [f"average of {averaged}{of} frames"] if averaged > 1 else []


def _spectrum(average: Average, pixel_size: float | None) -> list[Panel]:
    found = power_spectrum(average.middle)
    if found is None:
        return []
    caption = "power spectrum"
    if pixel_size is not None:
        caption += f", to {2 * pixel_size:.3g} Å"
    return [Panel(stretched(found), None, caption)]


def _grid(source: Source, view: View, wishes: Wishes, pixel_size: float | None) -> Panel:
    across = max(1, int(numpy.ceil(len(view.frames) ** 0.5)))
    side = max(8, wishes.pixels // across - _GAP)
    cells: list[NDArray[Any]] = []
    factor = factor_for(max(source.shape.rows, source.shape.columns), side)
    for number in view.frames:
        image = source.read(number, view.region)
        if image is None:
            break
        # Each by itself: particles differ in ice and defocus.
        cells.append(stretched(smaller(image, factor)))
    rows, columns = cells[0].shape
    down = -(-len(cells) // across)
    shape = down * (rows + _GAP) - _GAP, across * (columns + _GAP) - _GAP
    made: NDArray[Any] = numpy.zeros(shape, "u1")
    for place, cell in enumerate(cells):
        top, left = place // across * (rows + _GAP), place % across * (columns + _GAP)
        made[top : top + rows, left : left + columns] = cell
    return Panel(made, _times(pixel_size, factor))


def _slices(source: Source, view: View, wishes: Wishes, pixel_size: float | None) -> list[Panel]:
    found = {"xy": _needed(source, view.frames[0], view.region)}
    depth = source.shape.depth or source.shape.frames or 1
    whole = Region(0, source.shape.rows, 0, source.shape.columns)
    if view.cuts:
        region = whole if "yz" in view.cuts else _row(source.shape)
        source.foresee(range(depth), region)
        row, column = region.top, source.shape.columns // 2
        row = source.shape.rows // 2 - row
        sections = (plain(_needed(source, number, region)) for number in range(depth))
        lines = [(section[row], section[:, column]) for section in sections]
        found["xz"] = numpy.stack([across for across, _ in lines])
        if "yz" in view.cuts:
            found["yz"] = numpy.stack([along for _, along in lines])
    # All by the same factor, so that their sides can be compared.
    factor = factor_for(max(max(each.shape[:2]) for each in found.values()), wishes.pixels)
    size = _times(pixel_size, factor)
    return [
        Panel(stretched(smaller(values, factor)), size, name if len(found) > 1 else "")
        for name, values in found.items()
    ]


def _needed(source: Source, number: int, region: Region) -> NDArray[Any]:
    found = source.read(number, region)
    if found is None:
        raise ValueError(f"it holds no section {number}")
    return found


def _pixel_size(source: Source, known: Known) -> float | None:
    # 1 is what some programs write who don't know.
    if source.pixel_size in (None, 1.0) and known.pixel_size is not None:
        return known.pixel_size
    return source.pixel_size


def _times(pixel_size: float | None, factor: int) -> float | None:
    return None if pixel_size is None else pixel_size * factor


def _facts(source: Source, pixel_size: float | None) -> str:
    shape = source.shape
    count = "" if shape.frames in (None, 1) else f" × {shape.frames}"
    parts = [f"{shape.columns} × {shape.rows}{count}", source.type_name]
    if pixel_size is None:
        parts.append("pixel size not known")
    else:
        source_of_size = "" if pixel_size == source.pixel_size else " (EMPIAR)"
        parts.append(f"{pixel_size:.4g} Å/px{source_of_size}")
    return ", ".join(parts)
