"""EMPIAR in memory: what `EntryClient` promises, as far as tests of its users need it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from empiarfs.core.entries.from_json import entry_from_fields
from empiarfs.core.entries.values import Fetched
from empiarfs.errors import ArchiveError, BadResponseError, NotFoundError, UnreachableError
from empiarfs.patience import Patience
from tests.support.entry_api import SAMPLES, Fields, documents


@dataclass
class Source:
    """EMPIAR in memory.

    Attributes:
        entries_held: Fields by number.
        broken: Numbers that make an answer about many no answer.
        asked: What was asked for.
        fails_after: After so many questions nobody answers; None for never.
        error: What is raised then.
        lists: Whether the archive tells its entries.
        silent: While it is set, `entry` waits for its end, or that of the patience.
    """

    entries_held: dict[int, Fields]
    broken: set[int] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    fails_after: int | None = None
    error: type[ArchiveError] = UnreachableError
    lists: bool = True
    silent: threading.Event | None = None

    def _ask(self, what: str) -> None:
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            raise self.error("no connection", url="http://x/")
        self.asked.append(what)

    def _fetched(self, number: int) -> Fetched:
        fields = self.entries_held[number]
        return Fetched(
            entry_from_fields(number, fields), "api", documents({number: fields})[number]
        )

    def entry(self, number: int, *, patience: Patience) -> Fetched:
        """See `EntryClient.entry`."""
        self._ask(f"one {number}")
        while self.silent is not None and not self.silent.wait(0.01):
            patience.check()
        if number not in self.entries_held:
            raise NotFoundError("none", url="http://x/")
        return self._fetched(number)

    def entries(self, numbers: Iterable[int], *, patience: Patience) -> list[Fetched]:
        """See `EntryClient.entries`."""
        wanted = set(numbers)
        self._ask(f"{min(wanted)}+{len(wanted)}")
        if wanted & self.broken:
            raise BadResponseError("not JSON", url="http://x/")
        return [self._fetched(number) for number in sorted(wanted & set(self.entries_held))]

    def header(self, emdb: str, *, patience: Patience) -> bytes:
        """See `EntryClient.header`."""
        self._ask(emdb)
        if emdb != "EMD-12602":
            raise NotFoundError("none", url="http://x/")
        return (SAMPLES / "emd-12602_COMPOSED.xml").read_bytes()

    def numbers(self, *, patience: Patience) -> list[int]:
        """See `EntryClient.numbers`."""
        self._ask("numbers")
        if not self.lists:
            raise UnreachableError("no connection", url="http://x/")
        return sorted(self.entries_held)


class Clock:
    """A wall clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        """Return seconds."""
        return self.now_s
