"""Sizes and times as listings show them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from empiarfs.core.files import FileVersion
from empiarfs.core.sizes import LARGEST_SIZE, bounds_of, fits, size_text
from tests.support.listing_page import padded_size

UNITS = [1024**power for power in range(1, 7)]
# Where the form changes, and around: of each unit the first that is printed in it, ten of
# it, and a half.
EDGES = [
    edge + step
    for unit in UNITS
    for edge in (unit * 973 // 1024, unit, unit * 10, unit * 10 - unit // 2, unit * 973)
    for step in (-1, 0, 1)
    if edge + step <= LARGEST_SIZE
]
SIZES = st.one_of(
    st.integers(0, LARGEST_SIZE),
    st.sampled_from(EDGES),
    st.tuples(st.integers(0, 2**11 - 1), st.integers(0, 52)).map(lambda pair: pair[0] << pair[1]),
)
LISTED = "2025-02-07 19:49"
LISTED_S = 1_738_957_740  # the same in UTC
MOVIE = 569_560_224


@given(SIZES)
def test_a_size_is_shown_as_apache_shows_it(size: int) -> None:
    assert size_text(size) == padded_size(size).strip()


@pytest.mark.parametrize("size", EDGES)
def test_a_size_on_an_edge_is_shown_as_apache_shows_it(size: int) -> None:
    assert size_text(size) == padded_size(size).strip()


@given(SIZES)
@example(0)
@example(LARGEST_SIZE)
def test_the_bounds_of_a_text_are_exactly_the_sizes_shown_so(size: int) -> None:
    bounds = bounds_of(size_text(size))

    assert bounds is not None
    low, high = bounds
    assert low <= size <= high
    assert size_text(low) == size_text(high) == size_text(size)
    assert low == 0 or size_text(low - 1) != size_text(size)
    assert high == LARGEST_SIZE or size_text(high + 1) != size_text(size)


def test_every_text_that_apache_can_print_has_bounds_and_together_they_leave_no_gap() -> None:
    size = count = 0
    while size <= LARGEST_SIZE:
        bounds = bounds_of(size_text(size))
        assert bounds is not None
        assert bounds[0] == size
        size, count = bounds[1] + 1, count + 1

    # 973 of bytes, then 1.0 to 9.9 and 10 to 973 of each unit, and 1.0E to 8.0E.
    assert count == 973 + 5 * (90 + 964) + 71


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("543M", (568_852_480, 569_901_055)),
        ("10M", (10_433_536, 11_010_047)),
        ("1.0K", (973, 1_075)),
        ("1.4G", (1_450_180_608, 1_557_135_359)),
        ("0", (0, 0)),
        ("972", (972, 972)),
        (" 62M", (64_487_424, 65_535_999)),
        ("650 ", (650, 650)),
        ("569560224", (MOVIE, MOVIE)),
    ],
)
def test_bounds_that_are_known_by_name(text: str, bounds: tuple[int, int]) -> None:
    assert bounds_of(text) == bounds


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "-",
            "  - ",
            "0.9K",
            "9K",
            "9M",
            "974K",
            "999M",
            "10.0K",
            "1.00K",
            "01K",
            "00",
            "1k",
        ),
        *(
            "8.1E",
            "10E",
            "1.0",
            "1.0Z",
            "-1",
            "+1",
            "1_000",
            "\u0661",
            "1 K",
            "9" * 19,
            "1" * 5000,
        ),
    ],
)
def test_what_no_server_prints_has_no_bounds(text: str) -> None:
    assert bounds_of(text) is None


@given(st.text("0123456789.KMGTPE -", max_size=8))
def test_bounds_are_right_for_any_text_that_has_them(text: str) -> None:
    bounds = bounds_of(text)

    if bounds is not None and not text.strip().isdigit():
        assert {size_text(bound) for bound in bounds} == {text.strip()}


@pytest.mark.parametrize("size", [-1, LARGEST_SIZE + 1])
def test_a_size_that_no_file_has_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="can't have"):
        size_text(size)


@pytest.mark.parametrize("size", [568_852_479, 569_901_056, 543, 0, 2**70])
def test_a_size_that_is_shown_otherwise_does_not_fit(size: int) -> None:
    assert not fits(FileVersion(size, LISTED_S), "543M", LISTED)
    assert not fits(FileVersion(size, None), "543M", "")


@pytest.mark.parametrize("hours", [-26, -12, -1, 0, 1, 2, 14, 26])
@pytest.mark.parametrize("seconds", [0, 1, 59])
def test_a_time_fits_in_any_zone(hours: int, seconds: int) -> None:
    version = FileVersion(MOVIE, LISTED_S + hours * 3600 + seconds)

    assert fits(version, "543M", LISTED)


@pytest.mark.parametrize("seconds", [-1, 60, -60, 1800, 3599, -27 * 3600, 27 * 3600, -LISTED_S])
def test_another_minute_does_not_fit(seconds: int) -> None:
    assert not fits(FileVersion(MOVIE, LISTED_S + seconds), "543M", LISTED)


@pytest.mark.parametrize("text", ["", "yesterday", "2025-02-30 12:00", "2025-02-07 24:00"])
def test_a_time_that_is_not_known_fits_any(text: str) -> None:
    assert fits(FileVersion(MOVIE, 12345), "543M", text)
    assert fits(FileVersion(MOVIE, None), "543M", LISTED)


@pytest.mark.parametrize("text", ["", "-", "big"])
def test_a_size_that_is_not_known_fits_any(text: str) -> None:
    assert fits(FileVersion(MOVIE, LISTED_S), text, LISTED)
    assert not fits(FileVersion(MOVIE, LISTED_S + 60), text, LISTED)


@given(SIZES, st.integers(-(2**40), 2**40))
def test_a_file_fits_the_row_that_shows_it(size: int, modified_s: int) -> None:
    assert fits(FileVersion(size, modified_s), size_text(size), "")
