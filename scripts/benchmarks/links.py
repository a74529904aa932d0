"""How far away the archive is from the clients.

A link is entered before the clients start, with the URL at which the archive is served, and
gives the way that they take instead: where it is slow, one through a relay that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.support.slow_link import EBI as EBI_SETTINGS
from tests.support.slow_link import GOOD as GOOD_SETTINGS
from tests.support.slow_link import LinkSettings, SlowLink


@dataclass(slots=True)
class Way:
    """What clients are given of a link.

    Attributes:
        url: Where they find the archive.
        relay: What stands between, or None.
        environment: Variables that clients need there, such as whom to trust.
        late_s: By how much the relay itself was late at worst: more than some hundredths of
            a second, and the machine was too busy for the link to be what it says.
    """

    url: str
    relay: SlowLink | None = None
    environment: dict[str, str] = field(default_factory=dict)
    late_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Link:
    """A way to the archive.

    Attributes:
        name: Names it in options, JSON and the table.
        description: Round trip, bandwidth and faults, in a few words.
        connect: Takes the served URL, and is the context in which clients use another.
        rate: Bytes a second of all connections together, or None.
        connection_rate: Bytes a second of one connection, or None.
    """

    name: str
    description: str
    connect: Callable[[str], AbstractContextManager[Way]]
    rate: int | None = None
    connection_rate: int | None = None


@contextmanager
def _directly(url: str) -> Iterator[Way]:
    yield Way(url)


@contextmanager
def _slowly(settings: LinkSettings, url: str) -> Iterator[Way]:
    with SlowLink(url, settings) as relay:
        yield Way(relay.url_for(url), relay)


LOOPBACK = Link("loopback", "no delay, no limit, no fault", _directly)
GOOD = Link(
    "good",
    "40 ms round trip, 25 MB/s a connection, 120 MB/s in all",
    partial(_slowly, GOOD_SETTINGS),
    GOOD_SETTINGS.link_rate,
    GOOD_SETTINGS.connection_rate,
)
EBI = Link(
    "ebi",
    "100 ms round trip, 1.5 MB/s a connection, 24 MB/s in all, each 33rd request never "
    "answered, a 26th connection refused",
    partial(_slowly, EBI_SETTINGS),
    EBI_SETTINGS.link_rate,
    EBI_SETTINGS.connection_rate,
)

LINKS = {link.name: link for link in (LOOPBACK, GOOD, EBI)}
