"""Reads the XML file of an entry: what the REST API says, in the form of EMPIAR's schema.

It is the second source, for when the API doesn't answer. EMPIAR escapes texts in it twice
(`&amp;amp;`), which `tidy` undoes.
"""

from __future__ import annotations

from collections.abc import Iterator

from empiarfs.core.entries import tidy
from empiarfs.core.entries.elements import (
    Element,
    all_of,
    first_of,
    name_of,
    parsed,
    text_in,
    text_of,
)
from empiarfs.core.entries.from_json import UnreadableError
from empiarfs.core.entries.names import number_in_name
from empiarfs.core.entries.references import sorted_references
from empiarfs.core.entries.values import Citation, Entry, Grant, ImageSet, Person

_CITATIONS = ("journalCitation", "nonJournalCitation")
_REFERENCES = (
    "emdbEntry", "pdbEntry", "pdbId", "bioStudiesEntry", "biostudiesEntry", "idrEntry",
    "empiarEntry",
)  # fmt: skip


def entry_from_xml(document: bytes) -> Entry:
    """Return the entry that an XML document describes.

    Raises:
        UnreadableError: It isn't an entry of EMPIAR.
    """
    root = parsed(document)
    number = number_in_name(root.get("accessionCode", ""))
    if name_of(root) != "entry" or number is None:
        raise UnreadableError("not the XML of an entry")
    size = first_of(root, "datasetSize")
    size_text = "" if size is None else f"{text_in(size)} {size.get('units', '')}".strip()
    corresponding = first_of(root, "correspondingAuthor")
    listed = first_of(root, "authorsList")
    return Entry(
        number=number,
        title=text_of(first_of(root, "admin"), "title"),
        status=text_of(root, "currentStatus"),
        deposition_date=tidy.date_of(text_of(root, "depositionDate")),
        release_date=tidy.date_of(text_of(root, "releaseDate")),
        update_date=tidy.date_of(text_of(root, "updateDate")),
        obsolete_date=tidy.date_of(text_of(root, "obsoleteDate")),
        size_text=size_text,
        size=tidy.bytes_of(size_text),
        experiment_type=text_of(root, "experimentType"),
        scale=text_of(root, "scale"),
        doi=tidy.doi_of(text_of(root, "entryDOI")) or f"10.6019/EMPIAR-{number}",
        authors=_authors(listed),
        corresponding_author=None if corresponding is None else _person(corresponding),
        principal_investigators=tuple(
            person
            for each in all_of(root, "principalInvestigator")
            if (person := _person(each)) is not None
        ),
        citations=tuple(_citation(each) for name in _CITATIONS for each in all_of(root, name)),
        references=sorted_references(
            text_in(each) for name in _REFERENCES for each in all_of(root, name)
        ),
        grants=tuple(_grants(root)),
        image_sets=tuple(_image_set(each) for each in all_of(root, "imageSet")),
    )


def _authors(element: Element | None) -> tuple[Person, ...]:
    return tuple(
        Person(name, tidy.orcid_of(each.get("authorORCID")))
        for each in all_of(element, "author")
        if (name := text_in(each))
    )


def _person(element: Element) -> Person | None:
    given = [text_of(element, name) for name in ("firstName", "middleName")]
    initials = "".join(word[0] for name in given for word in name.split())
    name = f"{text_of(element, 'lastName')} {initials}".strip()
    if not name:
        return None
    return Person(
        name,
        tidy.orcid_of(text_of(element, "authorORCID")),
        tidy.optional(text_of(element, "organization")),
        tidy.optional(text_of(element, "country")),
    )


def _citation(element: Element) -> Citation:
    people = list(all_of(element, "author"))
    if all(tidy.count_of(each.get("order")) is not None for each in people):
        people.sort(key=lambda each: tidy.count_of(each.get("order")) or 0)
    external = {
        each.get("type", "").lower(): text_in(each)
        for each in all_of(element, "externalReferences")
    }
    return Citation(
        title=text_of(element, "title"),
        authors=tuple(
            Person(name, tidy.orcid_of(each.get("authorORCID")))
            for each in people
            if (name := text_in(each))
        ),
        journal=text_of(element, "journal") or None,
        journal_abbreviation=text_of(element, "journalAbbreviation") or None,
        volume=text_of(element, "volume") or None,
        issue=text_of(element, "issue") or None,
        first_page=text_of(element, "firstPage") or None,
        last_page=text_of(element, "lastPage") or None,
        year=tidy.year_of(text_of(element, "year")),
        doi=tidy.doi_of(external.get("doi")),
        pubmed=external.get("pubmed") or None,
        is_published=element.get("published") == "true",
        is_preprint=element.get("preprint") == "true",
        publisher=text_of(element, "publisher") or None,
        details=text_of(element, "details", lines=True),
    )


def _grants(root: Element) -> Iterator[Grant]:
    for each in all_of(root, "grantReference"):
        body = text_of(each, "fundingBody")
        if body:
            yield Grant(body, text_of(each, "code"), text_of(each, "country") or None)


def _image_set(element: Element) -> ImageSet:
    first, last = (tidy.count_of(text_of(element, f"frameRange{end}")) for end in ("Min", "Max"))
    return ImageSet(
        name=text_of(element, "name"),
        directory=tidy.directory_of(text_of(element, "directory")),
        category=text_of(element, "category"),
        header_format=text_of(element, "headerFormat"),
        data_format=text_of(element, "dataFormat"),
        image_count=tidy.count_of(text_of(element, "numImagesOrTiltSeries")),
        frames_per_image=tidy.count_of(text_of(element, "framesPerImage")),
        frame_range=None if first is None or last is None else (first, last),
        voxel_type=text_of(element, "voxelType"),
        pixel_width=tidy.length_of(text_of(element, "pixelWidth")),
        pixel_height=tidy.length_of(text_of(element, "pixelHeight")),
        image_width=tidy.count_of(text_of(element, "imageWidth")) or None,
        image_height=tidy.count_of(text_of(element, "imageHeight")) or None,
        details=text_of(element, "details", lines=True),
        micrographs_pattern=text_of(element, "micrographsFilePattern"),
        particles_pattern=text_of(element, "pickedParticlesFilePattern"),
        particles_directory=tidy.directory_of(text_of(element, "pickedParticlesDirectory")),
    )
