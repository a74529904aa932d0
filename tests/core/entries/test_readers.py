"""The readers of entries: recorded answers give what they say, odd ones lose only what is odd."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from empiarfs.core.entries import Entry
from empiarfs.core.entries.acquisition import acquisition_from_header
from empiarfs.core.entries.from_json import (
    UnreadableError,
    entries_from_json,
    entry_from_document,
    entry_from_fields,
)
from empiarfs.core.entries.from_xml import entry_from_xml
from tests.support.entry_api import SAMPLES

JSON_FILES = sorted(SAMPLES.glob("*.json"))
XML = (SAMPLES / "10934.xml").read_bytes()


def sample(name: str) -> Entry:
    [described] = entries_from_json((SAMPLES / name).read_bytes())
    return described.entry


def of_fields(**fields: object) -> Entry:
    return entry_from_fields(10934, fields)


@pytest.mark.parametrize("path", JSON_FILES, ids=lambda path: path.stem)
def test_every_recorded_answer_is_an_entry_with_title_size_and_image_sets(path: object) -> None:
    entry = sample(str(path))

    assert entry.title
    assert entry.size is not None
    assert entry.release_date is not None
    assert all(each.name and each.category and each.data_format for each in entry.image_sets)
    assert all(not each.directory.startswith("/") for each in entry.image_sets)


def test_an_entry_whose_key_was_replaced_is_known_by_its_doi() -> None:
    assert sample("IMAGEPATTERNTEST.json").accession == "EMPIAR-11419"


def test_all_fields_of_a_whole_entry_are_read() -> None:
    entry = sample("entry_10934_COMPOSED.json")
    [image_set] = entry.image_sets
    [paper] = entry.citations

    assert (entry.accession, entry.status, entry.scale) == ("EMPIAR-10934", "REL", "molecule")
    assert (entry.release_date, entry.size_text) == ("2022-02-07", "1.9 TB")
    assert entry.size == round(1.9 * 1024**4)
    assert entry.references.emdb == ("EMD-12602",)
    assert len(entry.authors) == len(paper.authors) == 13
    assert entry.principal_investigators[0].name == "De Biasio A"
    assert (paper.year, paper.doi, paper.is_published) == (
        2021,
        "10.1038/s41467-021-26251-6",
        True,
    )
    assert image_set.directory == "data/CL44-1_20201106_111915"
    assert (image_set.image_width, image_set.image_height) == (11520, 8184)
    assert (image_set.pixel_width, image_set.frames_per_image) == (0.543, 45)


def test_what_is_null_in_a_recorded_answer_is_not_known() -> None:
    [image_set] = sample("IMAGEPATTERNTEST.json").image_sets

    assert image_set.pixel_width is None
    assert image_set.image_width is None
    assert image_set.frame_range is None
    assert image_set.micrographs_pattern == ""


def test_the_xml_says_what_the_api_says() -> None:
    told = entry_from_xml(XML)

    # Only the API has it.
    assert dataclasses.replace(told, scale="molecule") == sample("entry_10934_COMPOSED.json")


def test_xml_that_was_escaped_twice_is_unescaped_twice() -> None:
    who = entry_from_xml(XML).corresponding_author

    assert who is not None
    assert who.organization is not None
    assert who.organization.startswith("Department of Molecular & Cell Biology")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xff\xfe",
        b"<html/>",
        b"<entry/>",
        b'<entry accessionCode="10934">',
        b'<!DOCTYPE a [<!ENTITY b "c">]><entry accessionCode="EMPIAR-10934"/>',
        '<?xml version="1.0" encoding="utf-16"?><entry accessionCode="EMPIAR-1"/>'.encode(
            "utf-16"
        ),
    ],
)
def test_what_is_no_xml_of_an_entry_is_refused(document: bytes) -> None:
    with pytest.raises(UnreadableError):
        entry_from_xml(document)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"7", b'"EMPIAR-10934"', b"[" * 100_000, b"\xff", b'{"a": ' + b"9" * 5000 + b"}"],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        entries_from_json(body)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"null", b'{"EMPIAR-10934": {}}', b'{"x": 7}'])
def test_an_answer_without_entries_has_none(body: bytes) -> None:
    assert entries_from_json(body) == []


def test_what_was_kept_of_an_answer_reads_as_the_answer() -> None:
    [described] = entries_from_json((SAMPLES / "STARFILETEST.json").read_bytes())

    assert entry_from_document(11561, described.document) == described.entry


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("5760", 5760),
        (5760, 5760),
        (5760.0, 5760),
        ("", None),
        (None, None),
        ("many", None),
        (0, None),
        (-3, None),
        (True, None),
        (10**400, None),
        ([5760], None),
    ],
)
def test_a_number_is_read_however_it_is_written(told: object, kept: int | None) -> None:
    entry = of_fields(title="t", imagesets=[{"image_width": told}])

    assert entry.image_sets[0].image_width == kept


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("data/x", "data/x"),
        ("/data/x", "data/x"),
        ("data", "data"),
        ("data//x/", "data/x"),
        ("", ""),
        (None, ""),
        ("../../etc", ""),
        ("data/../../..", ""),
    ],
)
def test_a_directory_is_a_path_below_the_entry_or_nothing(told: object, kept: str) -> None:
    assert of_fields(imagesets=[{"directory": told}]).image_sets[0].directory == kept


def test_a_text_can_move_no_cursor_and_forge_no_line() -> None:
    entry = of_fields(title="a\x1b[31mb\u202ec\nd\x00e\ud800")

    assert entry.title.isprintable()
    assert "\n" not in entry.title


def test_a_paragraph_keeps_its_lines() -> None:
    [image_set] = of_fields(imagesets=[{"details": "one\r\ntwo\x07"}]).image_sets

    assert image_set.details == "one\ntwo\ufffd"


def test_references_are_sorted_by_their_form() -> None:
    found = of_fields(
        cross_references=["EMD-1", "emd-12602", "7NV0", None, {"name": "EMD-14046"}, "?"],
        biostudies_references="S-BIAD3015",
        idr_references=["idr0086"],
        empiar_references=["EMPIAR-10017", "EMPIAR-10017"],
    ).references

    assert found.emdb == ("EMD-12602", "EMD-14046")
    assert (found.pdb, found.biostudies, found.idr) == (("7nv0",), ("S-BIAD3015",), ("idr0086",))
    assert (found.empiar, found.other) == ((10017,), ("EMD-1", "?"))


OLD_HEADER = b"""<emdEntry accessCode="1234"><experiment><imaging>
<acceleratingVoltage units="kV">200</acceleratingVoltage><nominalCs units="mm">2.0</nominalCs>
<electronDose units="e/A**2">20</electronDose></imaging></experiment></emdEntry>"""


def test_headers_of_both_forms_of_emdb_tell_voltage_cs_and_dose() -> None:
    header = (SAMPLES / "emd-12602_COMPOSED.xml").read_bytes()
    new = acquisition_from_header("EMD-12602", header)
    old = acquisition_from_header("EMD-1234", OLD_HEADER)

    assert (new.voltage, new.spherical_aberration, new.dose) == (300.0, 2.7, 46.6)
    assert (old.voltage, old.spherical_aberration, old.dose) == (200.0, 2.0, 20.0)
    assert old.microscope is None


@pytest.mark.parametrize("document", [b"", XML, OLD_HEADER, b'<emd emdb_id="EMD-9"/>', b"<emd/>"])
def test_what_is_not_the_header_of_that_map_is_refused(document: bytes) -> None:
    with pytest.raises(UnreadableError):
        acquisition_from_header("EMD-12602", document)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
FIELD_NAMES = [*json.loads(JSON_FILES[0].read_text("utf-8")).popitem()[1], "citation"]


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(FIELD_NAMES), JSON_VALUES))
def test_fields_of_any_kind_make_an_entry(fields: dict[str, object]) -> None:
    assert entry_from_fields(10934, fields).accession == "EMPIAR-10934"


@given(st.dictionaries(st.sampled_from(["imagesets", "citation", "authors"]), st.lists(
    st.dictionaries(st.sampled_from(["title", "authors", "author", "year", "pixel_width",
                                     "frame_range_min", "details", "directory"]), JSON_VALUES),
    max_size=3)))  # fmt: skip
def test_parts_of_any_kind_make_an_entry(fields: dict[str, object]) -> None:
    document = json.dumps({"EMPIAR-10934": {"title": "t", **fields}}).encode()

    [described] = entries_from_json(document)

    assert described.entry.title == "t"


@pytest.mark.parametrize("read", [entries_from_json, entry_from_xml])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(read: Callable[[bytes], object], data: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        read(data)
