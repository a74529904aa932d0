"""The node of each place below `.empiar`, and the names in its directories."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from empiarfs.catalog import Catalog
from empiarfs.core.entries.citing import bibtex, ris
from empiarfs.entries import Answer
from empiarfs.errors import NoSuchNameError, NotDirectoryError
from empiarfs.notes import texts
from empiarfs.notes.descriptions import Descriptions, Shelves
from empiarfs.notes.file_table import FileTables
from empiarfs.notes.nodes import Directory, Item, Link, NoteNode, Text, Unmade
from empiarfs.notes.places import Place
from empiarfs.notes.sheets import Sheets
from empiarfs.notes.shelves import SHELVES, Shelf
from empiarfs.patience import Patience

_README, _STATUS, _REFUSED = "README.txt", "status.json", "refused-names.txt"
_FILES, _IMAGE_SETS, _XML = "files.tsv", "image-sets", "entry.xml"
_PREVIEW = "preview.png"
_ENTRY_TEXTS = (_README, "citation.bib", "citation.ris", "entry.json")
_ENTRY_ITEMS = (
    *map(Item, _ENTRY_TEXTS),
    Item(_XML, is_link=True),
    Item(_FILES),
    Item(_IMAGE_SETS, is_directory=True),
)
_ARCHIVE_ITEMS = (
    *map(Item, (_README, _REFUSED, _STATUS)),
    *(Item(name, is_directory=True) for name in SHELVES),
)

Status = Callable[[], Mapping[str, object]]


class Notes:
    """Tells what is below `.empiar`.

    Args:
        descriptions: What is known of entries.
        catalog: What is known of names.
        archive_url: Of the archive's root.
        refused: Returns which names of listings can't be served.
        sheets: What has contact sheets of entries made; None where that can't be.
        is_listed: Whether the archive's root lists its own.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        descriptions: Descriptions,
        catalog: Catalog,
        *,
        archive_url: str,
        refused: Callable[[], Iterable[Mapping[str, object]]],
        sheets: Sheets | None = None,
        is_listed: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._descriptions = descriptions
        self._tables = FileTables(catalog, archive_url)
        self._refused = refused
        self._sheets = sheets
        self._entry_items = _ENTRY_ITEMS + (() if sheets is None else (Item(_PREVIEW),))
        self._status: Status = dict
        self.is_listed = is_listed
        self.clock = clock

    def tell_status(self, status: Status) -> None:
        """Have `status` called for what status.json shows; it may not wait."""
        self._status = status

    def close(self) -> None:
        """End the threads, and what makes sheets."""
        if self._sheets is not None:
            self._sheets.close()
        self._descriptions.close()

    def node(self, place: Place, patience: Patience) -> NoteNode:
        """Return what is at a place.

        Raises:
            NoSuchNameError: There is nothing.
            EmpiarFSError: It isn't known, and can't be had in time.
        """
        if not place.parts:
            return Directory()
        return (self._of_archive if place.number is None else self._of_entry)(place, patience)

    def opened(self, place: Place, patience: Patience) -> NoteNode:
        """Return what is at a place for whoever opens it: what is unmade is made.

        Raises:
            NoSuchNameError: There is nothing.
            EmpiarFSError: It isn't known, and can't be had in time.
        """
        node = self.node(place, patience)
        if isinstance(node, Unmade) and self._sheets is not None and place.number is not None:
            return self._sheets.sheet(place.number, patience)
        return node

    def items(self, place: Place, patience: Patience) -> tuple[Item, ...]:
        """Return the names in the directory at a place.

        Raises:
            NotDirectoryError: It is a file or a link.
            NoSuchNameError: There is nothing.
            EmpiarFSError: They aren't known, and can't be had in time.
        """
        if not place.parts:
            return _ARCHIVE_ITEMS if place.number is None else self._entry_items
        if not isinstance(self.node(place, patience), Directory):
            raise NotDirectoryError(place.path)
        if place.number is not None:
            links = self._image_sets(place.number, patience)
            return tuple(Item(name, is_link=True) for name in links)
        found = _on_shelves(self._descriptions.shelves(patience), place)
        assert isinstance(found, dict)
        return tuple(
            Item(name, is_directory=isinstance(child, dict), is_link=isinstance(child, int))
            for name, child in found.items()
        )

    # -- of an entry -----------------------------------------------------------------------

    def _of_entry(self, place: Place, patience: Patience) -> NoteNode:
        number, parts = place.number, place.parts
        assert number is not None
        if parts == (_IMAGE_SETS,):
            return Directory()
        if parts == (_XML,):
            return Link(f"../{number}.xml")
        if parts == (_FILES,):
            return self._tables.table(number, patience)
        if parts == (_PREVIEW,) and self._sheets is not None:
            return self._sheets.made(number) or Unmade()
        if len(parts) == 1 and parts[0] in _ENTRY_TEXTS:
            answer = self._descriptions.entry(number, patience)
            return Text(self._entry_text(parts[0], answer), answer.known.fetched_s)
        if len(parts) == 2 and parts[0] == _IMAGE_SETS:
            target = self._image_sets(number, patience).get(parts[1])
            if target is not None:
                return Link(target, self._descriptions.entry(number, patience).known.fetched_s)
        raise _absent(place)

    def _image_sets(self, number: int, patience: Patience) -> dict[str, str]:
        return texts.image_set_links(self._descriptions.entry(number, patience).known.entry)

    def _entry_text(self, name: str, answer: Answer) -> bytes:
        if name == _README:
            return texts.entry_readme(
                answer, self._descriptions.now_s(), has_sheet=self._sheets is not None
            )
        if name == "entry.json":
            return texts.entry_json(answer)
        text = (bibtex if name == "citation.bib" else ris)(answer.known.entry)
        return text.encode("utf-8", "replace")

    # -- of the archive --------------------------------------------------------------------

    def _of_archive(self, place: Place, patience: Patience) -> NoteNode:
        parts = place.parts
        if parts == (_STATUS,):
            return Text(texts.json_text(self._status()), time.time(), changes=True)
        if parts == (_REFUSED,):
            return Text(texts.refused_names(self._refused()), time.time(), changes=True)
        if parts == (_README,):
            shelves = self._descriptions.shelves(patience)
            return Text(texts.archive_readme(shelves.how_many), shelves.modified_s)
        if parts[0] not in SHELVES:
            raise _absent(place)
        if len(parts) == 1:
            return Directory()
        shelves = self._descriptions.shelves(patience)
        found = _on_shelves(shelves, place)
        if isinstance(found, int):
            return Link("../" * len(parts) + str(found), shelves.modified_s)
        return Directory()


def _on_shelves(shelves: Shelves, place: Place) -> Shelf | int:
    found: Shelf | int = shelves.links
    for part in place.parts:
        child = found.get(part) if isinstance(found, dict) else None
        if child is None:
            raise _absent(place)
        found = child
    return found


def _absent(place: Place) -> NoSuchNameError:
    return NoSuchNameError(f"no {place.path!r}")
