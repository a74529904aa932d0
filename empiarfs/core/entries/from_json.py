"""Reads the answers of EMPIAR's REST API.

An answer is an object whose keys are accession codes and whose values are the entries'
fields; of a range, entries that aren't there are left out. Form and names are those of
https://www.ebi.ac.uk/empiar/api/ as recorded in 2022-2025.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from empiarfs.core.entries import tidy
from empiarfs.core.entries.names import number_in_name
from empiarfs.core.entries.references import sorted_references
from empiarfs.core.entries.values import Citation, Entry, Grant, ImageSet, Person


class UnreadableError(ValueError):
    """What came isn't a description of entries."""


@dataclass(frozen=True, slots=True)
class Described:
    """One entry of an answer, read and as it came.

    Attributes:
        entry: What it says.
        document: The fields themselves, as JSON in UTF-8.
    """

    entry: Entry
    document: bytes


def entries_from_json(body: bytes) -> list[Described]:
    """Return the entries of an answer of the API, by number; what isn't one is left out.

    Raises:
        UnreadableError: It isn't a JSON object.
    """
    found: dict[int, Described] = {}
    for name, value in _object(body).items():
        fields = tidy.fields_of(value)
        number = _number(name, fields)
        if number is None or "title" not in fields:
            continue
        document = json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()
        found[number] = Described(entry_from_fields(number, fields), document)
    return [found[number] for number in sorted(found)]


def entry_from_document(number: int, document: bytes) -> Entry:
    """Return the entry whose fields `Described.document` holds.

    Raises:
        UnreadableError: It isn't that.
    """
    fields = _object(document)
    if "title" not in fields:
        raise UnreadableError("no description of an entry")
    return entry_from_fields(number, fields)


