"""In which manner a file was read, and what that says of others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.manners import Footprint, Manner
from empiarfs.core.ranges import ByteRange

PIECE = 65_536
SIZE = 50_000_000


def manner(*reads: tuple[int, int], size: int = SIZE) -> Manner:
    """Return the manner of a file of which these were read, as (start, stop)."""
    footprint = Footprint(size)
    for start, stop in reads:
        footprint.add(ByteRange(start, stop).clamp(size))
    found = footprint.manner()
    assert found is not None
    return found


def spans(found: Manner | None, file_size: int) -> list[tuple[int, int]]:
    assert found is not None
    return [(part.start, part.stop) for part in found.ranges(file_size)]


def test_a_file_of_which_nothing_was_read_has_no_manner() -> None:
    assert Footprint(SIZE).manner() is None


def test_a_header_is_its_pieces_in_any_file() -> None:
    found = manner((0, 4_096), (4_096, 70_000))

    assert spans(found, 60_000_000) == [(0, 2 * PIECE)]
    assert spans(found, 100_000) == [(0, 100_000)]
    assert spans(found, 0) == []
    assert found.head == 2 * PIECE


def test_a_file_read_whole_is_whole_whatever_the_size_of_the_next() -> None:
    found = manner((40_000, 66_560), (0, 40_000), size=66_560)

    assert found.is_whole
    assert spans(found, 5) == [(0, 5)]
    assert spans(found, 10**9) == [(0, 10**9)]


def test_what_was_read_at_the_end_counts_from_the_end() -> None:
    found = manner((0, 100), (SIZE - 800, SIZE))

    assert found.tail <= PIECE
    assert spans(found, 99_999_999) == [(0, PIECE), (99_999_999 - found.tail, 99_999_999)]


def test_reads_out_of_order_and_overlapping_make_one_part() -> None:
    assert manner((200_000, 300_000), (0, 100_000), (90_000, 210_000)).parts == (
        ByteRange(0, 5 * PIECE),
    )


def test_a_stride_is_its_parts() -> None:
    frames = [(number * 4_000_000, number * 4_000_000 + 4_096) for number in range(10)]
    found = manner(*frames)

    assert len(found.parts) == 10
    assert found.size == 10 * PIECE


def test_a_file_read_all_over_the_place_has_no_manner() -> None:
    footprint = Footprint(10**12)
    for number in range(1, 400):
        footprint.add(ByteRange(number * 10**6, number * 10**6 + 1))

    assert footprint.manner() is None


def test_two_files_read_whole_are_read_alike() -> None:
    both = manner((0, 10), size=10).in_common(manner((0, 7_000_000), size=7_000_000))

    assert both is not None
    assert both.is_whole


def test_two_headers_have_the_shorter_in_common() -> None:
    both = manner((0, 300_000)).in_common(manner((0, 200_000)))

    assert spans(both, SIZE) == [(0, 4 * PIECE)]


def test_a_header_and_half_a_file_have_nothing_in_common() -> None:
    assert manner((0, 4_096)).in_common(manner((0, 20_000_000))) is None
    assert manner((0, 4_096)).in_common(manner((5_000_000, 5_004_096))) is None


def test_a_small_file_read_whole_is_like_the_headers_of_large_ones() -> None:
    header, small = manner((0, 4_096)), manner((0, 3_000), size=3_000)

    assert small.in_common(header) == header
    assert header.in_common(small) == header
    assert header.in_common(manner((0, 500_000), size=500_000)) is None


_READS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 8)).map(lambda t: (t[0], t[0] + t[1])),
    min_size=1,
    max_size=30,
)


@given(reads=_READS)
def test_the_parts_are_the_pieces_that_were_touched(reads: list[tuple[int, int]]) -> None:
    found = manner(*((start * 30_000, stop * 30_000) for start, stop in reads), size=10**8)
    touched = {
        piece
        for start, stop in reads
        for piece in range(start * 30_000 // PIECE, (stop * 30_000 - 1) // PIECE + 1)
    }

    covered = [p for part in found.parts for p in range(part.start // PIECE, part.stop // PIECE)]
    assert covered == sorted(touched)


@given(one=_READS, other=_READS)
def test_what_two_manners_have_in_common_both_read(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    first = manner(*((a * PIECE, b * PIECE) for a, b in one), size=10**8)
    second = manner(*((a * PIECE, b * PIECE) for a, b in other), size=10**8)
    both = first.in_common(second)

    if both is not None:
        assert both.size <= min(first.size, second.size)
        assert 2 * both.size >= max(first.size, second.size)
    else:
        assert second.in_common(first) is None
