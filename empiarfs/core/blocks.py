"""The two grids of every file: pieces of 64 KiB, and blocks of 16 pieces.

A *piece* is the unit of asking, of presence and of checksums; a *block* is the unit of
storing. Both grids start at offset 0 of the file, and only the last piece of a file may be
shorter. Pieces are numbered through the whole file; inside a block they also have a *place*,
0 to 15, which is the bit that stands for them in the block's bitmap.

64 KiB keeps a scattered read cheap (EMPIAR's links carry 0.1 to 7 MB/s for a connection),
1 MiB keeps the number of files and database rows small.
"""

from __future__ import annotations

from typing import NewType

from empiarfs.core.ranges import ByteRange

PIECE_SIZE = 64 * 1024
PIECES_PER_BLOCK = 16
BLOCK_SIZE = PIECE_SIZE * PIECES_PER_BLOCK

BlockIndex = NewType("BlockIndex", int)
PieceIndex = NewType("PieceIndex", int)


def pieces_covering(wanted: ByteRange) -> range:
    """Return the indices of the pieces that hold at least one byte of `wanted`.

    >>> pieces_covering(ByteRange(0, 65536)), pieces_covering(ByteRange(65535, 65537))
    (range(0, 1), range(0, 2))
    >>> pieces_covering(ByteRange(7, 7))
    range(0, 0)
    """
    if not wanted:
        return range(0)
    # `stop` is exclusive: a read that ends on a boundary must not touch the next piece.
    return range(wanted.start // PIECE_SIZE, (wanted.stop - 1) // PIECE_SIZE + 1)


def piece_count(file_size: int) -> int:
    """Return how many pieces a file of `file_size` bytes has; 0 for an empty file."""
    return -(-file_size // PIECE_SIZE)


def piece_size(piece: int, file_size: int) -> int:
    """Return how many bytes the piece has, less than `PIECE_SIZE` only at the file's end.

    >>> piece_size(0, 65537), piece_size(1, 65537)
    (65536, 1)
    """
    return min(PIECE_SIZE, file_size - piece * PIECE_SIZE)


def byte_range_of(pieces: range, file_size: int) -> ByteRange:
    """Return the bytes that the adjacent `pieces` cover in a file of `file_size` bytes."""
    if not pieces:
        return ByteRange(0, 0)
    return ByteRange(pieces.start * PIECE_SIZE, min(pieces.stop * PIECE_SIZE, file_size))


def whole_pieces(wanted: ByteRange, file_size: int) -> ByteRange:
    """Return the bytes that have to be fetched for `wanted`, which lies within the file.

    >>> whole_pieces(ByteRange(65535, 65537), 70000), whole_pieces(ByteRange(7, 7), 70000)
    (ByteRange(start=0, stop=70000), ByteRange(start=0, stop=0))
    """
    return byte_range_of(pieces_covering(wanted), file_size)


def block_of(piece: int) -> BlockIndex:
    """Return the index of the block that the piece belongs to."""
    return BlockIndex(piece // PIECES_PER_BLOCK)


def place_of(piece: int) -> int:
    """Return the piece's place inside its block, 0 to 15."""
    return piece % PIECES_PER_BLOCK


def pieces_of_block(block: int, file_size: int) -> range:
    """Return the pieces that the block holds when it is whole."""
    first = block * PIECES_PER_BLOCK
    return range(first, min(first + PIECES_PER_BLOCK, piece_count(file_size)))


def runs(pieces: list[int]) -> list[range]:
    """Return ascending `pieces` as ranges of adjacent ones.

    >>> runs([1, 2, 3, 7, 9, 10])
    [range(1, 4), range(7, 8), range(9, 11)]
    """
    found: list[range] = []
    for piece in pieces:
        if found and found[-1].stop == piece:
            found[-1] = range(found[-1].start, piece + 1)
        else:
            found.append(range(piece, piece + 1))
    return found
