"""The format of a stored block: a header that is checked whole, then the held pieces.

Pure: encodes and parses bytes, and says where in the file which piece lies. It never opens
a file; `empiarfs.cache.block_file` does. All numbers are little-endian.

    offset        size   what
    ------------  -----  -----------------------------------------------------------------
    0             8      magic
    8             2      format version
    10            2      bitmap of places: bit p is set if the piece at place p is held
    12            4      size of the header, a multiple of 4096
    16            4      size of the name
    20            4      zero
    24            8      index of the block in its file
    32            8      size of the whole file in bytes
    40            8 * n  xxh3-64 of each held piece, by place
    40 + 8 n      ...    the name: `RemoteFile.name_key`, as UTF-8 with surrogateescape
    ...           ...    zeros
    header - 8    8      xxh3-64 of everything before it
    header        ...    the held pieces, packed by place without gaps

A piece's size follows from its number and the file's size, so it isn't stored. Nothing that
is read is trusted: the header's checksum covers its padding, the sizes must agree with each
other and with the length of the stored file, and a piece is handed out only after its own
checksum was compared. Whatever is wrong is one `CorruptBlockError`.

A release that changes this layout counts `FORMAT_VERSION` up; the version also names the
folder, so that two releases don't read each other's files (tests/core/test_block_format.py
pins the bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TypeAlias

from xxhash import xxh3_64_intdigest

from empiarfs.core.blocks import PIECE_SIZE, PIECES_PER_BLOCK, piece_size, pieces_of_block
from empiarfs.errors import CorruptBlockError

ReadableBuffer: TypeAlias = bytes | bytearray | memoryview

FORMAT_VERSION = 1
HEADER_STEP = 4096  # the header ends on a page, so that the pieces do
# Enough for a path of more than 200 components of 255 bytes; a longer one isn't stored.
MAX_HEADER_SIZE = 16 * HEADER_STEP

_MAGIC = b"\x89EMPIAR\n"
_FIXED = struct.Struct("<8sHHIIIQQ")
_SUM = struct.Struct("<Q")
_ABSENT = -1

# What a block can take at most, for whoever sets room aside.
MAX_STORED_SIZE = MAX_HEADER_SIZE + PIECE_SIZE * PIECES_PER_BLOCK
# A file with a longer name isn't stored.
MAX_NAME_SIZE = MAX_HEADER_SIZE - _FIXED.size - _SUM.size * (PIECES_PER_BLOCK + 1)


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """What a stored block says of itself, already found to be consistent.

    Attributes:
        name: `RemoteFile.name_key` of the file, encoded by `encode_name`.
        index: The block's index in its file.
        file_size: Size of the whole file in bytes.
        checksums: By place: xxh3-64 of the piece, or -1 where none is held.
        size: Size of the header itself in bytes.
        places: Bitmap of the places held.
        offsets: By place: where the piece starts in the stored file, or -1.
        stored_size: Size of the stored file in bytes.
    """

    name: bytes
    index: int
    file_size: int
    checksums: tuple[int, ...]
    size: int
    places: int = field(init=False)
    offsets: tuple[int, ...] = field(init=False)
    stored_size: int = field(init=False)

    def __post_init__(self) -> None:
        offsets, end, places = [], self.size, 0
        for place, checksum in enumerate(self.checksums):
            offsets.append(_ABSENT if checksum == _ABSENT else end)
            if checksum != _ABSENT:
                places |= 1 << place
                end += self.size_at(place)
        object.__setattr__(self, "places", places)
        object.__setattr__(self, "offsets", tuple(offsets))
        object.__setattr__(self, "stored_size", end)

    def size_at(self, place: int) -> int:
        """Return the size in bytes of the piece at `place`."""
        return piece_size(self.index * PIECES_PER_BLOCK + place, self.file_size)

    def verify(self, first: int, last: int, data: bytes) -> None:
        """Check the pieces from place `first` to `last`, which `data` holds packed.

        Raises:
            CorruptBlockError: `data` is too short, or a piece fails its checksum.
        """
        view = memoryview(data)
        start = 0
        for place in range(first, last + 1):
            stop = start + self.size_at(place)
            if stop > len(data) or xxh3_64_intdigest(view[start:stop]) != self.checksums[place]:
                raise CorruptBlockError(f"the piece at place {place} fails its checksum")
            start = stop


def encode_name(name_key: str) -> bytes:
    """Return `RemoteFile.name_key` as the bytes that stand in the header."""
    return name_key.encode("utf-8", "surrogateescape")


def file_key_of(name: bytes) -> str:
    """Return the `RemoteFile.short_key` of the file that has this encoded name."""
    return blake2b(name, digest_size=16).hexdigest()


def piece_checksum(data: ReadableBuffer) -> int:
    """Return the checksum that is stored for a piece."""
    checksum: int = xxh3_64_intdigest(data)
    return checksum


def make_header(
    name: bytes, index: int, file_size: int, checksums: Mapping[int, int]
) -> BlockHeader:
    """Return the header of a block that holds pieces with the given checksums.

    Args:
        name: The file's name, by `encode_name`.
        index: The block's index in its file.
        file_size: Size of the whole file in bytes.
        checksums: By place; at least one, and none past the file's end.

    Raises:
        ValueError: The block can't be stored in this format.
    """
    allowed = len(pieces_of_block(index, file_size))
    if not checksums or min(checksums) < 0 or max(checksums) >= allowed:
        raise ValueError(f"places {sorted(checksums)} of block {index}, which has {allowed}")
    plain = _FIXED.size + _SUM.size * (len(checksums) + 1) + len(name)
    size = -(-plain // HEADER_STEP) * HEADER_STEP
    if size > MAX_HEADER_SIZE:
        raise ValueError(f"a name of {len(name)} bytes")
    by_place = tuple(checksums.get(place, _ABSENT) for place in range(PIECES_PER_BLOCK))
    return BlockHeader(name, index, file_size, by_place, size)


def encode_header(header: BlockHeader) -> bytes:
    """Return the header as the `header.size` bytes that a stored block starts with."""
    held = [checksum for checksum in header.checksums if checksum != _ABSENT]
    fixed = _FIXED.pack(
        _MAGIC,
        FORMAT_VERSION,
        header.places,
        header.size,
        len(header.name),
        0,
        header.index,
        header.file_size,
    )
    plain = fixed + struct.pack(f"<{len(held)}Q", *held) + header.name
    padded = plain.ljust(header.size - _SUM.size, b"\0")
    return padded + _SUM.pack(xxh3_64_intdigest(padded))


def header_size(start: bytes) -> int:
    """Return how long the header is whose first `HEADER_STEP` bytes are given.

    Raises:
        CorruptBlockError: That isn't the start of a stored block of this format.
    """
    if len(start) < HEADER_STEP or start[: len(_MAGIC)] != _MAGIC:
        raise CorruptBlockError("not a stored block")
    _, version, _, size, _, _, _, _ = _FIXED.unpack_from(start)
    if version != FORMAT_VERSION:
        raise CorruptBlockError(f"format {version}, not {FORMAT_VERSION}")
    if not HEADER_STEP <= size <= MAX_HEADER_SIZE or size % HEADER_STEP:
        raise CorruptBlockError(f"a header of {size} bytes")
    return int(size)


def parse_header(data: bytes, stored_size: int) -> BlockHeader:
    """Return the header that stands in `data`.

    Args:
        data: As many bytes from the start of the stored file as `header_size` says.
        stored_size: Length of the stored file in bytes.

    Raises:
        CorruptBlockError: The header is damaged, or the file is not as long as it should be.
    """
    size = header_size(data)
    if len(data) != size:
        raise CorruptBlockError(f"{len(data)} bytes of a header of {size}")
    body = memoryview(data)[: -_SUM.size]
    if _SUM.unpack_from(data, size - _SUM.size)[0] != xxh3_64_intdigest(body):
        raise CorruptBlockError("the header fails its checksum")
    header = _fields(data, size)
    if header.stored_size != stored_size:
        raise CorruptBlockError(f"{stored_size} bytes stored instead of {header.stored_size}")
    return header


def _fields(data: bytes, size: int) -> BlockHeader:
    """Parse a header whose checksum fits; it may still have been written by a madman."""
    _, _, places, _, name_size, zero, index, file_size = _FIXED.unpack_from(data)
    held = [place for place in range(PIECES_PER_BLOCK) if places >> place & 1]
    name_start = _FIXED.size + _SUM.size * len(held)
    name_stop = name_start + name_size
    if zero or name_stop > size - _SUM.size or data[name_stop : -_SUM.size].strip(b"\0"):
        raise CorruptBlockError("the header's fields don't fit together")
    checksums = dict(
        zip(held, struct.unpack_from(f"<{len(held)}Q", data, _FIXED.size), strict=True)
    )
    try:
        header = make_header(data[name_start:name_stop], index, file_size, checksums)
    except ValueError as exc:
        raise CorruptBlockError(f"the header names {exc}") from exc
    if header.size != size:
        raise CorruptBlockError(f"a header of {size} bytes where {header.size} are enough")
    return header
