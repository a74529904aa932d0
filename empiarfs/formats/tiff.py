"""TIFF, BigTIFF and EER: the chain of directories, one for each frame.

After https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf, the BigTIFF design of
https://www.awaresystems.be/imaging/tiff/bigtiff.html, and Thermo Fisher's description of EER
(compressions 65000 to 65002, acquisition metadata as XML in tag 65001 of the first frame).

Only directories are read, and the few values that are told; a directory lies 64 KiB or more
from the next as a rule, so that each frame costs one request.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from dataclasses import dataclass

from empiarfs.formats.window import FormatError, Window

_MOST_DIRECTORIES = 65_536
_MOST_ENTRIES = 4_096
_LONGEST_TEXT = 64 * 1024
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_WIDTH, _LENGTH, _BITS, _COMPRESSION, _DESCRIPTION = 256, 257, 258, 259, 270
_SAMPLES, _SOFTWARE, _KIND, _EER_METADATA = 277, 305, 339, 65001
_COMPRESSIONS = {
    1: "none", 2: "CCITT RLE", 3: "CCITT T.4", 4: "CCITT T.6", 5: "LZW", 6: "old JPEG",
    7: "JPEG", 8: "deflate", 32773: "PackBits", 32946: "deflate", 34712: "JPEG 2000",
    34925: "LZMA", 50000: "Zstandard", 50002: "JPEG XL",
    65000: "EER, 8 bits", 65001: "EER, 7 bits", 65002: "EER",
}  # fmt: skip
_EER = (65000, 65001, 65002)
_KINDS = {1: "unsigned", 2: "signed", 3: "real"}
_ITEM = re.compile(rb'<item\s+name="([^"<>]{1,100})"[^<>]{0,200}>([^<]{0,1000})</item>')


@dataclass(frozen=True, slots=True)
class Image:
    """What a directory says of its image.

    Attributes:
        width: Pixels.
        length: Pixels.
        bits: Of a sample.
        samples: Of a pixel.
        kind: "unsigned", "signed", "real", or "unknown".
        compression: In words, or its number.
    """

    width: int
    length: int
    bits: int
    samples: int
    kind: str
    compression: str


@dataclass(frozen=True, slots=True)
class TiffFile:
    """What the directories of a file say.

    Attributes:
        variant: "TIFF", "BigTIFF" or "EER".
        byte_order: "little" or "big".
        frames: How many directories there are, which is one for each image.
        images: The different images, each with how many frames are like it.
        description: Of the first image; may be empty.
        software: Likewise.
        metadata: EER's items, by name.
        problems: What breaks the rules.
    """

    variant: str
    byte_order: str
    frames: int
    images: tuple[tuple[Image, int], ...]
    description: str
    software: str
    metadata: dict[str, str]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A tag's value: where it lies, or the bytes themselves."""

    kind: int
    count: int
    field: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """How numbers are written."""

    order: str
    is_big: bool

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.is_big else "H"))

    @property
    def entry(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.is_big else "HHI4s"))

    @property
    def offset(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.is_big else "I"))


def parse_tiff(window: Window) -> TiffFile:
    """Return what the directories say.

    Raises:
        FormatError: It is no TIFF, or its first directory can't be read.
    """
    layout, first = _header(window)
    images: Counter[Image] = Counter()
    problems: list[str] = []
    seen: set[int] = set()
    texts: dict[str, str] = {}
    metadata: dict[str, str] = {}
    compression, offset = 0, first
    while offset:
        if offset in seen:
            problems.append(f"the directory after number {len(seen)} is an earlier one")
            break
        if len(seen) == _MOST_DIRECTORIES:
            problems.append(
                f"more than {_MOST_DIRECTORIES} directories; the others aren't counted"
            )
            break
        try:
            entries, following = _directory(window, layout, offset)
            image = _image(window, layout, entries)
        except FormatError as exc:
            if not seen:
                raise
            problems.append(f"directory {len(seen) + 1} can't be read: {exc}")
            break
        if not seen:
            compression = _number(window, layout, entries, _COMPRESSION, 1)
            texts = {
                name: _text(window, entries, tag)
                for name, tag in (("description", _DESCRIPTION), ("software", _SOFTWARE))
            }
            metadata = _metadata(window, entries)
        seen.add(offset)
        images[image] += 1
        offset = following
    variant = "BigTIFF" if layout.is_big else "TIFF"
    return TiffFile(
        variant="EER" if compression in _EER else variant,
        byte_order="little" if layout.order == "<" else "big",
        frames=len(seen),
        images=tuple(images.items()),
        description=texts.get("description", ""),
        software=texts.get("software", ""),
        metadata=metadata,
        problems=tuple(problems),
    )


