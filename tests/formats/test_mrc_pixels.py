"""Where the pixels of MRC files are, against a model that looks at each pixel."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.formats import FormatError, Window
from empiarfs.formats.mrc import HEADER_SIZE, MrcHeader, parse_mrc
from empiarfs.formats.mrc_pixels import MrcPixels, mrc_pixels
from empiarfs.formats.regions import Region, checked_region, chosen_frames

BITS = {0: 8, 1: 16, 2: 32, 3: 32, 4: 64, 6: 16, 12: 16, 101: 4}
EMPTY = parse_mrc(Window(HEADER_SIZE, lambda offset, size: bytes(size), HEADER_SIZE))


def header(columns: int, rows: int, sections: int, mode: int, **others: object) -> MrcHeader:
    made = replace(
        EMPTY, columns=columns, rows=rows, sections=sections, mode=mode, pixel_bits=BITS[mode]
    )
    return replace(made, **others)  # type: ignore[arg-type] # the names are those of fields


def bits_of(pixels: MrcPixels, frame: int, section: int, y: int, x: int) -> int:
    """Return the offset in bits of a pixel, counted from the start of the file."""
    image = pixels.row_size * pixels.header.rows
    start = HEADER_SIZE + pixels.header.extended_size
    start += (frame * (pixels.depth or 1) + section) * image + y * pixels.row_size
    return 8 * start + x * BITS[pixels.header.mode]


@given(
    columns=st.sampled_from([1, 7, 8, 50_000, 400_001]),
    rows=st.integers(1, 6),
    mode=st.sampled_from(sorted(BITS)),
    extended=st.sampled_from([0, 131_072]),
    frame=st.integers(0, 3),
    data=st.data(),
)
def test_the_parts_hold_each_pixel_of_the_region_once(
    columns: int, rows: int, mode: int, extended: int, frame: int, data: st.DataObject
) -> None:
    pixels = mrc_pixels(header(columns, rows, 4, mode, extended_size=extended, space_group=0))
    top, bottom = sorted(data.draw(st.tuples(st.integers(0, rows), st.integers(0, rows))))
    left, right = sorted(data.draw(st.tuples(st.integers(0, columns), st.integers(0, columns))))
    region = Region(top, bottom, left, right)

    held: list[int] = []
    for part in pixels.parts(frame, region):
        inside = part.region
        assert inside.left <= left <= right <= inside.right
        first = 8 * part.offset
        assert first == bits_of(pixels, frame, part.section, inside.top, inside.left)
        last = bits_of(pixels, frame, part.section, inside.bottom - 1, inside.right - 1)
        if inside.bottom > inside.top and inside.right > inside.left:
            assert last + BITS[mode] <= first + 8 * part.size
        held += range(inside.top, inside.bottom)
    assert held == list(range(top, bottom))


def test_a_narrow_part_of_long_rows_is_taken_row_by_row() -> None:
    pixels = mrc_pixels(header(100_000, 3, 1, 2))
    sizes = [part.size for part in pixels.parts(0, Region(1, 3, 10, 20))]

    assert sizes == [40, 40]
    assert [part.size for part in pixels.parts(0, Region(1, 3, 0, 90_000))] == [800_000]


@pytest.mark.parametrize(
    ("group", "sections", "depth", "frames", "is_single"),
    [
        (0, 1, None, 1, True), (0, 7, None, 7, False), (1, 1, None, 1, False),
        (401, 12, 4, 3, False), (630, 4, 4, 1, False), (631, 4, None, 4, False),
    ],
)  # fmt: skip
def test_the_first_axis_is_that_of_mrcfile(
    group: int, sections: int, depth: int | None, frames: int, is_single: bool
) -> None:
    made = mrc_pixels(header(5, 6, sections, 1, space_group=group, grid=(5, 6, 4)))

    assert (made.frames, made.depth, made.is_single) == (frames, depth, is_single)
    assert made.stop(frames - 1) == HEADER_SIZE + 2 * 5 * 6 * sections


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pixel_bits": None}, "its mode, 1, isn't known"),
        ({"columns": 0}, "0 × 6 pixels"),
        ({"space_group": 401, "grid": (5, 6, 0)}, "0 sections"),
    ],
)
def test_what_has_no_pixels_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        mrc_pixels(replace(header(5, 6, 7, 1), **wrong))  # type: ignore[arg-type]


def test_frames_are_indexed_as_lists_are() -> None:
    assert list(chosen_frames(None, 3)) == [0, 1, 2]
    assert list(chosen_frames(-1, 3)) == [2]
    assert list(chosen_frames(slice(None, None, -2), 5)) == [4, 2, 0]
    assert list(chosen_frames([2, 0, 2], 3)) == [2, 0, 2]
    for wrong in (3, -4, [0, 3]):
        with pytest.raises(IndexError, match="no frame"):
            chosen_frames(wrong, 3)


@pytest.mark.parametrize("wrong", [(0, 11, 0, 1), (5, 4, 0, 1), (-1, 4, 0, 1), (0, 1, 0, 21)])
def test_a_region_has_to_lie_within_the_frame(wrong: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="isn't within 10 × 20 pixels"):
        checked_region(wrong, 10, 20)
