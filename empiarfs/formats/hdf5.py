"""The superblock of HDF5 files, such as EMAN2's and Imaris': where the file says what it is.

After https://docs.hdfgroup.org/hdf5/latest/_f_m_t3.html, section II.A. It stands at the
beginning, or at 512, 1,024, 2,048 bytes and so on.
"""

from __future__ import annotations

from dataclasses import dataclass

from empiarfs.formats.window import FormatError, Window

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LAST_PLACE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hdf5File:
    """What the superblock says.

    Attributes:
        offset: Where it stands, in bytes.
        version: Of the superblock, 0 to 3.
        end: Where the file ends by its own words, in bytes.
        problems: What breaks the rules.
    """

    offset: int
    version: int
    end: int
    problems: tuple[str, ...]


def parse_hdf5(window: Window) -> Hdf5File:
    """Return what the superblock says.

    Raises:
        FormatError: There is none that can be read.
    """
    offset = 0
    while offset <= min(_LAST_PLACE, window.size):
        raw = window.up_to(offset, 96)
        if raw.startswith(SIGNATURE):
            return _superblock(raw, offset, window.size)
        offset = 2 * offset or 512
    raise FormatError("no HDF5: the signature is missing")


def _superblock(raw: bytes, offset: int, size: int) -> Hdf5File:
    version = raw[8] if len(raw) > 8 else -1
    # The size of offsets, and where the first of four addresses stands.
    if version in (0, 1):
        width, place = raw[13] if len(raw) > 13 else 0, 24 + 4 * version
    elif version in (2, 3):
        width, place = raw[9] if len(raw) > 9 else 0, 12
    else:
        raise FormatError(f"an HDF5 superblock of version {version}, which isn't known")
    if width not in (2, 4, 8) or len(raw) < place + 3 * width:
        raise FormatError("an HDF5 superblock that is cut off")
    # Behind the base address and that of free space or of an extension.
    end = int.from_bytes(raw[place + 2 * width : place + 3 * width], "little")
    problems = () if end <= size else (f"the file is {end - size} bytes shorter than it says",)
    return Hdf5File(offset, version, end, problems)
