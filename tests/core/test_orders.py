"""In which order a program goes through the names of a directory."""

from __future__ import annotations

import pytest

from empiarfs.core.listing import ListingItem
from empiarfs.core.orders import Names, Order, order_between, suffix_of


def names(*listed: str, directories: tuple[str, ...] = ()) -> Names:
    items = tuple(ListingItem(name, name in directories, "50M", "") for name in listed)
    return Names(items, {name: row for row, name in enumerate(listed)})


def test_the_next_name_has_the_same_suffix() -> None:
    found = names("a.mrc", "a.mrc.mdoc", "b.mrc", "b.mrc.mdoc", "notes")

    assert Order(1).after("a.mrc", found) == "b.mrc"
    assert Order(1).after("a.mrc.mdoc", found) == "b.mrc.mdoc"
    assert Order(-1).after("b.mrc", found) == "a.mrc"
    assert Order(1).after("b.mrc", found) is None
    assert Order(-1).after("a.mrc", found) is None


def test_directories_are_passed_over() -> None:
    found = names("a.mrc", "b.mrc", "c.mrc", directories=("b.mrc",))

    assert Order(1).after("a.mrc", found) == "c.mrc"


def test_a_name_that_is_not_listed_has_no_neighbour() -> None:
    assert Order(1).after("x.mrc", names("a.mrc", "b.mrc")) is None
    assert order_between("x.mrc", "a.mrc", names("a.mrc", "b.mrc")) is None


def test_the_search_for_a_suffix_ends() -> None:
    listed = ["a.mrc", *(f"b{number:04d}.txt" for number in range(1_000)), "c.mrc"]

    assert Order(1).after("a.mrc", names(*listed)) is None


def test_natural_order_follows_the_number() -> None:
    listed = sorted(f"frame_{number}.tif" for number in range(1, 120))
    found = names(*listed)
    order = order_between("frame_1.tif", "frame_2.tif", found)

    assert order == Order(1, number=0)
    walked = ["frame_2.tif"]
    while (name := order.after(walked[-1], found)) is not None:
        walked.append(name)
    assert walked == [f"frame_{number}.tif" for number in range(2, 120)]


@pytest.mark.parametrize(
    ("name", "following", "expected"),
    [
        ("f_0010.tif", "f_0020.tif", "f_0030.tif"),  # every tenth
        ("f_0099.tif", "f_0102.tif", "f_0105.tif"),
        ("f_12.tif", "f_11.tif", "f_10.tif"),  # backwards
        ("f_11.tif", "f_10.tif", "f_09.tif"),  # the width is kept where there is such a name
        ("f_101.tif", "f_100.tif", "f_99.tif"),
        ("TS_01_003.mrc", "TS_01_005.mrc", "TS_01_007.mrc"),
    ],
)
def test_a_number_goes_on_by_the_same_step(name: str, following: str, expected: str) -> None:
    # Others of the same suffix lie between them in the listing.
    found = names(name, "u.tif", "u.mrc", following, "v.tif", "v.mrc", expected)
    order = order_between(name, following, found)

    assert order is not None
    assert order.after(following, found) == expected
    assert order.reversed.after(following, found) == name


def test_names_that_differ_in_more_than_a_number_have_no_order() -> None:
    found = names("a1.mrc", "b2.mrc", "b7c3.mrc", "b8c4.mrc", "x.mrc")

    assert order_between("a1.mrc", "b8c4.mrc", found) is None
    assert order_between("b7c3.mrc", "x.mrc", found) is None
    assert order_between("a1.mrc", "b7c3.mrc", found) is None


def test_a_number_never_goes_below_zero() -> None:
    found = names("f1.mrc", "g.mrc", "f0.mrc")

    assert Order(-1, number=0).after("f0.mrc", found) is None


def test_a_number_too_many_leads_nowhere() -> None:
    assert Order(1, number=3).after("f1.mrc", names("f1.mrc", "f2.mrc")) is None


def test_a_suffix_is_what_follows_the_last_dot() -> None:
    assert [suffix_of(name) for name in ("a.mrc", "a.mrc.mdoc", "README", ".x")] == [
        "mrc",
        "mdoc",
        "",
        "x",
    ]
