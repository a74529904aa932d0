"""Reads the XML file of an entry: what the REST API says, in the form of EMPIAR's schema.

It is the second source, for when the API doesn't answer. EMPIAR escapes texts in it twice
(`&amp;amp;`), which `tidy` undoes. A document with a DTD is refused: only there could entities
be declared that grow beyond measure.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from empiarfs.core.entries import tidy
from empiarfs.core.entries.from_json import UnreadableError
from empiarfs.core.entries.names import number_in_name
from empiarfs.core.entries.references import sorted_references
from empiarfs.core.entries.values import Citation, Entry, Grant, ImageSet, Person

Element = ElementTree.Element

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
    root = _parsed(document)
    number = number_in_name(root.get("accessionCode", ""))
    if _name(root) != "entry" or number is None:
        raise UnreadableError("not the XML of an entry")
    size = _first(root, "datasetSize")
    size_text = "" if size is None else f"{_text_in(size)} {size.get('units', '')}".strip()
    corresponding = _first(root, "correspondingAuthor")
    listed = _first(root, "authorsList")
    return Entry(
        number=number,
        title=_text(_first(root, "admin"), "title"),
        status=_text(root, "currentStatus"),
        deposition_date=tidy.date_of(_text(root, "depositionDate")),
        release_date=tidy.date_of(_text(root, "releaseDate")),
        update_date=tidy.date_of(_text(root, "updateDate")),
        obsolete_date=tidy.date_of(_text(root, "obsoleteDate")),
        size_text=size_text,
        size=tidy.bytes_of(size_text),
        experiment_type=_text(root, "experimentType"),
        scale=_text(root, "scale"),
        doi=tidy.doi_of(_text(root, "entryDOI")) or f"10.6019/EMPIAR-{number}",
        authors=_authors(listed),
        corresponding_author=None if corresponding is None else _person(corresponding),
        principal_investigators=tuple(
            person
            for each in _all(root, "principalInvestigator")
            if (person := _person(each)) is not None
        ),
        citations=tuple(_citation(each) for name in _CITATIONS for each in _all(root, name)),
        references=sorted_references(
            _text_in(each) for name in _REFERENCES for each in _all(root, name)
        ),
        grants=tuple(_grants(root)),
        image_sets=tuple(_image_set(each) for each in _all(root, "imageSet")),
    )


def _parsed(document: bytes) -> Element:
    try:
        # As text: no other encoding can hide a DTD from the look below.
        text = document.decode("utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise UnreadableError("XML with a DTD")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeDecodeError) as exc:
        raise UnreadableError(f"not XML: {exc}") from exc
    return root


def _name(element: Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _all(element: Element | None, name: str) -> Iterator[Element]:
    if element is not None:
        yield from (each for each in element.iter() if _name(each) == name)


def _first(element: Element | None, name: str) -> Element | None:
    return next(_all(element, name), None)


def _text_in(element: Element | None, *, lines: bool = False) -> str:
    return "" if element is None else tidy.text_of(element.text, lines=lines)


def _text(element: Element | None, name: str, *, lines: bool = False) -> str:
    return _text_in(_first(element, name), lines=lines)


def _authors(element: Element | None) -> tuple[Person, ...]:
    return tuple(
        Person(name, tidy.orcid_of(each.get("authorORCID")))
        for each in _all(element, "author")
        if (name := _text_in(each))
    )


def _person(element: Element) -> Person | None:
    given = [_text(element, name) for name in ("firstName", "middleName")]
    initials = "".join(word[0] for name in given for word in name.split())
    name = f"{_text(element, 'lastName')} {initials}".strip()
    if not name:
        return None
    return Person(
        name,
        tidy.orcid_of(_text(element, "authorORCID")),
        tidy.optional(_text(element, "organization")),
        tidy.optional(_text(element, "country")),
    )


def _citation(element: Element) -> Citation:
    people = list(_all(element, "author"))
    if all(tidy.count_of(each.get("order")) is not None for each in people):
        people.sort(key=lambda each: tidy.count_of(each.get("order")) or 0)
    external = {
        each.get("type", "").lower(): _text_in(each)
        for each in _all(element, "externalReferences")
    }
    return Citation(
        title=_text(element, "title"),
        authors=tuple(
            Person(name, tidy.orcid_of(each.get("authorORCID")))
            for each in people
            if (name := _text_in(each))
        ),
        journal=_text(element, "journal") or None,
        journal_abbreviation=_text(element, "journalAbbreviation") or None,
        volume=_text(element, "volume") or None,
        issue=_text(element, "issue") or None,
        first_page=_text(element, "firstPage") or None,
        last_page=_text(element, "lastPage") or None,
        year=tidy.year_of(_text(element, "year")),
        doi=tidy.doi_of(external.get("doi")),
        pubmed=external.get("pubmed") or None,
        is_published=element.get("published") == "true",
        is_preprint=element.get("preprint") == "true",
        publisher=_text(element, "publisher") or None,
        details=_text(element, "details", lines=True),
    )


def _grants(root: Element) -> Iterator[Grant]:
    for each in _all(root, "grantReference"):
        body = _text(each, "fundingBody")
        if body:
            yield Grant(body, _text(each, "code"), _text(each, "country") or None)


def _image_set(element: Element) -> ImageSet:
    first, last = (tidy.count_of(_text(element, f"frameRange{end}")) for end in ("Min", "Max"))
    return ImageSet(
        name=_text(element, "name"),
        directory=tidy.directory_of(_text(element, "directory")),
        category=_text(element, "category"),
        header_format=_text(element, "headerFormat"),
        data_format=_text(element, "dataFormat"),
        image_count=tidy.count_of(_text(element, "numImagesOrTiltSeries")),
        frames_per_image=tidy.count_of(_text(element, "framesPerImage")),
        frame_range=None if first is None or last is None else (first, last),
        voxel_type=_text(element, "voxelType"),
        pixel_width=tidy.length_of(_text(element, "pixelWidth")),
        pixel_height=tidy.length_of(_text(element, "pixelHeight")),
        image_width=tidy.count_of(_text(element, "imageWidth")) or None,
        image_height=tidy.count_of(_text(element, "imageHeight")) or None,
        details=_text(element, "details", lines=True),
        micrographs_pattern=_text(element, "micrographsFilePattern"),
        particles_pattern=_text(element, "pickedParticlesFilePattern"),
        particles_directory=tidy.directory_of(_text(element, "pickedParticlesDirectory")),
    )