def _header(window: Window) -> tuple[_Layout, int]:
    head = window.up_to(0, 16)
    orders = {b"II": "<", b"MM": ">"}
    order = orders.get(head[:2])
    if order is None or len(head) < 8:
        raise FormatError("no TIFF: it begins otherwise")
    [version] = struct.unpack_from(order + "H", head, 2)
    if version == 42:
        layout, place = _Layout(order, False), 4
    elif version == 43 and len(head) == 16:
        layout, place = _Layout(order, True), 8
    else:
        raise FormatError(f"no TIFF: version {version} isn't known")
    [first] = layout.offset.unpack_from(head, place)
    if not first:
        raise FormatError("a TIFF without any image")
    return layout, first


def _directory(window: Window, layout: _Layout, offset: int) -> tuple[dict[int, _Entry], int]:
    """Return the tags of a directory, and where the next one is; 0 for none."""
    [count] = layout.count.unpack(window.at(offset, layout.count.size))
    if not 0 < count <= _MOST_ENTRIES:
        raise FormatError(f"a directory of {count} entries at {offset}")
    size = layout.entry.size
    begin = offset + layout.count.size
    # The next directory's offset stands right behind the entries; some writers leave it out.
    raw = window.up_to(begin, count * size + layout.offset.size)
    if len(raw) < count * size:
        raise FormatError(f"the file ends in a directory at {offset}")
    entries: dict[int, _Entry] = {}
    for number in range(count):
        tag, kind, values, field = layout.entry.unpack_from(raw, number * size)
        [place] = layout.offset.unpack(field)
        entries.setdefault(tag, _Entry(kind, values, field, place))
    behind = raw[count * size :]
    if len(behind) < layout.offset.size:
        return entries, 0
    return entries, layout.offset.unpack(behind)[0]


def _image(window: Window, layout: _Layout, entries: dict[int, _Entry]) -> Image:
    def number(tag: int, default: int) -> int:
        return _number(window, layout, entries, tag, default)

    compression = number(_COMPRESSION, 1)
    return Image(
        width=number(_WIDTH, 0),
        length=number(_LENGTH, 0),
        bits=number(_BITS, 1),
        samples=number(_SAMPLES, 1),
        kind=_KINDS.get(number(_KIND, 1), "unknown"),
        compression=_COMPRESSIONS.get(compression, f"number {compression}"),
    )


def _number(
    window: Window, layout: _Layout, entries: dict[int, _Entry], tag: int, default: int
) -> int:
    """Return the first of a tag's numbers."""
    entry = entries.get(tag)
    if entry is None or not entry.count or entry.kind not in _INTEGERS:
        return default
    number = struct.Struct(layout.order + _INTEGERS[entry.kind])
    field = entry.field
    if entry.count * number.size > len(field):
        field = window.at(entry.offset, number.size)
    found: int = number.unpack_from(field)[0]
    return found


def _text(window: Window, entries: dict[int, _Entry], tag: int) -> str:
    return _bytes(window, entries, tag).split(b"\0", 1)[0].decode("utf-8", "replace").strip()


def _bytes(window: Window, entries: dict[int, _Entry], tag: int) -> bytes:
    entry = entries.get(tag)
    if entry is None or _SIZES.get(entry.kind, 0) != 1:
        return b""
    size = min(entry.count, _LONGEST_TEXT)
    if entry.count <= len(entry.field):
        return entry.field[:size]
    return window.up_to(entry.offset, size)


def _metadata(window: Window, entries: dict[int, _Entry]) -> dict[str, str]:
    """Return EER's items; their XML isn't parsed as such, since nothing else is wanted of it."""
    return {
        name.decode("utf-8", "replace"): text.strip().decode("utf-8", "replace")
        for name, text in _ITEM.findall(_bytes(window, entries, _EER_METADATA))
    }
