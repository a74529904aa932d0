"""An entry of EMPIAR and its parts, as immutable values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Source = Literal["api", "xml"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody named in an entry.

    Attributes:
        name: As EMPIAR writes it, the family name first: "Lancey C".
        orcid: The sixteen digits with hyphens, or None.
        organization: Where the person works, or None.
        country: Likewise.
    """

    name: str
    orcid: str | None = None
    organization: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A publication that an entry names.

    Attributes:
        title: Of the paper, the chapter or the book.
        authors: In order.
        journal: Full name, or None.
        journal_abbreviation: Likewise.
        volume: As printed, and so `issue`, `first_page` and `last_page`; None if not known.
        year: Of publication, or None.
        doi: Without a prefix such as "https://doi.org/", or None.
        pubmed: The number in PubMed, or None.
        is_published: False for what is only submitted or in preparation.
        is_preprint: True for a preprint.
        publisher: Of a book, or None.
        details: Free text.
    """

    title: str
    authors: tuple[Person, ...] = ()
    journal: str | None = None
    journal_abbreviation: str | None = None
    volume: str | None = None
    issue: str | None = None
    first_page: str | None = None
    last_page: str | None = None
    year: int | None = None
    doi: str | None = None
    pubmed: str | None = None
    is_published: bool = False
    is_preprint: bool = False
    publisher: str | None = None
    details: str = ""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A described part of an entry.

    Attributes:
        name: What the depositor calls it.
        directory: Path below the entry's own directory, without a slash at either end, such
            as "data/movies"; "" if it isn't told. It need not exist: EMPIAR doesn't check.
        category: In EMPIAR's words, such as "micrographs - multiframe".
        header_format: Format of the metadata, such as "TIFF".
        data_format: Format of the images.
        image_count: Images or tilt series, or None.
        frames_per_image: Or None.
        frame_range: First and last frame that were used, from 1; None if not told.
        voxel_type: Such as "UNSIGNED BYTE".
        pixel_width: In Å, or None.
        pixel_height: Likewise.
        image_width: In pixels, or None.
        image_height: Likewise.
        details: Free text.
        micrographs_pattern: Which files are micrographs, or "".
        particles_pattern: Which files are picked particles, or "".
        particles_directory: Where they are, as `directory`; "" if not told.
    """

    name: str
    directory: str = ""
    category: str = ""
    header_format: str = ""
    data_format: str = ""
    image_count: int | None = None
    frames_per_image: int | None = None
    frame_range: tuple[int, int] | None = None
    voxel_type: str = ""
    pixel_width: float | None = None
    pixel_height: float | None = None
    image_width: int | None = None
    image_height: int | None = None
    details: str = ""
    micrographs_pattern: str = ""
    particles_pattern: str = ""
    particles_directory: str = ""


@dataclass(frozen=True, slots=True)
class CrossReferences:
    """Names in other archives, and of other entries.

    Attributes:
        emdb: Such as "EMD-12602".
        pdb: Four or more characters in lower case, such as "7nv0".
        biostudies: Such as "S-BIAD3015".
        idr: Such as "idr0086".
        empiar: Numbers of other entries.
        other: What has none of these forms, as it was written.
    """

    emdb: tuple[str, ...] = ()
    pdb: tuple[str, ...] = ()
    biostudies: tuple[str, ...] = ()
    idr: tuple[str, ...] = ()
    empiar: tuple[int, ...] = ()
    other: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """Who paid.

    Attributes:
        funding_body: The name.
        code: The number of the grant, or "".
        country: Or None.
    """

    funding_body: str
    code: str = ""
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What EMPIAR says of one entry.

    Attributes:
        number: Of the accession code, and name of its directory in the archive.
        title: The title.
        status: "REL" for a released entry.
        deposition_date: Year, month and day as "2021-12-31", or None; and so the others.
        release_date: When it was released.
        update_date: When it was changed last.
        obsolete_date: When it was withdrawn.
        size_text: As EMPIAR prints it, such as "1.9 TB"; "" if not told.
        size: Bytes, as exact as that text, whose units are taken for powers of 1024 (a
            guess: EMPIAR doesn't say; it may be less by 2 % for GB, 9 % for TB), or None.
        experiment_type: In EMPIAR's words: "EMDB", "FIB-SEM", …
        scale: "molecule", "virus", "cell", …
        doi: Of the entry, without a prefix.
        authors: Of the entry, in order.
        corresponding_author: Or None.
        principal_investigators: Whoever they are.
        citations: Publications.
        references: Names elsewhere.
        grants: Who paid.
        image_sets: In EMPIAR's order.
    """

    number: int
    title: str = ""
    status: str = ""
    deposition_date: str | None = None
    release_date: str | None = None
    update_date: str | None = None
    obsolete_date: str | None = None
    size_text: str = ""
    size: int | None = None
    experiment_type: str = ""
    scale: str = ""
    doi: str = ""
    authors: tuple[Person, ...] = ()
    corresponding_author: Person | None = None
    principal_investigators: tuple[Person, ...] = ()
    citations: tuple[Citation, ...] = ()
    references: CrossReferences = field(default_factory=CrossReferences)
    grants: tuple[Grant, ...] = ()
    image_sets: tuple[ImageSet, ...] = ()

    @property
    def accession(self) -> str:
        """The accession code, such as "EMPIAR-10934"."""
        return f"EMPIAR-{self.number}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An entry as it came.

    Attributes:
        entry: What it says.
        source: "api" for the REST API, "xml" for the file in the archive.
        document: The entry's fields as JSON, or the XML file.
    """

    entry: Entry
    source: Source
    document: bytes
