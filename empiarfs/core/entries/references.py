"""Sorts names of other archives by their form."""

from __future__ import annotations

import re
from collections.abc import Iterable

from empiarfs.core.entries.tidy import unique
from empiarfs.core.entries.values import CrossReferences

_EMDB = re.compile(r"EMD(?:B)?[-_ :]?([0-9]{4,6})", re.IGNORECASE)
_EMPIAR = re.compile(r"EMPIAR[-_ :]?([0-9]{5,9})", re.IGNORECASE)
_BIOSTUDIES = re.compile(r"S-[A-Z]{2,12}[0-9]{1,9}", re.IGNORECASE)
_IDR = re.compile(r"idr[0-9]{3,6}[\w-]*", re.IGNORECASE)
_PDB = re.compile(r"(?:PDB[-_ :]?)?((?:pdb_[0-9]{4})?[0-9][a-z0-9]{3})", re.IGNORECASE)


def sorted_references(words: Iterable[str]) -> CrossReferences:
    """Return the names, each where its form puts it, in order and once.

    >>> sorted_references(["emd-12602", "7NV0", "EMPIAR-10934", "S-BIAD3015"])
    ... # doctest: +NORMALIZE_WHITESPACE
    CrossReferences(emdb=('EMD-12602',), pdb=('7nv0',), biostudies=('S-BIAD3015',), idr=(),
    empiar=(10934,), other=())
    """
    emdb: list[str] = []
    pdb: list[str] = []
    biostudies: list[str] = []
    idr: list[str] = []
    other: list[str] = []
    empiar: list[int] = []
    for word in unique(word.strip() for word in words):
        if found := _EMDB.fullmatch(word):
            emdb.append(f"EMD-{found[1]}")
        elif found := _EMPIAR.fullmatch(word):
            empiar.append(int(found[1]))
        elif _BIOSTUDIES.fullmatch(word):
            biostudies.append(word.upper())
        elif _IDR.fullmatch(word):
            idr.append(word.lower())
        elif found := _PDB.fullmatch(word):
            pdb.append(found[1].lower())
        else:
            other.append(word)
    return CrossReferences(
        unique(emdb), unique(pdb), unique(biostudies), unique(idr),
        tuple(dict.fromkeys(empiar)), unique(other),
    )  # fmt: skip
