"""Pictures in a terminal: by kitty's graphics protocol, or by sixels.

    kitty    https://sw.kovidgoyal.net/kitty/graphics-protocol/: PNG in base64, in pieces of
             4,096 characters
    sixel    DEC's, https://vt100.net/docs/vt3xx-gp/chapter14.html: six rows at a time, and a
             layer of them for each grey

Which one a terminal knows is told by what it puts into the environment; none is ever asked,
since one that doesn't know the question prints it. Within tmux and screen none is used: they
swallow the one and cut the other.

Threading: no state.
"""

from __future__ import annotations

import base64
import fcntl
import io
import os
import re
import struct
import sys
import termios
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_KITTY_TERMS = ("xterm-kitty", "xterm-ghostty")
_KITTY_PROGRAMS = ("ghostty", "WezTerm")
_SIXEL_TERMS = ("foot", "mlterm", "contour", "yaft", "xterm-sixel")
_SIXEL_PROGRAMS = ("mintty", "iTerm.app")
_PIECE = 4096
# Greys that sixels are drawn in; each is a layer of its own.
_GREYS = 16
_USUAL_CELL = 8
_USUAL_WIDTH = 800


def protocol_of(environment: Mapping[str, str]) -> str | None:
    """Return how a terminal with this environment is shown pictures: "kitty", "sixel", None.

    >>> protocol_of({"TERM": "xterm-kitty"}), protocol_of({"TERM": "foot-extra"})
    ('kitty', 'sixel')
    >>> protocol_of({"TERM": "xterm-256color"})
    """
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or term.startswith(("screen", "tmux")):
        return None
    if (
        term in _KITTY_TERMS
        or program in _KITTY_PROGRAMS
        or environment.get("KITTY_WINDOW_ID")
        or environment.get("KONSOLE_VERSION", "") >= "220400"
    ):
        return "kitty"
    if program in _SIXEL_PROGRAMS or term.split("-")[0] in _SIXEL_TERMS or term in _SIXEL_TERMS:
        return "sixel"
    return None


def protocol_here() -> str | None:
    """Return how this terminal is shown pictures; None if it isn't known to be able to."""
    return protocol_of(os.environ)


def shown(image: Image, protocol: str) -> bytes:
    """Return what shows a picture in a terminal, and ends in a new line.

    Args:
        image: Grey; made smaller if the terminal is narrower.
        protocol: As `protocol_of` returns it.
    """
    most = _width()
    if image.width > most:
        image = image.resize((most, max(1, image.height * most // image.width)))
    return b"".join(_kitty(image) if protocol == "kitty" else _sixel(image)) + b"\n"


def _kitty(image: Image) -> Iterator[bytes]:
    made = io.BytesIO()
    image.save(made, "PNG")
    text = base64.standard_b64encode(made.getvalue())
    for offset in range(0, len(text), _PIECE):
        is_last = offset + _PIECE >= len(text)
        keys = b"a=T,f=100," if offset == 0 else b""
        yield b"\x1b_G%sm=%d;%s\x1b\\" % (keys, not is_last, text[offset : offset + _PIECE])


def _sixel(image: Image) -> Iterator[bytes]:
    import numpy

    levels = numpy.asarray(image, "f4") * ((_GREYS - 1) / 255)
    # Between two greys, pixels of both in turn.
    pattern = numpy.array([[0.125, 0.625], [0.875, 0.375]], "f4")
    tiled = numpy.tile(pattern, (image.height // 2 + 1, image.width // 2 + 1))
    greys = numpy.minimum(levels + tiled[: image.height, : image.width], _GREYS - 1).astype("u1")
    yield b'\x1bPq"1;1;%d;%d' % (image.width, image.height)
    for grey in range(_GREYS):
        percent = round(100 * grey / (_GREYS - 1))
        yield b"#%d;2;%d;%d;%d" % (grey, percent, percent, percent)
    for top in range(0, image.height, 6):
        band = greys[top : top + 6]
        weights = (1 << numpy.arange(len(band), dtype="u1"))[:, None]
        for grey in numpy.unique(band):
            row = ((band == grey) * weights).sum(axis=0, dtype="u1") + 63
            # `?` is six pixels that stay as they are; `!N?` stands for N of them.
            packed = re.sub(rb"\?{4,}", lambda run: b"!%d?" % len(run[0]), row.tobytes())
            yield b"#%d%s$" % (grey, packed)
        yield b"-"
    yield b"\x1b\\"


def _width() -> int:
    """Return how many pixels the terminal is wide, as far as that is known."""
    try:
        answer = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (OSError, ValueError):
        return _USUAL_WIDTH
    _, columns, width, _ = struct.unpack("4H", answer)
    return width or columns * _USUAL_CELL or _USUAL_WIDTH
