"""The number behind what documents call an entry."""

from __future__ import annotations

import pytest

from empiarfs.core.entries.names import number_in_name


@pytest.mark.parametrize(
    "word",
    ["10934", "EMPIAR-10934", "empiar-10934", "10.6019/EMPIAR-10934",
     "https://doi.org/10.6019/EMPIAR-10934", "https://www.ebi.ac.uk/empiar/EMPIAR-10934/"],
)  # fmt: skip
def test_an_entry_is_known_by_any_of_its_names(word: str) -> None:
    assert number_in_name(word) == 10934


@pytest.mark.parametrize(
    "word",
    ["", "data", "109", "EMPIAR", "EMPIAR-", "10934x", "empiar:", "https://example.org/10934/",
     "http://[", "EMD-12602", "10.1038/s41467-021-26251-6", "１０９３４", "10934/data",
     "10934/../..", "https://["],
)  # fmt: skip
def test_nothing_else_is_an_entry(word: str) -> None:
    assert number_in_name(word) is None
