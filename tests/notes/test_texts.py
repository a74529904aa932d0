"""What stands in the files below `.empiar`, where links lead, and which paths are meant."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from empiarfs.catalog.entry_outlines import Outline
from empiarfs.catalog.entry_rows import Known
from empiarfs.core.entries.from_json import entry_from_fields
from empiarfs.core.entries.values import ImageSet
from empiarfs.entries import Answer, HowMany
from empiarfs.notes import texts
from empiarfs.notes.places import Place, place_of
from empiarfs.notes.shelves import Shelf, shelves_of
from tests.support.entry_api import sample_entries

ANSWER = Answer(
    Known(entry_from_fields(10934, sample_entries()[10934]), "api", b"", 1_700_000_000.0)
)


def outline(number: int, **fields: object) -> Outline:
    made = Outline(number, 100.0, "2022", "EMDB", (), ())
    return replace(made, **fields)  # type: ignore[arg-type]  # of the fields' own types


def shelf(name: str, *outlines: Outline) -> Shelf | int:
    return shelves_of(outlines)[name]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (".empiar", Place(None, (), ".empiar")),
        (".empiar/by-doi/10.1/x", Place(None, ("by-doi", "10.1", "x"), ".empiar/by-doi/10.1/x")),
        ("10934/.empiar", Place(10934, (), "10934/.empiar")),
        ("10934/.empiar/files.tsv", Place(10934, ("files.tsv",), "10934/.empiar/files.tsv")),
    ],
)
def test_paths_below_it_are_known(path: str, place: Place) -> None:
    assert place_of(path) == place


@pytest.mark.parametrize(
    "path",
    [
        "", "10934", "10934/data", ".empiarfs", "10934/.empiar2", "10934/data/.empiar",
        "data/.empiar", "010934/.empiar", "1934/.empiar", "10934x/.empiar", "x/10934/.empiar",
    ],
)  # fmt: skip
def test_other_paths_are_the_archives(path: str) -> None:
    assert place_of(path) is None


def test_the_readme_tells_what_the_entry_is_and_when_that_was_asked() -> None:
    text = texts.entry_readme(ANSWER, 1_700_000_000.0).decode()

    assert text.startswith("EMPIAR-10934: Cryo-EM multiframe micrographs")
    assert "asked of EMPIAR's API on 2023-11-14 22:13 UTC." in text
    assert "1  micrographs - multiframe, TIFF, data/CL44-1_20201106_111915\n" in text
    assert "days old" not in text
    assert text == texts.entry_readme(ANSWER, 1_800_000_000.0).decode()


def test_the_readme_says_how_old_it_is_if_nothing_newer_could_be_had() -> None:
    old = replace(ANSWER, problem="EMPIAR is silent")

    text = texts.entry_readme(old, 1_700_000_000.0 + 12.5 * 86_400).decode()

    assert text.endswith("It is 12 days old, and nothing newer could be had: EMPIAR is silent\n")


def test_the_archives_readme_says_how_much_is_known_and_how_to_know_all() -> None:
    some = texts.archive_readme(HowMany(5, 3000, 1_700_000_000.0)).decode()
    none = texts.archive_readme(HowMany(0, None, None)).decode()
    complete = texts.archive_readme(HowMany(3000, 3000, 1_700_000_000.0)).decode()

    assert "5 entries are known here of 3000 that there were on 2023-11-14 22:13 UTC." in some
    assert "0 entries are known here.\n" in none
    assert ["catalog update" in text for text in (some, none, complete)] == [True, True, False]


def test_the_description_is_the_one_that_info_prints() -> None:
    told = json.loads(texts.entry_json(ANSWER))

    assert (told["number"], told["source"], told["problem"]) == (10934, "api", None)
    assert told["references"]["emdb"] == ["EMD-12602"]


def test_refused_names_stand_on_lines_of_their_own() -> None:
    found = [{"directory": "10934/da\nta", "count": 3, "names": ["'..': not a name", "\udcff"]}]

    assert texts.refused_names(found).decode().splitlines()[1:] == [
        "10934/da\\nta: 3 refused",
        "  '..': not a name",
        "  \\xff",
    ]


@pytest.mark.parametrize(
    ("directory", "target"),
    [
        ("data/movies", "../../data/movies"),
        ("data/a b", "../../data/a b"),
        ("", None),
        ("data/../..", None),
        ("data/" + "x" * 256, None),
        ("data/" + "x/" * 2100 + "x", None),
    ],
)
def test_links_of_image_sets_stay_in_the_entry(directory: str, target: str | None) -> None:
    entry = replace(ANSWER.known.entry, image_sets=(ImageSet("a", directory),))

    assert texts.image_set_links(entry) == ({} if target is None else {"1": target})


def test_entries_are_found_by_all_their_names() -> None:
    found = shelves_of(
        [
            outline(10934, emdb=("EMD-12602",), dois=("10.6019/EMPIAR-10934", "10.1038/s41-x")),
            outline(11419, year="", experiment_type="hard X-ray/X-ray microCT"),
        ]
    )

    assert found == {
        "by-doi": {"10.6019": {"EMPIAR-10934": 10934}, "10.1038": {"s41-x": 10934}},
        "by-emdb": {"EMD-12602": 10934},
        "by-type": {"EMDB": {"10934": 10934}, "hard X-ray-X-ray microCT": {"11419": 11419}},
        "by-year": {"2022": {"10934": 10934}},
    }


def test_what_several_entries_share_leads_to_each_of_them() -> None:
    shared = [outline(number, emdb=("EMD-1234",)) for number in (10100, 10200, 10300)]

    assert shelf("by-emdb", *shared) == {
        "EMD-1234": 10100,
        "EMD-1234.EMPIAR-10200": 10200,
        "EMD-1234.EMPIAR-10300": 10300,
    }


def test_a_doi_that_another_begins_with_makes_way() -> None:
    short, long = outline(10100, dois=("10.1/a",)), outline(10200, dois=("10.1/a/b",))
    expected = {"10.1": {"a": {"b": 10200}, "a.EMPIAR-10100": 10100}}

    assert shelf("by-doi", short, long) == expected
    short, long = outline(10200, dois=("10.1/a",)), outline(10100, dois=("10.1/a/b",))
    assert shelf("by-doi", long, short) == {"10.1": {"a": {"b": 10100}, "a.EMPIAR-10200": 10200}}


@pytest.mark.parametrize("doi", ["10.1/../x", "10.1//x", "10.1/", "10.1/\0", "10.1/" + "x" * 256])
def test_a_doi_that_is_no_path_is_left_out(doi: str) -> None:
    assert shelf("by-doi", outline(10100, dois=(doi,))) == {}
