"""The links by which entries are found in the archive's `.empiar`. Pure.

    by-doi/10.6019/EMPIAR-10934        its own DOI, and those of its papers
    by-emdb/EMD-12602                  a related map
    by-type/FIB-SEM/11419              the type of the experiment
    by-year/2022/10934                 the year of its release

Where several entries have a DOI or a map, the one with the lowest number has the plain name
and each other one a name with its own number behind: `EMD-12602.EMPIAR-10935`. What can't be a
name is left out, by the rules for names of the archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from empiarfs.catalog.entry_outlines import Outline
from empiarfs.core.paths import name_problem

BY_DOI, BY_EMDB, BY_TYPE, BY_YEAR = SHELVES = ("by-doi", "by-emdb", "by-type", "by-year")

Shelf = dict[str, "Shelf | int"]
"""Names, and behind each another shelf or the number of an entry."""


def shelves_of(outlines: Iterable[Outline]) -> Shelf:
    """Return all shelves, for entries in the order of their numbers."""
    doi: Shelf = {}
    emdb: Shelf = {}
    kind: Shelf = {}
    year: Shelf = {}
    for each in outlines:
        for name in each.dois:
            _put(doi, name.split("/"), each.number)
        for name in each.emdb:
            _put(emdb, [name], each.number)
        # A type may have a slash: "hard X-ray/X-ray microCT".
        _put(kind, [each.experiment_type.replace("/", "-"), str(each.number)], each.number)
        _put(year, [each.year, str(each.number)], each.number)
    return {BY_DOI: doi, BY_EMDB: emdb, BY_TYPE: kind, BY_YEAR: year}


def _put(shelf: Shelf, parts: Sequence[str], number: int) -> None:
    if any(name_problem(part) for part in parts):
        return
    for part in parts[:-1]:
        child = shelf.get(part)
        if isinstance(child, int):
            # A DOI that is the beginning of another: the link makes way.
            shelf[_other_name(part, child)] = child
            child = None
        if child is None:
            child = shelf[part] = {}
        shelf = child
    name = parts[-1]
    if name in shelf:
        name = _other_name(name, number)
    if not name_problem(name):
        shelf.setdefault(name, number)


def _other_name(name: str, number: int) -> str:
    return f"{name}.EMPIAR-{number}"
