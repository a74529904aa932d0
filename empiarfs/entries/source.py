"""What is asked about entries, as far as this package needs it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from empiarfs.core.entries.values import Fetched
from empiarfs.patience import Patience


class EntrySource(Protocol):
    """EMPIAR's API and archive; see `empiarfs.archive.entries.EntryClient`."""

    def entry(self, number: int, *, patience: Patience) -> Fetched:
        """Return an entry."""
        ...

    def entries(self, numbers: Iterable[int], *, patience: Patience) -> list[Fetched]:
        """Return those of the entries that there are."""
        ...

    def numbers(self, *, patience: Patience) -> list[int]:
        """Return the numbers of all entries, ascending."""
        ...

    def header(self, emdb: str, *, patience: Patience) -> bytes:
        """Return the header of an entry of EMDB."""
        ...
