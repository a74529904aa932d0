"""MRC headers: https://www.ccpem.ac.uk/mrc_format/mrc2014.php, read by mrcfile.

mrcfile gets the 1,024 bytes of the header alone, and permissively, since many files in the
archive break the rules; what it complains about is told. The size of the extended header is
kept from it: it would set aside as many bytes as that number says.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from dataclasses import dataclass, replace
from typing import Literal

from empiarfs.formats.window import FormatError, Window

HEADER_SIZE = 1024
_NSYMBT = slice(92, 96)
# Along one axis of a file without a signature; far more than any detector or volume has.
_MOST_PIXELS = 10_000_000
_AXES = {1: "X", 2: "Y", 3: "Z"}
# https://bio3d.colorado.edu/imod/doc/mrc_format.txt for 101; the bits of a pixel.
_MODES = {
    0: ("8-bit integer", 8),
    1: ("16-bit integer", 16),
    2: ("32-bit real", 32),
    3: ("complex of 16-bit integers", 32),
    4: ("complex of 32-bit reals", 64),
    6: ("unsigned 16-bit integer", 16),
    12: ("16-bit real", 16),
    101: ("4-bit unsigned integer", 4),
}


@dataclass(frozen=True, slots=True)
class MrcHeader:
    """What an MRC header says.

    Attributes:
        columns: nx, pixels.
        rows: ny, pixels.
        sections: nz.
        mode: The number of the type of pixels.
        mode_name: In words, or "unknown".
        pixel_bits: Bits of a pixel; None if the mode isn't known.
        start: nxstart, nystart, nzstart.
        grid: mx, my, mz.
        cell: Size of the cell in Å.
        angles: Of the cell, in degrees.
        axes: Which axis columns, rows and sections are.
        origin: On x, y, z, in Å.
        density: Minimum, maximum, mean and RMS deviation; as written, which may be unset.
        space_group: Its number; 0 for images, 1 for a volume, 401 for a stack of volumes.
        extended_size: Bytes of the extended header.
        extended_type: Its four letters, such as SERI or FEI1; may be empty.
        byte_order: "little" or "big".
        labels: The titles.
        problems: What breaks the rules.
    """

    columns: int
    rows: int
    sections: int
    mode: int
    mode_name: str
    pixel_bits: int | None
    start: tuple[int, int, int]
    grid: tuple[int, int, int]
    cell: tuple[float, float, float]
    angles: tuple[float, float, float]
    axes: str
    origin: tuple[float, float, float]
    density: tuple[float, float, float, float]
    space_group: int
    extended_size: int
    extended_type: str
    byte_order: str
    labels: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def pixel_size(self) -> tuple[float | None, float | None, float | None]:
        """Å along x, y, z; None where the header doesn't tell."""
        pairs = zip(self.cell, self.grid, strict=True)
        x, y, z = (
            round(cell / grid, 6) if grid > 0 and math.isfinite(cell) and cell > 0 else None
            for cell, grid in pairs
        )
        return x, y, z

    @property
    def expected_size(self) -> int | None:
        """Bytes that a file with this header has; None if the mode isn't known."""
        if self.pixel_bits is None:
            return None
        # Rows of 4-bit pixels are filled up to whole bytes.
        row = (self.columns * self.pixel_bits + 7) // 8
        return HEADER_SIZE + self.extended_size + row * self.rows * self.sections


def looks_like_mrc(head: bytes, *, named: bool) -> bool:
    """Tell whether a file that begins so is MRC.

    Args:
        head: Its first 1,024 bytes.
        named: Its name says that it is one. Files from before 2000 lack the letters "MAP".
    """
    if len(head) < HEADER_SIZE:
        return False
    if head[208:211] == b"MAP":
        return True
    return named and any(
        mode in _MODES and all(0 < number <= _MOST_PIXELS for number in numbers)
        for order in "<>"
        for *numbers, mode in (struct.unpack(f"{order}4i", head[:16]),)
    )


def parse_mrc(window: Window) -> MrcHeader:
    """Return what the header says.

    Raises:
        FormatError: There is none.
    """
    from mrcfile.mrcinterpreter import MrcInterpreter

    raw = bytearray(window.at(0, HEADER_SIZE))
    extended = bytes(raw[_NSYMBT])
    raw[_NSYMBT] = bytes(4)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = MrcInterpreter(io.BytesIO(bytes(raw)), permissive=True, header_only=True)
            header = found.header
            is_little = header.nx.dtype.newbyteorder("<") == header.nx.dtype
        except (ValueError, TypeError, OSError) as exc:
            raise FormatError(f"no MRC header: {exc}") from exc
    order: Literal["little", "big"] = "little" if is_little else "big"
    problems = [str(each.message) for each in said if issubclass(each.category, RuntimeWarning)]
    numbers = [int(header[name]) for name in ("nx", "ny", "nz")]
    if min(numbers) < 0:
        raise FormatError(f"no MRC header: it speaks of {' × '.join(map(str, numbers))} pixels")
    mode = int(header.mode)
    name, bits = _MODES.get(mode, ("unknown", None))
    extended_size = int.from_bytes(extended, order, signed=True)
    if extended_size < 0:
        problems.append(f"an extended header of {extended_size} bytes")
    made = MrcHeader(
        columns=numbers[0],
        rows=numbers[1],
        sections=numbers[2],
        mode=mode,
        mode_name=name,
        pixel_bits=bits,
        start=(int(header.nxstart), int(header.nystart), int(header.nzstart)),
        grid=(int(header.mx), int(header.my), int(header.mz)),
        cell=(float(header.cella.x), float(header.cella.y), float(header.cella.z)),
        angles=(float(header.cellb.alpha), float(header.cellb.beta), float(header.cellb.gamma)),
        axes="".join(_AXES.get(int(header[each]), "?") for each in ("mapc", "mapr", "maps")),
        origin=(float(header.origin.x), float(header.origin.y), float(header.origin.z)),
        density=(
            float(header.dmin), float(header.dmax), float(header.dmean), float(header.rms),
        ),
        space_group=int(header.ispg),
        extended_size=max(0, extended_size),
        extended_type=_text(bytes(header.exttyp)) if extended_size > 0 else "",
        byte_order=order,
        labels=tuple(
            _text(bytes(each)) for each in header.label[: min(10, max(0, int(header.nlabl)))]
        ),
        problems=tuple(problems),
    )  # fmt: skip
    return _with_size(made, window.size)


def _with_size(header: MrcHeader, size: int) -> MrcHeader:
    expected = header.expected_size
    if expected is None or expected == size:
        return header
    few_or_many = "short" if size < expected else "long"
    text = f"the file is {abs(size - expected)} bytes too {few_or_many} for its header"
    return replace(header, problems=(*header.problems, text))


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("latin-1").strip()
