"""What is wanted, told from a listing's row where that is enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core import sizes
from empiarfs.core.selection import Selection, SizeRange, parse_size_range, sorted_globs

NOON_S = 1_644_235_200


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("10..20", 10, 20), ("10..", 10, 2**63), ("..20", 0, 20), ("+10", 11, 2**63), ("-10", 0, 9),
     ("10", 10, 10)],
)  # fmt: skip
def test_a_range_of_sizes_is_spelt_in_several_ways(text: str, low: int, high: int) -> None:
    assert parse_size_range(text, int) == SizeRange(low, high)


@pytest.mark.parametrize("text", ["", "..", "20..10", "x", "+", "-", "1..x", "1...2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_size_range(text, int)


@given(st.integers(0, 2**45), st.integers(0, 2**45), st.integers(0, 2**45))
def test_a_row_never_says_the_contrary_of_the_size_itself(size: int, low: int, high: int) -> None:
    selection = Selection(size=SizeRange(low, high))
    verdict = selection.verdict(sizes.size_text(size), None, is_directory=False)

    assert verdict in (None, selection.accepts(size, None))


@given(st.integers(0, 2**32), st.integers(-14, 14), st.integers(0, 2**32))
def test_a_row_never_says_the_contrary_of_the_time_itself(
    modified_s: int, zone_h: int, newer_s: int
) -> None:
    selection = Selection(newer_s=newer_s)
    listed_s = modified_s - modified_s % 60 + 3600 * zone_h
    verdict = selection.verdict("1", listed_s, is_directory=False)

    assert verdict in (None, selection.accepts(1, modified_s))


def test_a_rounded_size_is_mostly_enough() -> None:
    big = Selection(size=SizeRange(low=2**20))

    assert big.verdict("543M", None, is_directory=False) is True
    assert big.verdict("543K", None, is_directory=False) is False
    assert big.verdict("1.0M", None, is_directory=False) is None
    assert big.verdict("", None, is_directory=False) is None
    assert big.verdict("", None, is_directory=True) is False


def test_a_directory_has_no_size_and_the_time_of_its_row() -> None:
    newer = Selection(newer_s=NOON_S)

    assert newer.verdict("", NOON_S + 60, is_directory=True) is True
    assert newer.verdict("", NOON_S, is_directory=True) is False
    assert newer.verdict("", None, is_directory=True) is False


def test_a_pattern_with_a_slash_is_for_the_path() -> None:
    globs, path_globs = sorted_globs(("*.mrc", "/a/*.tif"), ignore_case=False)
    selection = Selection(globs=globs, path_globs=path_globs)

    wanted = [
        path
        for path in ("x.mrc", "b/x.mrc", "a/x.tif", "x.tif", "b/a/x.tif")
        if selection.names(path, is_directory=False)
    ]
    assert wanted == ["x.mrc", "b/x.mrc", "a/x.tif"]
