"""The blocks of a cache directory as they lie on disk, read without the cache's own code.

For tests that hold what was stored against the truth: the file format is parsed with
`empiarfs.core.block_format`, everything else is a walk over files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from empiarfs.core.block_format import header_size, parse_header
from empiarfs.core.blocks import PIECE_SIZE, PIECES_PER_BLOCK
from empiarfs.errors import CorruptBlockError

_MAGIC = b"\x89EMPIAR\n"


@dataclass(frozen=True, slots=True)
class StoredPiece:
    """A piece in a stored block.

    Attributes:
        name: `RemoteFile.name_key` of its file: archive, path and version.
        number: Which piece of the file it is.
        data: Its bytes.
        is_whole: Whether its checksum fits.
    """

    name: str
    number: int
    data: bytes
    is_whole: bool


def stored_pieces(cache: Path) -> Iterator[StoredPiece]:
    """Yield all pieces of all stored blocks below a cache directory."""
    for path in sorted(cache.rglob("*")):
        if not path.is_file():
            continue
        stored = path.read_bytes()
        if stored[: len(_MAGIC)] != _MAGIC:
            continue
        header = parse_header(stored[: header_size(stored)], len(stored))
        for place in range(PIECES_PER_BLOCK):
            if not header.places >> place & 1:
                continue
            start = header.offsets[place]
            data = stored[start : start + header.size_at(place)]
            try:
                header.verify(place, place, data)
                is_whole = True
            except CorruptBlockError:
                is_whole = False
            name = header.name.decode("utf-8", "surrogateescape")
            yield StoredPiece(name, header.index * PIECES_PER_BLOCK + place, data, is_whole)


def wrong_pieces(cache: Path, truth: Mapping[str, Collection[bytes]]) -> tuple[int, list[str]]:
    """Return how many pieces are stored, and which of them were never in the archive.

    Args:
        cache: A cache directory that nobody writes to.
        truth: All contents that a path ever had, by path.
    """
    count, wrong = 0, []
    for piece in stored_pieces(cache):
        count += 1
        start = piece.number * PIECE_SIZE
        here = [contents for path, contents in truth.items() if f"/{path}@" in piece.name]
        right = any(
            version[start : start + PIECE_SIZE] == piece.data
            for contents in here
            for version in contents
        )
        if not right or not piece.is_whole:
            wrong.append(f"piece {piece.number} of {piece.name!r}")
    return count, wrong
