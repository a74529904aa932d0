"""What is known of images besides their pixels: axes, places in Å, where they are from.

`lazy` and `references` tell the same of the same files.

Threading: no state.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from empiarfs.core.entries.values import Entry
from empiarfs.core.targets import entry_number
from empiarfs.python.choosing import ADDITION_S, metadata_of
from empiarfs.python.file import ArchiveFile
from empiarfs.python.images import File, ImageArray, Images, looked_into

_FILE = (str, os.PathLike, ArchiveFile)
# Of the callers of `labelled`: whoever called those is told of what is odd about his files.
_USER = 4


@dataclass(frozen=True, slots=True)
class Labelled:
    """The images of one file, or of several that are alike, and what is known of them.

    Attributes:
        images: Those of each file.
        is_one: A single file was given by itself, so that there is no axis of files.
        array: All of them.
        spacing: Å from one pixel to the next along each of x, y, z that is an axis; nothing if
            that isn't known.
        attributes: Of all files together: `pixel_size`, `pixel_size_from`, `entry`, `doi`, each
            if it is known; `source` if there is one file.
        by_file: Texts for each file, by name: `file` and `source`; nothing if there is one.
    """

    images: Sequence[Images]
    is_one: bool
    array: ImageArray
    spacing: dict[str, float]
    attributes: dict[str, Any]
    by_file: dict[str, list[str]]


def labelled(
    files: File | Iterable[File], pixel_size: float | None, *, only_mrc: bool = False
) -> Labelled:
    """Look into files, and return what is known of their images.

    Args:
        files: As `lazy` takes them.
        pixel_size: Å for each pixel; None for what the headers say, or EMPIAR.
        only_mrc: Others are refused, before anything of them is decoded.

    Raises:
        OSError: A file isn't there, or can't be had.
        ValueError: One isn't an image that can be read in parts, or they aren't alike.
        ImportError: What reads this format is missing.
    """
    is_one = isinstance(files, _FILE)
    given = [cast(File, files)] if is_one else list(cast("Iterable[File]", files))
    images = _alike(given, only_mrc=only_mrc)
    array = ImageArray(images, is_one=is_one)
    sizes, sizes_from = _pixel_sizes(images, pixel_size)
    spacing = {
        axis: size
        for axis, size in zip("xyz", sizes, strict=False)
        if size is not None and axis in array.dims
    }
    attributes = _attributes(images)
    if spacing:
        attributes |= {"pixel_size": list(spacing.values()), "pixel_size_from": sizes_from}
    if is_one:
        attributes["source"] = images[0].file.url
        return Labelled(images, is_one, array, spacing, attributes, {})
    by_file = {
        "file": [each.file.path for each in images],
        "source": [each.file.url for each in images],
    }
    return Labelled(images, is_one, array, spacing, attributes, by_file)


def _alike(files: Sequence[File], *, only_mrc: bool) -> list[Images]:
    """Return the images of each file, all of one shape and type."""
    if not files:
        raise ValueError("there is no file to be read")
    found: list[Images] = []
    for images in looked_into(files, only_mrc=only_mrc):
        found.append(images)
        if (images.dims, images.shape, images.dtype) != (
            found[0].dims, found[0].shape, found[0].dtype,
        ):  # fmt: skip
            raise ValueError(
                f"{images.file.path} has {_told(images)}, and {found[0].file.path} has "
                f"{_told(found[0])}; each by itself can be read"
            )
    return found


def _told(images: Images) -> str:
    return f"{' × '.join(map(str, images.shape))} of {images.dtype}"


# -- what is known of them -------------------------------------------------------------------


def _pixel_sizes(
    images: Sequence[Images], given: float | None
) -> tuple[tuple[float | None, ...], str]:
    """Return Å along x, y, z, and who says so."""
    if given is not None:
        return (given, given, given), "given"
    sizes = {each.pixel_size[:2] for each in images}
    if len(sizes) > 1:
        text = "pixel sizes differ, so that there are no coordinates in Å"
        warnings.warn(text, stacklevel=_USER)
        return (None, None, None), ""
    if None not in images[0].pixel_size[:2]:
        return images[0].pixel_size, "header"
    return (*_stated(images[0].file), None), "EMPIAR"


def _stated(file: ArchiveFile) -> tuple[float | None, float | None]:
    """Return Å along x and y as EMPIAR says of the nearest image set that the file lies in."""
    number = entry_number(file.path)
    if number is None:
        return None, None
    try:
        entry: Entry = metadata_of(file.session, number, ADDITION_S)
    except FileNotFoundError:
        return None, None
    except OSError as exc:
        text = f"no pixel size of {file.path} is known: {exc}"
        warnings.warn(text, stacklevel=_USER + 1)
        return None, None
    inside = file.path.partition("/")[2]
    around = [
        each
        for each in entry.image_sets
        if not each.directory or inside.startswith(f"{each.directory}/")
    ]
    nearest = max(around, key=lambda each: len(each.directory), default=None)
    return (nearest.pixel_width, nearest.pixel_height) if nearest else (None, None)


def _attributes(images: Sequence[Images]) -> dict[str, Any]:
    numbers = {entry_number(each.file.path) for each in images}
    if len(numbers) > 1 or None in numbers:
        return {}
    [number] = numbers
    return {"entry": f"EMPIAR-{number}", "doi": f"10.6019/EMPIAR-{number}"}
