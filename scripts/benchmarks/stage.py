"""All that one repetition of a scenario needs: what is served, one client, and the traffic."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks import readers
from scripts.benchmarks.archive import ServedArchive
from scripts.benchmarks.clients import Client
from scripts.benchmarks.figures import Sample
from scripts.benchmarks.links import Way
from scripts.benchmarks.places import Place, new_place
from tests.support.slow_link import LinkStatistics, SlowLink
from tests.support.users import User

LIMIT_S = 120.0
# A client that has foreseen what nobody asked for goes on fetching for a while.
_QUIET_S = 0.5
_QUIET_DEADLINE_S = 15.0


class SkippedError(Exception):
    """Something can't be measured on this machine, or not by whoever runs the benchmark."""


class WrongAnswerError(Exception):
    """A client gave other bytes, names or sizes than the archive holds."""


@dataclass(slots=True)
class Traffic:
    """What a client asked the archive for; filled when the measurement is over.

    Attributes:
        wire: Bytes of bodies that were sent.
        requests: Requests that were answered; over a slow link, those that were sent.
        connections: The most that were open at once, or None where nobody counted.
        refused: Connections that were refused, or None likewise.
    """

    wire: int = 0
    requests: int = 0
    connections: int | None = None
    refused: int | None = None

    def sample(
        self,
        figure: str,
        value: float,
        *,
        wanted: int | None = None,
        is_over: bool = False,
        distribution: Iterable[float] = (),
    ) -> Sample:
        """Return a sample of a figure with this traffic.

        Args:
            figure: The key of the figure.
            value: In its unit.
            wanted: How many bytes of it somebody read, if that is known.
            is_over: The work was given up.
            distribution: Each of the waits that `value` is about, in seconds.
        """
        return Sample(
            figure,
            value,
            wire=self.wire,
            requests=self.requests,
            unread=None if wanted is None else max(0, self.wire - wanted),
            connections=self.connections,
            refused=self.refused,
            is_over=is_over,
            distribution=tuple(distribution),
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """What a scenario is given.

    Attributes:
        archive: What is served.
        way: Where the client finds it.
        client: Who is measured.
        link: The name of the link that `way` is.
        limit_s: How long one piece of work over a slow link may take.
        user: Who mounts and reads; None is whoever runs the benchmark.
    """

    archive: ServedArchive
    way: Way
    client: Client
    link: str = "loopback"
    limit_s: float = LIMIT_S
    user: User | None = None

    def new_place(self) -> AbstractContextManager[Place]:
        """Return the context of a place with an empty cache."""
        return new_place(self.client, self.way.url, self.way.environment, self.user)

    def read(self, program: str, *arguments: str | Path) -> Any:
        """Run one of `readers` as the stage's user; see `readers.run`."""
        return readers.run(program, *arguments, user=self.user)

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Count what is asked and answered while the context is entered, and in its wake."""
        # What earlier work left to be written would be written during the measurement.
        os.sync()
        traffic = Traffic()
        if self.way.relay is None:
            mark = self.archive.server.mark()
            yield traffic
            answered = self.archive.server.requests_since(mark)
            traffic.wire = sum(access.size for access in answered)
            traffic.requests = len(answered)
            return
        self.way.relay.count_anew()
        try:
            yield traffic
        finally:  # what was done in vain counts also where the work was given up
            found = _statistics_when_quiet(self.way.relay)
            traffic.wire, traffic.requests = found.bytes_of_bodies, found.requests
            traffic.connections, traffic.refused = found.open_peak, found.refused
            self.way.late_s = max(self.way.late_s, found.late_s)


def _statistics_when_quiet(relay: SlowLink) -> LinkStatistics:
    """Return what has passed once nothing has for a while."""
    deadline = time.monotonic() + _QUIET_DEADLINE_S
    before, found = None, relay.statistics()
    while time.monotonic() < deadline and before != (found.bytes_down, found.requests):
        before = (found.bytes_down, found.requests)
        time.sleep(_QUIET_S)
        found = relay.statistics()
    return found
