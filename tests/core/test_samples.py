"""Samples, and the grammar of selectors."""

from __future__ import annotations

import random

import pytest

from empiarfs.core.samples import sample
from empiarfs.core.selectors import Described, Selectors, parse_roles

FILES = [f"10934/data/x_{number:04}.tif" for number in range(2000)]


def test_a_sample_depends_on_seed_number_and_paths_only() -> None:
    shuffled = random.Random(1).sample(FILES, len(FILES))
    once = sample(FILES, 20, 7, str)

    assert once == sorted(sample(shuffled, 20, 7, str))
    assert len(set(once)) == 20
    assert once != sample(FILES, 20, 8, str)
    assert sample(FILES, 5000, 7, str) == FILES


def test_a_sample_is_the_same_with_any_release() -> None:
    assert sample(FILES, 3, 42, str) == [
        "10934/data/x_0232.tif",
        "10934/data/x_0680.tif",
        "10934/data/x_1786.tif",
    ]


def test_a_smaller_sample_is_part_of_a_larger_one_and_one_more_file_changes_little() -> None:
    larger = sample(FILES, 100, 7, str)

    assert set(sample(FILES, 20, 7, str)) < set(larger)
    assert len(set(sample([*FILES, "10934/data/y.tif"], 100, 7, str)) - set(larger)) <= 1


def test_a_sample_is_spread_over_all() -> None:
    counts = [0] * 4
    for seed in range(100):
        for path in sample(FILES, 20, seed, str):
            counts[FILES.index(path) // 500] += 1

    # 500 are expected in each quarter; six standard deviations are 120.
    assert all(380 < count < 620 for count in counts)


def test_names_that_are_no_text_can_be_sampled() -> None:
    assert sample(["a/\udcff", "a/b"], 2, 0, str) == ["a/\udcff", "a/b"]


def test_nothing_is_selected_by_itself() -> None:
    assert not Selectors()
    assert Described().holds("10934/data/x.jpg")
    assert Selectors(first=1)


def test_roles_are_of_paths_below_the_entry() -> None:
    roles = parse_roles(["Movies, gain"])

    assert Described().holds("10934/data/gain.mrc", roles)
    assert Described().holds("10934/data/x.eer", roles)
    assert not Described().holds("10934/gain.xml", roles)
    sets = {"10934": [("data/a", "micrographs - multiframe", "MRC")]}
    assert Described(sets).holds("10934/data/a/x.mrc", roles)
    assert not Described(sets).holds("10935/data/a/x.mrc", roles)


def test_places_hold_what_lies_below_and_lead_there() -> None:
    places = Described(places=("10934/data/a", "10934/data/b/c"))

    paths = ("10934/data/a/x", "10934/data/b/c/d/x", "10934/data/ab/x", "10934/x")
    assert [places.holds(path) for path in paths] == [True, True, False, False]
    directories = ("10934", "10934/data", "10934/data/a/d", "10934/data/b", "10934/data/d")
    assert [places.leads_on(path) for path in directories] == [True, True, True, True, False]


def test_a_role_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="'films' is no role; write one of movies, "):
        Selectors(roles=parse_roles(["films"]))
    with pytest.raises(ValueError, match="isn't between"):
        Selectors(first=0)
