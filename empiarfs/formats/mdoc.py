"""SerialEM's mdoc files: what they say of all images, and what of each.

After https://bio3d.colorado.edu/SerialEM/hlp/html/about_formats.htm: lines of `name = value`,
titles as `[T = …]`, and a section `[ZValue = N]` or `[FrameSet = N]` for each image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from empiarfs.formats.names import Names
from empiarfs.formats.window import FormatError, Window

_MOST_BYTES = 16 * 1024 * 1024
_MOST_KEYS = 200
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_LONGEST_LINE = 4096
_SECTIONS = ("ZValue", "FrameSet", "MontSection", "Image")


@dataclass(frozen=True, slots=True)
class MdocFile:
    """What an mdoc file says.

    Attributes:
        values: Of the whole file, by name.
        titles: Its titles.
        sections: How many images it describes.
        tilt_angles: The smallest and the largest in degrees; None if there are none.
        section_keys: What is told of images, in the order of first appearance.
        is_complete: Whether all of the file was read.
    """

    values: dict[str, str]
    titles: tuple[str, ...]
    sections: int
    tilt_angles: tuple[float, float] | None
    section_keys: tuple[str, ...]
    is_complete: bool


def parse_mdoc(window: Window) -> MdocFile:
    """Return what the file says."""
    most = min(window.size, window.left, _MOST_BYTES)
    values: dict[str, str] = {}
    titles: list[str] = []
    keys: dict[str, None] = {}
    angles: list[float] = []
    sections = 0
    for is_title, name, value in _lines(window, most):
        if is_title:
            if name in _SECTIONS:
                sections += 1
            elif name == "T" and len(titles) < _MOST_KEYS:
                titles.append(value)
        elif not sections:
            if len(values) < _MOST_KEYS:
                values[name] = value
        else:
            if len(keys) < _MOST_KEYS:
                keys[name] = None
            angle = _angle(value) if name == "TiltAngle" else None
            if angle is not None:
                angles.append(angle)
    return MdocFile(
        values=values,
        titles=tuple(titles),
        sections=sections,
        tilt_angles=(min(angles), max(angles)) if angles else None,
        section_keys=tuple(keys),
        is_complete=most == window.size,
    )


def files_in_mdoc(window: Window) -> Names:
    """Return the files that were recorded, as `SubFramePath`, and the stack, `ImageFile`.

    Raises:
        FormatError: It names none, or is longer than may be read.
    """
    if window.size > min(window.left, _MOST_BYTES):
        raise FormatError(f"it has {window.size} bytes, and {_MOST_BYTES} may be read")
    names = Names()
    for _, name, value in _lines(window, window.size, "surrogateescape"):
        if name in ("SubFramePath", "ImageFile"):
            names.add(name, value)
    if not names:
        raise FormatError("it names no files: it has neither SubFramePath nor ImageFile")
    return names


def _lines(window: Window, most: int, errors: str = "replace") -> Iterator[tuple[bool, str, str]]:
    """Yield for each line whether it is in brackets, the name and the value."""
    for line in window.up_to(0, most).decode("utf-8", errors).splitlines():
        words = line[:_LONGEST_LINE].strip()
        is_title = words.startswith("[") and words.endswith("]")
        name, _, value = (words[1:-1] if is_title else words).partition("=")
        name, value = name.strip(), value.strip()
        if _NAME.fullmatch(name) is not None:
            yield is_title, name, value


def _angle(text: str) -> float | None:
    try:
        angle = float(text)
    except ValueError:
        return None
    return angle if math.isfinite(angle) else None
