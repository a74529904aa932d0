"""The two grids, compared with what a walk over every byte finds."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from empiarfs.core import blocks
from empiarfs.core.blocks import BLOCK_SIZE, PIECE_SIZE, PIECES_PER_BLOCK
from empiarfs.core.ranges import ByteRange

# Near the edges of pieces and blocks, where mistakes are.
OFFSETS = st.tuples(st.integers(0, 40), st.integers(-2, 2)).map(
    lambda pair: max(0, pair[0] * PIECE_SIZE + pair[1])
)
RANGES = st.tuples(OFFSETS, OFFSETS).map(lambda pair: ByteRange(min(pair), max(pair)))
FILE_SIZES = OFFSETS


def test_the_grids_are_as_the_stored_format_has_them() -> None:
    assert (PIECE_SIZE, PIECES_PER_BLOCK, BLOCK_SIZE) == (65_536, 16, 1_048_576)


@given(RANGES)
@example(ByteRange(0, PIECE_SIZE))
@example(ByteRange(PIECE_SIZE, PIECE_SIZE))
def test_covering_pieces_are_exactly_those_that_hold_a_wanted_byte(wanted: ByteRange) -> None:
    covering = blocks.pieces_covering(wanted)

    touched = [
        piece
        for piece in range(50)
        if max(wanted.start, piece * PIECE_SIZE) < min(wanted.stop, (piece + 1) * PIECE_SIZE)
    ]
    assert list(covering) == touched


@given(FILE_SIZES)
def test_the_pieces_of_a_file_add_up_to_it(file_size: int) -> None:
    count = blocks.piece_count(file_size)
    sizes = [blocks.piece_size(piece, file_size) for piece in range(count)]

    assert sum(sizes) == file_size
    assert all(0 < size <= PIECE_SIZE for size in sizes)
    assert all(size == PIECE_SIZE for size in sizes[:-1])


@given(FILE_SIZES, st.data())
def test_the_bytes_of_pieces_are_covered_by_these(file_size: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, blocks.piece_count(file_size)))
    stop = data.draw(st.integers(start, blocks.piece_count(file_size)))

    held = blocks.byte_range_of(range(start, stop), file_size)

    assert list(blocks.pieces_covering(held)) == list(range(start, stop))
    assert held.stop <= file_size


@given(FILE_SIZES)
def test_every_piece_is_in_one_block_at_its_place(file_size: int) -> None:
    for piece in range(blocks.piece_count(file_size)):
        block = blocks.block_of(piece)
        held = blocks.pieces_of_block(block, file_size)

        assert piece in held
        assert held.start + blocks.place_of(piece) == piece
        assert len(held) <= PIECES_PER_BLOCK


@given(FILE_SIZES)
def test_the_blocks_of_a_file_hold_each_piece_once(file_size: int) -> None:
    count = -(-file_size // BLOCK_SIZE)

    held = [piece for block in range(count) for piece in blocks.pieces_of_block(block, file_size)]

    assert held == list(range(blocks.piece_count(file_size)))


@given(st.sets(st.integers(0, 60)))
def test_runs_hold_the_same_pieces_and_no_two_touch(pieces: set[int]) -> None:
    found = blocks.runs(sorted(pieces))

    assert [piece for run in found for piece in run] == sorted(pieces)
    assert all(left.stop < right.start for left, right in pairwise(found))
