"""The image sets of an entry by name, by EMPIARreader's `EmpiarCatalog`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from empiarfs.compat.empiarreader.metadata import Fields, fields_of, image_sets_of
from empiarfs.compat.empiarreader.source import EmpiarSource
from empiarfs.core.entries import tidy
from empiarfs.python.entry import entry


class EmpiarCatalog(Mapping[str, EmpiarSource]):
    """What is in an entry, as EMPIAR describes it; looked up when it is first needed.

    Args:
        empiar_index: The entry: 10934, "EMPIAR-10934", its DOI.
        metadata: Kept as it is.

    Attributes:
        empiar_index: As given.
        metadata: As given.

    Raises:
        ConfigError: It names no entry.
    """

    name = "empiar_catalog"

    def __init__(self, empiar_index: int | str, metadata: dict[str, Any] | None = None) -> None:
        self.empiar_index = empiar_index
        self.metadata = dict(metadata or {})
        self._number = entry(empiar_index).number
        self._found: dict[str, Fields] | None = None

    def __repr__(self) -> str:
        return f"<EmpiarCatalog EMPIAR-{self._number}>"

    @classmethod
    def fetch_entry_data(cls, empiar_index: int | str) -> Fields:
        """Return what EMPIAR says of an entry, by its own names.

        Raises:
            OSError: There is no such entry, or it can't be had.
            ConfigError: It names no entry.
        """
        return fields_of(entry(empiar_index).number)

    def __getitem__(self, name: str) -> EmpiarSource:
        """Return the files of an image set.

        Raises:
            KeyError: There is none of that name.
            OSError: The entry isn't known, or can't be had.
        """
        fields = self._image_sets[name]
        directory = tidy.text_of(fields.get("directory"))
        return EmpiarSource(self.empiar_index, directory, imageset_metadata=fields)

    def __iter__(self) -> Iterator[str]:
        return iter(self._image_sets)

    def __len__(self) -> int:
        return len(self._image_sets)

    @property
    def _image_sets(self) -> dict[str, Fields]:
        if self._found is None:
            self._found = image_sets_of(self._number)
        return self._found
