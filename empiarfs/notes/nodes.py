"""What stands below `.empiar`, as immutable values. Times are wall-clock seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory; `Notes.items` tells what is in it."""


@dataclass(frozen=True, slots=True)
class Text:
    """A file.

    Attributes:
        data: All of it.
        modified_s: When what it says was learnt; 0 if that isn't known.
        changes: It is another one at each look, so that nobody should keep its pages.
    """

    data: bytes
    modified_s: float
    changes: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link.

    Attributes:
        target: Where it leads, seen from its own directory.
        modified_s: When that was learnt; 0 if it is always so.
    """

    target: str
    modified_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Unmade:
    """A file that is made when it is opened; how long it will be isn't known before."""


NoteNode = Directory | Text | Link | Unmade


@dataclass(frozen=True, slots=True)
class Item:
    """A name in a directory.

    Attributes:
        name: The name.
        is_directory: What is there; else a file, or
        is_link: a link.
    """

    name: str
    is_directory: bool = False
    is_link: bool = False
