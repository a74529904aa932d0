"""How to cite an entry: a line to read, BibTeX and RIS.

An entry is cited as a data set with its DOI, and beside it the papers that it names. BibTeX
has LaTeX's special characters escaped, and letters beyond ASCII as they are, in UTF-8; RIS has
the tags that Zotero, Mendeley and EndNote read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from empiarfs.core.entries.names import page_url
from empiarfs.core.entries.values import Citation, Entry, Person

_PUBLISHER = "EMPIAR, EMBL-EBI"
# Initials as EMPIAR writes them, behind the family name: "De Biasio A", "Muskett FW".
_INITIALS = re.compile(r"(.+) ((?:[^\W\d_]-?){1,4})")
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def citation_line(entry: Entry) -> str:
    """Return one line that cites the data, for people."""
    people = ", ".join(person.name for person in entry.authors)
    who = f"{people}. " if people else ""
    year = _year(entry)
    when = f" ({year})" if year else ""
    return f"{who}{_ended(entry.title)} {_PUBLISHER}{when}. https://doi.org/{entry.doi}"


def paper_line(paper: Citation) -> str:
    """Return one line that cites a paper, for people."""
    people = ", ".join(person.name for person in paper.authors)
    place = " ".join(
        word
        for word in (
            paper.journal or paper.publisher or "",
            f"{paper.volume or ''}{f'({paper.issue})' if paper.issue else ''}",
            f"({paper.year})" if paper.year else "",
        )
        if word
    )
    words = [f"{people}." if people else "", _ended(paper.title), f"{place}." if place else ""]
    if paper.doi:
        words.append(f"https://doi.org/{paper.doi}")
    return " ".join(word for word in words if word)


def bibtex(entry: Entry) -> str:
    """Return the entry and its papers as records of BibTeX."""
    records = [
        _record(
            "misc",
            entry.accession,
            [
                ("title", _latex(entry.title)),
                ("author", _bibtex_people(entry.authors)),
                ("year", _year(entry)),
                ("publisher", _PUBLISHER),
                ("howpublished", f"{_PUBLISHER}, {entry.accession}"),
                ("doi", entry.doi),
                ("url", page_url(entry.number)),
            ],
        )
    ]
    for number, paper in enumerate(entry.citations, 1):
        first, last = paper.first_page, paper.last_page
        fields = [
            ("title", _latex(paper.title)),
            ("author", _bibtex_people(paper.authors)),
            ("journal", _latex(paper.journal or "")),
            ("year", str(paper.year or "")),
            ("volume", _latex(paper.volume or "")),
            ("number", _latex(paper.issue or "")),
            ("pages", _latex("--".join(page for page in (first, last) if page))),
            ("publisher", _latex(paper.publisher or "")),
            ("doi", paper.doi or ""),
        ]
        kind = "article" if paper.journal else "misc"
        records.append(_record(kind, f"{entry.accession}-paper-{number}", fields))
    return "\n".join(records)


def ris(entry: Entry) -> str:
    """Return the entry and its papers as records of RIS, with its own line ends."""
    lines = [
        ("TY", "DATA"),
        ("TI", entry.title),
        *(("AU", _comma_name(person.name)) for person in entry.authors),
        ("PY", _year(entry)),
        ("DA", (entry.release_date or "").replace("-", "/")),
        ("PB", _PUBLISHER),
        ("AN", entry.accession),
        ("DO", entry.doi),
        ("UR", page_url(entry.number)),
        ("ER", " "),
    ]
    for paper in entry.citations:
        lines += [
            ("TY", "JOUR" if paper.journal else "GEN"),
            ("TI", paper.title),
            *(("AU", _comma_name(person.name)) for person in paper.authors),
            ("JO", paper.journal or ""),
            ("J2", paper.journal_abbreviation or ""),
            ("PY", str(paper.year or "")),
            ("VL", paper.volume or ""),
            ("IS", paper.issue or ""),
            ("SP", paper.first_page or ""),
            ("EP", paper.last_page or ""),
            ("PB", paper.publisher or ""),
            ("DO", paper.doi or ""),
            ("ER", " "),
        ]
    return "".join(f"{tag}  - {value.rstrip()}\r\n" for tag, value in lines if value)


def _record(kind: str, key: str, fields: Sequence[tuple[str, str]]) -> str:
    lines = [f"  {name} = {{{value}}},\n" for name, value in fields if value]
    return f"@{kind}{{{key},\n{''.join(lines)}}}\n"


def _bibtex_people(people: Sequence[Person]) -> str:
    return " and ".join(_latex(_comma_name(person.name)) for person in people)


def _comma_name(name: str) -> str:
    """Return "De Biasio, A." for "De Biasio A"; a name of another form as it is."""
    found = _INITIALS.fullmatch(name)
    if found is None or not found[2].replace("-", "").isupper():
        return name
    return f"{found[1]}, {' '.join(f'{each}.' for each in found[2] if each != '-')}"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(each, each) for each in text)


def _year(entry: Entry) -> str:
    return (entry.release_date or entry.deposition_date or "")[:4]


def _ended(title: str) -> str:
    return title if title.endswith((".", "?", "!")) else f"{title}."
