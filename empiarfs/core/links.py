"""What a link in a listing stands for: a name in the listed directory, or nothing of ours.

A listing is text that somebody else wrote. Only a link that names exactly one child of the
listed directory becomes a name; no link is ever followed.

    link                                     is
    ---------------------------------------  ---------------------------------------------
    `a%20b.mrc`, `x/`, `./12:30.tif`         a file, a directory, a name with a colon
    this directory's own path or URL + name  the same
    `../`, the parent's path or URL          the parent
    `?C=N;O=D`                               a heading, which sorts by a column
    `./`, this directory's own path or URL   the directory itself
    other hosts, schemes, directories;       refused, with the reason
    queries, fragments; names that can't be
    served (empty, `..`, slash, NUL, long)

A link is undone in the reverse order of its making: character references, then the `./` in
front, then percent-encoding, which gives bytes; and what isn't UTF-8 in them stays as
surrogates. `+` is a plus. A percent sign that begins no escape is itself.

Pure; a `LinkReader` doesn't change and may be shared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from urllib.parse import unquote_to_bytes, urlsplit

from empiarfs.core.paths import name_problem

_REFERENCE = re.compile(rb"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos));")
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}
_HEADING = re.compile(rb"\?[A-Z]=[A-Za-z0-9]{1,16}(?:[;&][A-Z]=[A-Za-z0-9*]{1,16}){0,4}")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*:")


class LinkKind(Enum):
    """What a link of a listing is."""

    NAME = auto()
    PARENT = auto()
    HEADING = auto()
    SELF = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Link:
    """One link of a listing, judged.

    Attributes:
        kind: What it is.
        name: The child's name if it is one, else empty.
        is_directory: Whether that child is a directory.
        problem: Why it was refused, else empty.
    """

    kind: LinkKind
    name: str = ""
    is_directory: bool = False
    problem: str = ""


_PARENT = Link(LinkKind.PARENT)
_HEADING_LINK = Link(LinkKind.HEADING)
_SELF = Link(LinkKind.SELF)


class LinkReader:
    """Judges the links of the listing of one directory.

    Args:
        url: The directory's URL, with a trailing slash.
        shown: The path that the page gives as its directory's, as bytes. It differs from
            the URL's where a proxy serves the archive in another place.
    """

    def __init__(self, url: str, shown: bytes | None = None) -> None:
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}".lower().encode()
        self._path = path_of(url)
        self._selves = {self._path}
        if shown is not None:
            self._selves.add(shown.rstrip(b"/") + b"/")
        self._parents = {_parent_of(path) for path in self._selves if path != b"/"}

    def read(self, href: bytes) -> Link:
        """Return what the link stands for.

        Args:
            href: The value of the attribute as it stands in the page.
        """
        target = unescape_references(href)
        if _HEADING.fullmatch(target):
            return _HEADING_LINK
        if b"?" in target or b"#" in target:
            return _refused("has a query or a fragment")
        if _SCHEME.match(target):
            if not target.lower().startswith(self._origin + b"/"):
                return _refused("leads to another host or scheme")
            target = target[len(self._origin) :]
        elif target.startswith(b"//"):
            return _refused("leads to another host")
        return self._absolute(target) if target.startswith(b"/") else _relative(target)

    def _absolute(self, target: bytes) -> Link:
        path = unquote_to_bytes(target)
        if path in self._selves:
            return _SELF
        if path in self._parents:
            return _PARENT
        slash = b"/" if target.endswith(b"/") else b""
        directory, _, last = target.removesuffix(b"/").rpartition(b"/")
        if unquote_to_bytes(directory) + b"/" != self._path:
            return _refused("leads out of the directory")
        return _child(last + slash)


def unescape_references(text: bytes) -> bytes:
    """Undo HTML's character references, once; any that HTML doesn't demand stay as they are.

    >>> unescape_references(b"a&amp;amp;b&#39;c&copy=d")
    b"a&amp;b'c&copy=d"
    """
    return _REFERENCE.sub(_character, text) if b"&" in text else text


def path_of(url: str) -> bytes:
    """Return the URL's path as bytes, decoded, with a slash at its end."""
    return unquote_to_bytes(urlsplit(url).path).rstrip(b"/") + b"/"


def _relative(target: bytes) -> Link:
    if target == b"../":
        return _PARENT
    if target in (b".", b"./"):
        return _SELF
    return _child(target.removeprefix(b"./"))


def _child(target: bytes) -> Link:
    is_directory = target.endswith(b"/")
    encoded = target.removesuffix(b"/")
    if b"/" in encoded:
        return _refused("leads out of the directory")
    name = unquote_to_bytes(encoded).decode("utf-8", "surrogateescape")
    problem = name_problem(name)
    if problem is not None:
        return _refused(f"the name is {problem}" if name else "the name is empty")
    return Link(LinkKind.NAME, name, is_directory)


def _refused(problem: str) -> Link:
    return Link(LinkKind.REFUSED, problem=problem)


def _parent_of(path: bytes) -> bytes:
    return path.rstrip(b"/").rpartition(b"/")[0] + b"/"


def _character(match: re.Match[bytes]) -> bytes:
    decimal, hexadecimal, named = match.groups()
    if named is not None:
        return _NAMED[named]
    try:
        return chr(int(decimal) if decimal else int(hexadecimal, 16)).encode()
    except (ValueError, UnicodeEncodeError):  # beyond Unicode, or half of a pair
        return bytes(match.group())
