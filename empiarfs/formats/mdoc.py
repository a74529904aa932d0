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
# Texts that may look like numbers.
_TEXTS = frozenset(("SubFramePath", "ImageFile", "DateTime", "ChannelName", "NavigatorLabel"))
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_REAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?|nan|-?inf")

Value = str | int | float | tuple[int, ...] | tuple[float, ...]
"""A number, several, or a text."""


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


@dataclass(frozen=True, slots=True)
class MdocSection:
    """What an mdoc file says of one image.

    Attributes:
        kind: "ZValue", "FrameSet", "MontSection" or "Image".
        number: Its number in the stack; None if that is none, as for "Image".
        name: What the section's title says, such as "0", or a file for "Image".
        values: By name; numbers as numbers, several of them as tuples.
    """

    kind: str
    number: int | None
    name: str
    values: dict[str, Value]

    @property
    def tilt_angle(self) -> float | None:
        """Degrees; None if it isn't told."""
        return self._real("TiltAngle")

    @property
    def exposure_dose(self) -> float | None:
        """Electrons for each Å²; None if it isn't told."""
        return self._real("ExposureDose")

    @property
    def pixel_spacing(self) -> float | None:
        """Å for each pixel; None if it isn't told."""
        return self._real("PixelSpacing")

    @property
    def defocus(self) -> float | None:
        """Micrometres, as the microscope was set; None if it isn't told."""
        return self._real("Defocus")

    @property
    def movie(self) -> str | None:
        """Path of the recorded frames on the microscope's computer; None if it isn't told."""
        value = self.values.get("SubFramePath")
        return value if isinstance(value, str) else None

    def _real(self, name: str) -> float | None:
        value = self.values.get(name)
        return float(value) if isinstance(value, (int, float)) else None


@dataclass(frozen=True, slots=True)
class Mdoc:
    """All that an mdoc file says.

    Attributes:
        values: Of the whole file, by name; numbers as numbers, several of them as tuples.
        titles: Its titles.
        sections: What it says of each image, in their order.
    """

    values: dict[str, Value]
    titles: tuple[str, ...]
    sections: tuple[MdocSection, ...]


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


def all_of_mdoc(window: Window) -> Mdoc:
    """Return all that the file says; of a name that comes twice in a section, the last value.

    Raises:
        FormatError: It says nothing in mdoc's way, or is longer than may be read.
    """
    values: dict[str, Value] = {}
    titles: list[str] = []
    sections: list[MdocSection] = []
    for is_title, name, value in _lines(window, _whole(window), "surrogateescape"):
        if not is_title:
            (sections[-1].values if sections else values)[name] = _value(name, value)
        elif name in _SECTIONS:
            number = int(value) if _INTEGER.fullmatch(value) else None
            sections.append(MdocSection(name, number, value, {}))
        elif name == "T":
            titles.append(value)
    if not (values or titles or sections):
        raise FormatError("no mdoc: it has no line such as `name = value`")
    return Mdoc(values, tuple(titles), tuple(sections))


def _value(name: str, text: str) -> Value:
    words = text.split()
    if not words or name in _TEXTS:
        return text
    if all(map(_INTEGER.fullmatch, words)):
        integers = tuple(map(int, words))
        return integers[0] if len(integers) == 1 else integers
    if all(map(_REAL.fullmatch, words)):
        reals = tuple(map(float, words))
        return reals[0] if len(reals) == 1 else reals
    return text


def _whole(window: Window) -> int:
    """Return how many bytes the file has, if that isn't too much."""
    if window.size > min(window.left, _MOST_BYTES):
        raise FormatError(f"it has {window.size} bytes, and {_MOST_BYTES} may be read")
    return window.size


def files_in_mdoc(window: Window) -> Names:
    """Return the files that were recorded, as `SubFramePath`, and the stack, `ImageFile`.

    Raises:
        FormatError: It names none, or is longer than may be read.
    """
    names = Names()
    for _, name, value in _lines(window, _whole(window), "surrogateescape"):
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