def _object(body: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as exc:
        # The decoder's messages quote nothing of the text.
        raise UnreadableError(f"not JSON: {exc}") from exc
    # EMPIAR's API answers with a list where nothing was found.
    if value in ([], None):
        return {}
    if not isinstance(value, dict):
        raise UnreadableError("not a JSON object")
    return value


def _number(name: str, fields: Mapping[str, object]) -> int | None:
    number = number_in_name(name)
    if number is None:
        number = number_in_name(tidy.text_of(fields.get("entry_doi")))
    return number


def entry_from_fields(number: int, fields: Mapping[str, object]) -> Entry:
    """Return the entry that the fields describe; see `tidy` for what is made of odd ones."""
    size_text = tidy.text_of(fields.get("dataset_size"))
    corresponding = _person(tidy.fields_of(fields.get("corresponding_author")))
    words = [
        tidy.text_of(word)
        for name in ("cross_references", "biostudies_references", "idr_references",
                     "empiar_references")
        for item in tidy.items_of(fields.get(name))
        for word in (tidy.fields_of(item).values() if isinstance(item, dict) else (item,))
    ]  # fmt: skip
    return Entry(
        number=number,
        title=tidy.text_of(fields.get("title")),
        status=tidy.text_of(fields.get("status")),
        deposition_date=tidy.date_of(fields.get("deposition_date")),
        release_date=tidy.date_of(fields.get("release_date")),
        update_date=tidy.date_of(fields.get("update_date")),
        obsolete_date=tidy.date_of(fields.get("obsolete_date")),
        size_text=size_text,
        size=tidy.bytes_of(size_text),
        experiment_type=tidy.text_of(fields.get("experiment_type")),
        scale=tidy.text_of(fields.get("scale")),
        doi=tidy.doi_of(fields.get("entry_doi")) or f"10.6019/EMPIAR-{number}",
        authors=_people(fields.get("authors")),
        corresponding_author=corresponding,
        principal_investigators=_people(fields.get("principal_investigator")),
        citations=tuple(
            _citation(tidy.fields_of(item)) for item in tidy.items_of(fields.get("citation"))
        ),
        references=sorted_references(words),
        grants=tuple(
            grant
            for item in tidy.items_of(fields.get("grant_references"))
            if (grant := _grant(tidy.fields_of(item))) is not None
        ),
        image_sets=tuple(
            _image_set(tidy.fields_of(item)) for item in tidy.items_of(fields.get("imagesets"))
        ),
    )


def _people(value: object) -> tuple[Person, ...]:
    found = (_person(tidy.fields_of(item)) for item in tidy.items_of(value))
    return tuple(person for person in found if person is not None)


def _person(fields: Mapping[str, object]) -> Person | None:
    """Return somebody, whose fields may lie below `author` or not; None without a name."""
    fields = tidy.fields_of(fields.get("author")) or fields
    name = tidy.text_of(fields.get("name")) or _joined_name(fields)
    if not name:
        return None
    return Person(
        name,
        tidy.orcid_of(fields.get("author_orcid")),
        tidy.optional(fields.get("organization")),
        tidy.optional(fields.get("country")),
    )


def _joined_name(fields: Mapping[str, object]) -> str:
    """Return a name in EMPIAR's short form, "De Biasio A", out of its parts."""
    family = tidy.text_of(fields.get("last_name"))
    given = [tidy.text_of(fields.get(name)) for name in ("first_name", "middle_name")]
    initials = "".join(word[0] for name in given for word in name.split())
    return f"{family} {initials}".strip()


def _citation(fields: Mapping[str, object]) -> Citation:
    people = tidy.items_of(fields.get("authors"))
    if all(tidy.count_of(tidy.fields_of(item).get("order_id")) is not None for item in people):
        people = sorted(people, key=_place)
    return Citation(
        title=tidy.text_of(fields.get("title")) or tidy.text_of(fields.get("book_chapter_title")),
        authors=_people(people),
        journal=tidy.optional(fields.get("journal")),
        journal_abbreviation=tidy.optional(fields.get("journal_abbreviation")),
        volume=tidy.optional(fields.get("volume")),
        issue=tidy.optional(fields.get("issue")),
        first_page=tidy.optional(fields.get("first_page")),
        last_page=tidy.optional(fields.get("last_page")),
        year=tidy.year_of(fields.get("year")),
        doi=tidy.doi_of(fields.get("doi")),
        pubmed=tidy.optional(fields.get("pubmedid")),
        is_published=fields.get("published") is True,
        is_preprint=fields.get("preprint") is True,
        publisher=tidy.optional(fields.get("publisher")),
        details=tidy.text_of(fields.get("details"), lines=True),
    )


def _place(item: object) -> int:
    return tidy.count_of(tidy.fields_of(item).get("order_id")) or 0


def _grant(fields: Mapping[str, object]) -> Grant | None:
    body = tidy.text_of(fields.get("funding_body"))
    if not body:
        return None
    return Grant(body, tidy.text_of(fields.get("code")), tidy.optional(fields.get("country")))


def _image_set(fields: Mapping[str, object]) -> ImageSet:
    first, last = (tidy.count_of(fields.get(f"frame_range_{end}")) for end in ("min", "max"))
    return ImageSet(
        name=tidy.text_of(fields.get("name")),
        directory=tidy.directory_of(fields.get("directory")),
        category=tidy.text_of(fields.get("category")),
        header_format=tidy.text_of(fields.get("header_format")),
        data_format=tidy.text_of(fields.get("data_format")),
        image_count=tidy.count_of(fields.get("num_images_or_tilt_series")),
        frames_per_image=tidy.count_of(fields.get("frames_per_image")),
        frame_range=None if first is None or last is None else (first, last),
        voxel_type=tidy.text_of(fields.get("voxel_type")),
        pixel_width=tidy.length_of(fields.get("pixel_width")),
        pixel_height=tidy.length_of(fields.get("pixel_height")),
        image_width=tidy.count_of(fields.get("image_width")) or None,
        image_height=tidy.count_of(fields.get("image_height")) or None,
        details=tidy.text_of(fields.get("details"), lines=True),
        micrographs_pattern=tidy.text_of(fields.get("micrographs_file_pattern")),
        particles_pattern=tidy.text_of(fields.get("picked_particles_file_pattern")),
        particles_directory=tidy.directory_of(fields.get("picked_particles_directory")),
    )
