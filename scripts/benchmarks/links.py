"""How far away the archive is from the clients.

A link is entered before the clients start, with the URL at which the archive is served, and
gives the URL that they use instead: where a link is slow, that of something in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """A way to the archive.

    Attributes:
        name: Names it in options, JSON and the table.
        description: Round trip, bandwidth and faults, in a few words.
        connect: Takes the served URL, and is the context in which clients use another.
    """

    name: str
    description: str
    connect: Callable[[str], AbstractContextManager[str]]


@contextmanager
def _directly(url: str) -> Iterator[str]:
    yield url


LOOPBACK = Link("loopback", "no delay, no limit, no fault", _directly)

LINKS = {link.name: link for link in (LOOPBACK,)}
