"""Citations of entries, as lines, BibTeX and RIS."""

from __future__ import annotations

from empiarfs.core.entries import Citation, Entry, Person
from empiarfs.core.entries.citing import bibtex, citation_line, paper_line, ris
from empiarfs.core.entries.from_json import entries_from_json
from tests.support.entry_api import SAMPLES

ENTRY = entries_from_json((SAMPLES / "entry_10934_COMPOSED.json").read_bytes())[0].entry


def test_a_line_names_who_what_when_and_where() -> None:
    line = citation_line(ENTRY)

    assert line.startswith("Lancey C, Tehseen M, ")
    assert line.endswith(" EMPIAR, EMBL-EBI (2022). https://doi.org/10.6019/EMPIAR-10934")


def test_a_paper_is_one_line() -> None:
    assert paper_line(ENTRY.citations[0]).endswith(
        "Nature communications 12(1) (2021). https://doi.org/10.1038/s41467-021-26251-6"
    )
    assert paper_line(Citation("Nothing else is known?")) == "Nothing else is known?"


def test_bibtex_has_the_data_and_its_paper() -> None:
    text = bibtex(ENTRY)

    assert text.count("\n@") == 1
    assert text.startswith("@misc{EMPIAR-10934,\n")
    assert "  author = {Lancey, C. and " in text
    assert " and De Biasio, A.},\n" in text
    assert "  journal = {Nature communications},\n" in text
    assert text.count("{") == text.count("}")


def test_what_is_special_in_latex_is_escaped() -> None:
    entry = Entry(10002, title=r"50% of {A} & B_1 #2 \x", authors=(Person("Test Author"),))

    text = bibtex(entry)

    assert r"title = {50\% of \{A\} \& B\_1 \#2 \textbackslash{}x}" in text
    assert "author = {Test Author}" in text


def test_ris_has_records_that_begin_and_end() -> None:
    lines = ris(ENTRY).split("\r\n")

    assert lines[0] == "TY  - DATA"
    assert lines.count("ER  - ") == 2
    assert "AU  - De Biasio, A." in lines
    assert "DO  - 10.6019/EMPIAR-10934" in lines
    assert lines[-1] == ""


def test_an_entry_without_anything_can_be_cited() -> None:
    entry = Entry(10002, doi="10.6019/EMPIAR-10002")

    assert "https://doi.org/10.6019/EMPIAR-10002" in citation_line(entry)
    assert bibtex(entry).startswith("@misc{EMPIAR-10002,")
    assert ris(entry).startswith("TY  - DATA\r\n")
