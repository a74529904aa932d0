"""Which paths lead below `.empiar`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

NOTES_NAME = ".empiar"

_ENTRY = re.compile(r"[1-9][0-9]{4,8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """A path at or below `.empiar`.

    Attributes:
        number: Of the entry that it belongs to, or None for the archive's own.
        parts: The names behind `.empiar`; none for itself.
        path: All of it, from the archive's root on.
    """

    number: int | None
    parts: tuple[str, ...]
    path: str


def place_of(path: str) -> Place | None:
    """Return the place that a path below the archive's root names; None if it is no such path.

    >>> place_of("10934/.empiar/image-sets/1")
    Place(number=10934, parts=('image-sets', '1'), path='10934/.empiar/image-sets/1')
    >>> place_of("10934/data/.empiar"), place_of("10934/data/x.empiar")
    (None, None)
    """
    if NOTES_NAME not in path:
        return None
    first, _, rest = path.partition("/")
    if first == NOTES_NAME:
        return Place(None, tuple(rest.split("/")) if rest else (), path)
    name, _, inside = rest.partition("/")
    if name != NOTES_NAME or not _ENTRY.fullmatch(first):
        return None
    return Place(int(first), tuple(inside.split("/")) if inside else (), path)
