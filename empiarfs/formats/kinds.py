"""Which format a file is of: by its first bytes, and by its name only where those can't tell."""

from __future__ import annotations

from dataclasses import dataclass

from empiarfs.formats.hdf5 import SIGNATURE, Hdf5File, parse_hdf5
from empiarfs.formats.mdoc import MdocFile, parse_mdoc
from empiarfs.formats.mrc import HEADER_SIZE, MrcHeader, looks_like_mrc, parse_mrc
from empiarfs.formats.star import StarFile, parse_star
from empiarfs.formats.tiff import TiffFile, parse_tiff
from empiarfs.formats.window import FormatError, Window

Details = MrcHeader | TiffFile | StarFile | MdocFile | Hdf5File

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MRC_NAMES = (".mrc", ".mrcs", ".map", ".rec", ".st", ".ali", ".preali", ".ccp4")
# Formats that are named, and not looked into.
_MAGIC = (
    (b"BZh", "bzip2, packed"),
    (b"\x1f\x8b", "gzip, packed"),
    (b"\xfd7zXZ\0", "xz, packed"),
    (b"\x28\xb5\x2f\xfd", "Zstandard, packed"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x89PNG\r\n\x1a\n", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"\x93NUMPY", "NumPy array"),
    (b"<?xml", "XML"),
    (b"%PDF-", "PDF"),
    (b"\0\0\0\x03", "Gatan DM3"),
    (b"\0\0\0\x04", "Gatan DM4"),
)
_TAR_PLACE = slice(257, 262)


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a file.

    Attributes:
        kind: Its format in words, or "unknown".
        details: What it says of itself; None where the format isn't looked into.
        problem: Why it couldn't be looked into, or "".
    """

    kind: str
    details: Details | None = None
    problem: str = ""


def contents_of(name: str, window: Window) -> Contents:
    """Return what is in a file.

    Args:
        name: Its name.
        window: Its bytes.

    Raises:
        EmpiarFSError: Its bytes can't be had.
    """
    if not window.size:
        return Contents("empty")
    head = window.up_to(0, HEADER_SIZE)
    kind = format_of(name, head)
    try:
        if kind == "MRC":
            return Contents(kind, parse_mrc(window))
        if kind == "TIFF":
            tiff = parse_tiff(window)
            return Contents(tiff.variant, tiff)
        if kind == "STAR":
            return Contents(kind, parse_star(window))
        if kind == "mdoc":
            return Contents(kind, parse_mdoc(window))
        if kind == "HDF5":
            return Contents(kind, parse_hdf5(window))
    except FormatError as exc:
        return Contents(kind, problem=str(exc))
    return Contents(kind)


def format_of(name: str, head: bytes) -> str:
    """Return a file's format in words: "MRC", "TIFF" for all of its kinds, …, "unknown".

    Args:
        name: Its name.
        head: Its first 1,024 bytes, or all if there are fewer.
    """
    name = name.lower()
    if looks_like_mrc(head, named=name.endswith(_MRC_NAMES)):
        return "MRC"
    if head.startswith(_TIFF):
        return "TIFF"
    if head.startswith(SIGNATURE) or head[512:520] == SIGNATURE:
        return "HDF5"
    if name.endswith(".star"):
        return "STAR"
    if name.endswith(".mdoc"):
        return "mdoc"
    if name.endswith((".h5", ".hdf5", ".hdf", ".ims")):
        return "HDF5"
    if head[_TAR_PLACE] == b"ustar":
        return "tar archive"
    found = next((text for magic, text in _MAGIC if head.startswith(magic)), None)
    if found is not None:
        return found
    is_text = b"\0" not in head and not _broken(head)
    return "text" if is_text else "unknown"


def _broken(head: bytes) -> bool:
    try:
        # A character may be cut at the end.
        head[:-4].decode("utf-8") if len(head) == HEADER_SIZE else head.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False
