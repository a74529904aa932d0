"""Byte ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.ranges import ByteRange

OFFSETS = st.integers(0, 50)
RANGES = st.tuples(OFFSETS, OFFSETS).map(lambda pair: ByteRange(min(pair), max(pair)))


@given(RANGES)
def test_a_range_is_as_long_as_the_bytes_in_it(wanted: ByteRange) -> None:
    held = range(wanted.start, wanted.stop)

    assert len(wanted) == len(held)
    assert bool(wanted) == bool(held)


@given(RANGES, OFFSETS)
def test_clamping_leaves_exactly_the_bytes_inside_the_file(wanted: ByteRange, size: int) -> None:
    clamped = wanted.clamp(size)

    inside = [offset for offset in range(wanted.start, wanted.stop) if offset < size]
    assert list(range(clamped.start, clamped.stop)) == inside


@pytest.mark.parametrize(("start", "stop"), [(-1, 0), (1, 0), (-2, -1)])
def test_what_is_no_range_cannot_be_made(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="not a byte range"):
        ByteRange(start, stop)


def test_a_range_past_4_gib_and_past_what_len_can_tell_is_true() -> None:
    assert ByteRange(2**33, 2**33 + 1)
    assert ByteRange(0, 2**64)


def test_ranges_are_ordered_by_their_start() -> None:
    ranges = [ByteRange(5, 6), ByteRange(0, 9), ByteRange(0, 3)]

    assert sorted(ranges) == [ByteRange(0, 3), ByteRange(0, 9), ByteRange(5, 6)]
