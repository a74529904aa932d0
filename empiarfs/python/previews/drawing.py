"""Puts pictures, names and scale bars together; the only module that knows Pillow.

A picture by itself has its parts side by side, and what is said of it below. In a sheet each
file has a tile of the same size; one that couldn't be read is an empty one that says why.

Letters are those of a font of the system that has Å, or else of Pillow's own, which hasn't.

Threading: no state.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from empiarfs.python.previews.panels import Panel, Portrait

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError as exc:
    raise ImportError("Pillow is missing: pip install 'empiarfs[preview]'") from exc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BACKGROUND, _EMPTY, _TEXT, _DIM, _BRIGHT, _BLACK = 16, 40, 230, 160, 255, 0
_MARGIN, _GAP = 8, 8
_FONT_SIZE, _LINE = 14, 19
_FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "NotoSans-Regular.ttf")
_PLAIN = str.maketrans({"Å": "A", "×": "x", "µ": "u"})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Of a picture's width, what its scale bar is at most.
_BAR_PART = 0.25
_SMALLEST_WITH_BAR = 48
_LARGEST_SPECTRUM = 512
_NARROWEST = 360
_NARROWEST_SHEET = 240


def nice_length(most_a: float) -> tuple[float, str]:
    """Return a round length in Å that is no longer than `most_a`, and its text.

    >>> nice_length(370), nice_length(14), nice_length(60_000)
    ((200.0, '20 nm'), (10.0, '1 nm'), (50000.0, '5 µm'))
    >>> nice_length(9)
    (5.0, '5 Å')
    """
    power = 10.0 ** math.floor(math.log10(most_a))
    length = max((each * power for each in (1, 2, 5) if each * power <= most_a), default=power)
    for unit, size in (("µm", 10_000), ("nm", 10), ("Å", 1)):
        if length >= size:
            return length, f"{length / size:g} {unit}"
    return length, f"{length:.3g} Å"


def drawn(portrait: Portrait, pixels: int) -> Image.Image:
    """Return the picture of one file.

    Args:
        portrait: What is to be shown.
        pixels: Longest side of its first part, which small ones are made larger for.
    """
    longest = max(max(each.pixels.shape) for each in portrait.panels)
    parts = [_enlarged(each, pixels // 2 // longest) for each in portrait.panels]
    pictures = [Image.fromarray(each.pixels) for each in parts]
    if len(parts) > 1 and parts[1].pixel_a is None and parts[1].caption:
        # A spectrum has as many pixels as its patches, whatever the image.
        side = min(_LARGEST_SPECTRUM, max(64, pictures[0].height))
        pictures[1] = pictures[1].resize((side, side), Image.Resampling.BILINEAR)
    width = max(sum(each.width for each in pictures) + _GAP * (len(pictures) - 1), _NARROWEST)
    height = max(each.height for each in pictures)
    lines = _wrapped([portrait.path, *portrait.lines], width)
    made = Image.new(
        "L", (width + 2 * _MARGIN, height + len(lines) * _LINE + 3 * _MARGIN), _BACKGROUND
    )
    left = _MARGIN
    for part, picture in zip(parts, pictures, strict=True):
        made.paste(picture, (left, _MARGIN))
        _mark(made, part, (left, _MARGIN, picture.width, picture.height))
        left += picture.width + _GAP
    draw = ImageDraw.Draw(made)
    for number, line in enumerate(lines):
        place = _MARGIN, height + 2 * _MARGIN + number * _LINE
        _write(draw, place, line, _DIM if number else _TEXT)
    return made


def sheet(portraits: Sequence[Portrait], title: str, side: int) -> Image.Image:
    """Return the pictures of several files in rows and columns.

    Args:
        portraits: Of each file.
        title: What stands above.
        side: Of the square for each picture, in pixels.
    """
    lines = 3
    across = max(1, math.ceil(math.sqrt(len(portraits) * 1.3)))
    across = min(across, len(portraits))
    down = math.ceil(len(portraits) / across)
    width = max(across * (side + _GAP) - _GAP, _NARROWEST_SHEET)
    titles = _wrapped([title], width)
    top = _MARGIN + len(titles) * _LINE + _GAP
    tile = side + lines * _LINE + _GAP + 4
    made = Image.new("L", (width + 2 * _MARGIN, top + down * tile), _BACKGROUND)
    draw = ImageDraw.Draw(made)
    for number, line in enumerate(titles):
        _write(draw, (_MARGIN, _MARGIN + number * _LINE), line, _TEXT)
    for number, each in enumerate(portraits):
        left = _MARGIN + number % across * (side + _GAP)
        _tile(made, each, (left, top + number // across * tile), side)
    return made


def _tile(made: Image.Image, portrait: Portrait, place: tuple[int, int], side: int) -> None:
    draw, (left, top) = ImageDraw.Draw(made), place
    draw.rectangle((left, top, left + side - 1, top + side - 1), _EMPTY)
    if portrait.panels:
        panel = portrait.panels[0]
        panel = _enlarged(panel, side // 2 // max(panel.pixels.shape))
        picture = Image.fromarray(panel.pixels)
        if max(picture.size) > side:
            picture.thumbnail((side, side))
        at = left + (side - picture.width) // 2, top + (side - picture.height) // 2
        made.paste(picture, at)
        _mark(made, panel, (*at, *picture.size))
    else:
        draw.line((left, top, left + side, top + side), _BACKGROUND, 2)
        draw.line((left, top + side, left + side, top), _BACKGROUND, 2)
        for number, line in enumerate(_wrapped([portrait.problem], side - 8)[: side // _LINE]):
            _write(draw, (left + 4, top + 4 + number * _LINE), line, _TEXT)
    name = portrait.path.rpartition("/")[2]
    for number, line in enumerate([name, *portrait.lines][:3]):
        spot = left, top + side + 2 + number * _LINE
        _write(draw, spot, _shortened(line, side), _DIM if number else _TEXT)


def _enlarged(panel: Panel, factor: int) -> Panel:
    """Return a picture in which each pixel is a square of so many."""
    if factor < 2:
        return panel
    pixels: NDArray[Any] = panel.pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    size = None if panel.pixel_a is None else panel.pixel_a / factor
    return Panel(pixels, size, panel.caption)


def _mark(made: Image.Image, panel: Panel, box: tuple[int, int, int, int]) -> None:
    """Draw a scale bar and a caption into the picture in a box: left, top, width, height."""
    left, top, width, height = box
    draw = ImageDraw.Draw(made)
    if panel.caption:
        _write(draw, (left + 6, top + 4), _shortened(panel.caption, width - 8), _BRIGHT, edge=2)
    if panel.pixel_a is None or min(width, height) < _SMALLEST_WITH_BAR:
        return
    # A picture may have been made to fit.
    pixel_a = panel.pixel_a * panel.pixels.shape[1] / width
    length, text = nice_length(width * _BAR_PART * pixel_a)
    x, y = left + 8, top + height - 10
    end = x + max(1, round(length / pixel_a)) - 1
    draw.rectangle((x - 1, y - 1, end + 1, y + 4), _BLACK)
    draw.rectangle((x, y, end, y + 3), _BRIGHT)
    _write(draw, (x, y - _LINE), text, _BRIGHT, edge=2)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, grey: int, *, edge: int = 0
) -> None:
    draw.text(place, _spelt(text), grey, _font()[0], stroke_width=edge, stroke_fill=_BLACK)


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    """Return lines that are no wider; a word that is too long is shortened."""
    lines: list[str] = []
    for text in texts:
        line = ""
        for word in text.split(" "):
            longer = f"{line} {word}".strip()
            if line and _width(longer) > width:
                lines.append(_shortened(line, width))
                longer = word
            line = longer
        if line:
            lines.append(_shortened(line, width))
    return lines


def _shortened(text: str, width: int) -> str:
    """Return a text that is no wider, without some of its middle."""
    # No line has room for more.
    kept = len(text) if len(text) < 500 else 500
    shown = text
    while _width(shown) > width and kept > 4:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}…{text[-(kept // 2) :]}"
    return shown


def _width(text: str) -> float:
    return float(_font()[0].getlength(_spelt(text)))


def _spelt(text: str) -> str:
    """Return a text as it can be drawn: in one line, without bytes that are no letters."""
    printable = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    printable = _CONTROL.sub("?", printable)
    return printable if _font()[1] else printable.translate(_PLAIN)


@lru_cache(maxsize=1)
def _font() -> tuple[Any, bool]:
    """Return the font, and whether it has Å and ×."""
    for name in _FONTS:
        with suppress(OSError):
            return ImageFont.truetype(name, _FONT_SIZE), True
    return ImageFont.load_default(_FONT_SIZE), False
