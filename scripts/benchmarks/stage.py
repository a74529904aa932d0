"""All that one repetition of a scenario needs: what is served, one client, and the traffic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from scripts.benchmarks.archive import ServedArchive
from scripts.benchmarks.clients import Client
from scripts.benchmarks.figures import Sample
from scripts.benchmarks.places import Place, new_place


class WrongAnswerError(Exception):
    """A client gave other bytes, names or sizes than the archive holds."""


@dataclass(slots=True)
class Traffic:
    """What a client asked the archive for; filled when the measurement is over.

    Attributes:
        wire: Bytes of bodies that were sent.
        requests: Requests that were answered.
    """

    wire: int = 0
    requests: int = 0

    def sample(self, figure: str, value: float) -> Sample:
        """Return a sample of a figure with this traffic."""
        return Sample(figure, value, self.wire, self.requests)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a scenario is given.

    Attributes:
        archive: What is served.
        url: Where the client finds it.
        client: Who is measured.
    """

    archive: ServedArchive
    url: str
    client: Client

    def new_place(self) -> AbstractContextManager[Place]:
        """Return the context of a place with an empty cache."""
        return new_place(self.client, self.url)

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Count the requests that are answered while the context is entered."""
        # What earlier work left to be written would be written during the measurement.
        os.sync()
        mark = self.archive.server.mark()
        traffic = Traffic()
        yield traffic
        answered = self.archive.server.requests_since(mark)
        traffic.wire = sum(access.size for access in answered)
        traffic.requests = len(answered)
