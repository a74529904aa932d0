"""What `info` tells of an entry, for people and as JSON.

Threading: used from one thread.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from empiarfs.cli.failures import note
from empiarfs.cli.knowing import PATIENCE_S, age_words, known_entries
from empiarfs.config import Config
from empiarfs.core.entries.acquisition import Acquisition
from empiarfs.core.entries.citing import paper_line
from empiarfs.core.entries.names import page_url
from empiarfs.core.entries.values import Entry, ImageSet
from empiarfs.entries import Answer
from empiarfs.entries.asking import MAX_AGE_S
from empiarfs.patience import Patience

# Of a description of an image set, unless all of it is wanted.
_MOST_DETAILS = 300
_INDENT = 16
# For what is no part of the entry.
_ADDITION_S = 15.0


@dataclass(frozen=True, slots=True)
class Age:
    """How old an answer may be.

    Attributes:
        offline: As old as it is, since nobody is to be asked.
        refresh: Not older than now.
    """

    offline: bool = False
    refresh: bool = False

    @property
    def most_s(self) -> float:
        """How old, in seconds."""
        return 0.0 if self.refresh else float("inf") if self.offline else MAX_AGE_S


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """What is known of an entry.

    Attributes:
        target: As it was given.
        answer: What EMPIAR says of it.
        acquisitions: How the data of maps that it names were recorded, as EMDB says.
    """

    target: str
    answer: Answer
    acquisitions: tuple[Acquisition, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        described = self.answer.to_json()
        return {
            "type": described.pop("type"),
            "target": self.target,
            **described,
            "acquisitions": [asdict(each) for each in self.acquisitions],
        }

    def lines(self, *, verbose: bool) -> Iterator[str]:
        """Yield it for people; each line is safe to print."""
        return _lines(self.answer, self.acquisitions, whole=verbose)


def entry_info(config: Config, number: int, age: Age, *, target: str, quiet: bool) -> EntryInfo:
    """Find out what an entry is, which was given as `target`.

    Raises:
        ArchiveError: It isn't known here and can't be had.
        GaveUpError: Likewise, in the time that a command takes.
    """
    with known_entries(config, offline=age.offline) as entries:
        answer = entries.entry(number, patience=Patience(PATIENCE_S), max_age_s=age.most_s)
        acquisitions = entries.acquisitions(
            answer.known.entry,
            # Whoever didn't answer just now is not asked again for what is only an addition.
            patience=Patience(_ADDITION_S if answer.problem is None else 0.0),
            max_age_s=age.most_s,
        )
    if not quiet:
        _say_age(answer)
    return EntryInfo(target, answer, tuple(acquisitions))


def known_entry(config: Config, number: int, age: Age, *, quiet: bool = False) -> Answer:
    """Return what is known of an entry, and say so if that is old.

    Raises:
        ArchiveError: It isn't known here and can't be had.
        GaveUpError: Likewise, in the time that a command takes.
    """
    with known_entries(config, offline=age.offline) as entries:
        answer = entries.entry(number, patience=Patience(PATIENCE_S), max_age_s=age.most_s)
    if not quiet:
        _say_age(answer)
    return answer


def _say_age(answer: Answer) -> None:
    if answer.problem is not None:
        note(f"this is {age_words(answer.known.fetched_s)}: {answer.problem}")


def _lines(answer: Answer, acquisitions: Sequence[Acquisition], *, whole: bool) -> Iterator[str]:
    entry = answer.known.entry
    yield f"{entry.accession}: {entry.title}"
    yield ""
    yield from _field("page", page_url(entry.number))
    yield from _field("DOI", entry.doi)
    yield from _field("released", _dates(entry))
    yield from _field("size", entry.size_text)
    yield from _field("experiment", ", ".join(filter(None, (entry.experiment_type, entry.scale))))
    yield from _field("authors", ", ".join(person.name for person in entry.authors))
    yield from _field("related", _related(entry))
    for each in acquisitions:
        yield from _field("acquisition", _acquisition(each))
    for paper in entry.citations:
        yield from _field("paper", paper_line(paper))
    for grant in entry.grants:
        yield from _field("grant", f"{grant.funding_body} {grant.code}".strip())
    for place, image_set in enumerate(entry.image_sets, 1):
        yield ""
        yield f"image set {place}: {image_set.name}"
        yield from _image_set(entry, image_set, whole)
    yield ""
    yield _origin(answer)


def _dates(entry: Entry) -> str:
    updated = entry.update_date if entry.update_date != entry.release_date else None
    words = [entry.release_date or ("no" if entry.status else "")]
    words += [f"updated {updated}"] if updated else []
    words += [f"withdrawn {entry.obsolete_date}"] if entry.obsolete_date else []
    return ", ".join(word for word in words if word)


def _related(entry: Entry) -> str:
    found = entry.references
    others = [f"EMPIAR-{number}" for number in found.empiar]
    pdb = [f"PDB {name}" for name in found.pdb]
    return ", ".join((*found.emdb, *pdb, *found.biostudies, *found.idr, *others, *found.other))


def _acquisition(each: Acquisition) -> str:
    words = (
        f"{each.voltage:g} kV" if each.voltage else "",
        f"Cs {each.spherical_aberration:g} mm" if each.spherical_aberration else "",
        f"{each.dose:g} e/Å²" if each.dose else "",
        each.microscope or "",
        each.detector or "",
    )
    told = ", ".join(word for word in words if word)
    return f"{told} (as the header of {each.emdb} says)" if told else ""


def _image_set(entry: Entry, each: ImageSet, whole: bool) -> Iterator[str]:
    yield from _field("directory", f"{entry.number}/{each.directory}" if each.directory else "")
    yield from _field("category", each.category)
    formats = dict.fromkeys(filter(None, (each.data_format, each.header_format)))
    yield from _field("format", ", ".join(filter(None, (*formats, each.voxel_type.lower()))))
    yield from _field("images", _counts(each))
    yield from _field("pixel size", _pixel(each))
    yield from _field("files", each.micrographs_pattern)
    yield from _field("particles", each.particles_pattern or each.particles_directory)
    details = each.details if whole else textwrap.shorten(each.details, _MOST_DETAILS)
    yield from _field("details", details)


def _counts(each: ImageSet) -> str:
    words = [] if each.image_count is None else [f"{each.image_count}"]
    if each.frames_per_image is not None and each.frames_per_image != 1:
        words.append(f"of {each.frames_per_image} frames")
    if each.frame_range is not None:
        words.append("(used {}-{})".format(*each.frame_range))
    if each.image_width and each.image_height:
        words.append(f"of {each.image_width} × {each.image_height} pixels")
    return " ".join(words).replace("frames of", "frames,")


def _pixel(each: ImageSet) -> str:
    sizes = dict.fromkeys(size for size in (each.pixel_width, each.pixel_height) if size)
    return f"{' × '.join(f'{size:g}' for size in sizes)} Å" if sizes else ""


def _origin(answer: Answer) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(answer.known.fetched_s))
    where = "EMPIAR's API" if answer.known.source == "api" else "the entry's XML file"
    return f"from {where}, {when} ({age_words(answer.known.fetched_s)})"


def _field(name: str, text: str) -> Iterator[str]:
    """Yield a field in as many lines as it takes; none if there is nothing in it."""
    lines = text.splitlines()
    for place, line in enumerate(lines):
        yield f"{f'  {name}:' if not place else '':<{_INDENT}}{line}".rstrip()
