"""Writes directory listings as Apache does, in its three forms, byte for byte.

    render("/empiar/world_availability/10511/data/", movies(200_000))

EMPIAR's pages are in the form "table" with the old preamble; Debian's Apache 2.4 writes the
new one. tests/core/test_listing.py compares both with recorded pages.

Written for tests of the parser, and shares no code with it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Form = Literal["table", "pre", "ul"]

_PLAIN = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789$-_.+!*'(),:;@&=/~"
)
_OLD_DOCTYPE = b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n<html>\n'
_NEW_DOCTYPE = (
    b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">\n'
    b"<html>\n"
)
_FOLDER = ("folder", "DIR")
_UNKNOWN = ("unknown", "   ")
_ICONS = {
    b".bin": ("binary", "   "),
    b".gif": ("image2", "IMG"),
    b".gz": ("compressed", "   "),
    b".jpg": ("image2", "IMG"),
    b".png": ("image2", "IMG"),
    b".tif": ("image2", "IMG"),
    b".tiff": ("image2", "IMG"),
    b".txt": ("text", "TXT"),
    b".zip": ("compressed", "   "),
}
_TABLE_HEADINGS = (
    b'   <tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th>'
    b'<th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th>'
    b'<th><a href="?C=S;O=A">Size</a></th><th><a href="?C=D;O=A">Description</a></th></tr>\n'
)
_RULE = b'   <tr><th colspan="5"><hr></th></tr>\n'
_NARROWEST_PRE = 23


class Row(NamedTuple):
    """A file or directory to be listed.

    Attributes:
        name: Its name; bytes that are not UTF-8 as surrogates.
        is_directory: Whether it is one.
        size: Bytes; without meaning for a directory.
        modified: What is shown as its time.
        icon: The icon's file and alternative text; by the name's suffix if None.
    """

    name: str
    is_directory: bool = False
    size: int = 0
    modified: str = "2022-02-07 10:31"
    icon: tuple[str, str] | None = None

    @property
    def raw(self) -> bytes:
        """The name as Apache shows it, with a directory's slash."""
        return _raw(self.name) + (b"/" if self.is_directory else b"")

    @property
    def size_cell(self) -> bytes:
        """Four characters."""
        return b"  - " if self.is_directory else padded_size(self.size).encode()


def movies(count: int) -> list[Row]:
    """Return the rows of a directory of `count` movies, as entry 10511 has 2,979 of."""
    return [
        Row(
            f"movie_{number:06d}.mrc", False, 569_560_224, f"2020-09-04 {number // 60 % 24:02d}:12"
        )
        for number in range(1, count + 1)
    ]


def render(
    path: str,
    rows: Iterable[Row],
    form: Form = "table",
    *,
    preamble: Literal["old", "new"] = "old",
    above: bytes | None = None,
    below: bytes = b"",
) -> bytes:
    """Return the page.

    Args:
        path: The directory's path on the server, decoded, with a slash at both ends.
        rows: What is in it, in any order.
        form: How the server is configured: fancy with tables, fancy, or plain.
        preamble: EMPIAR's, or that of Debian's Apache.
        above: What stands there in place of the title of the page's body: a HEADER's text.
        below: What follows the list: a README's text.
    """
    title = _escaped(_raw(path).rstrip(b"/")) or b"/"
    parent = None if path == "/" else _raw(path).rstrip(b"/").rpartition(b"/")[0] + b"/"
    ordered = sorted(rows, key=lambda row: row.raw)
    body = {"table": _table, "pre": _preformatted, "ul": _plain_list}[form](parent, ordered)
    return b"".join(
        (
            _OLD_DOCTYPE if preamble == "old" else _NEW_DOCTYPE,
            b" <head><title>Index of %b</title></head>\n" % title
            if preamble == "old"
            else b" <head>\n  <title>Index of %b</title>\n </head>\n" % title,
            b" <body>\n",
            b"<h1>Index of %b</h1>\n" % title if above is None else above,
            body,
            below,
            b"</body></html>\n",
        )
    )


def link_to(name: bytes) -> bytes:
    """Return the name or path as Apache writes it into an attribute."""
    escaped = b"".join(b"%c" % byte if byte in _PLAIN else b"%%%02x" % byte for byte in name)
    # What stands before a colon would be taken for a scheme.
    is_like_a_scheme = b":" in name.split(b"/", 1)[0]
    return _escaped(b"./" + escaped if is_like_a_scheme else escaped)


def padded_size(size: int) -> str:
    """Return the size in Apache's four characters.

    Straight from its description, loop by loop, to be compared with empiarfs.core.sizes.
    """
    if size < 973:
        return f"{size:3d} "
    for letter in "KMGTPE":
        rest = size % 1024
        size //= 1024
        if size >= 973:
            continue
        if size < 9 or (size == 9 and rest < 973):
            tenths = (rest * 5 + 256) // 512
            if tenths == 10:
                size, tenths = size + 1, 0
            return f"{size}.{tenths}{letter}"
        if rest >= 512:
            size += 1
        return f"{size:3d}{letter}"
    raise ValueError("too large")


def _table(parent: bytes | None, rows: Sequence[Row]) -> bytes:
    parts = [b"  <table>\n", _TABLE_HEADINGS, _RULE]
    if parent is not None:
        parts.append(
            b'<tr><td valign="top"><img src="/icons/back.gif" alt="[PARENTDIR]"></td>'
            b'<td><a href="%b">Parent Directory</a></td>'
            b'<td>&nbsp;</td><td align="right">  - </td><td>&nbsp;</td></tr>\n' % link_to(parent)
        )
    parts += [
        b'<tr><td valign="top">%b</td><td><a href="%b">%b</a></td>'
        b'<td align="right">%b  </td><td align="right">%b</td><td>&nbsp;</td></tr>\n'
        % (_icon(row), link_to(row.raw), _escaped(row.raw), row.modified.encode(), row.size_cell)
        for row in rows
    ]
    return b"".join((*parts, _RULE, b"</table>\n"))


def _preformatted(parent: bytes | None, rows: Sequence[Row]) -> bytes:
    width = max([_NARROWEST_PRE, *(len(row.raw) for row in rows)])
    parts = [
        b'<pre><img src="/icons/blank.gif" alt="Icon "> <a href="?C=N;O=D">Name</a>',
        b" " * (width - len("Name")),
        b' <a href="?C=M;O=A">Last modified</a>      <a href="?C=S;O=A">Size</a>'
        b'  <a href="?C=D;O=A">Description</a><hr>',
    ]
    if parent is not None:
        pad = b" " * (width - len("Parent Directory") + 19)
        parts.append(
            b'<img src="/icons/back.gif" alt="[PARENTDIR]"> '
            b'<a href="%b">Parent Directory</a> %b  -   \n' % (link_to(parent), pad)
        )
    for row in rows:
        pad = b" " * (width - len(row.raw))
        link = b'<a href="%b">%b</a>' % (link_to(row.raw), _escaped(row.raw))
        parts.append(
            b"%b %b%b %b  %b  \n" % (_icon(row), link, pad, row.modified.encode(), row.size_cell)
        )
    return b"".join((*parts, b"<hr></pre>\n"))


def _plain_list(parent: bytes | None, rows: Sequence[Row]) -> bytes:
    links = [(link_to(row.raw), _escaped(row.raw)) for row in rows]
    if parent is not None:
        links.insert(0, (link_to(parent), b"Parent Directory"))
    return b"<ul>%b</ul>\n" % b"".join(
        b'<li><a href="%b"> %b</a></li>\n' % (link, shown) for link, shown in links
    )


def _icon(row: Row) -> bytes:
    suffix = b"." + row.raw.lower().rpartition(b".")[2]
    by_name = _FOLDER if row.is_directory else _ICONS.get(suffix, _UNKNOWN)
    picture, alternative = row.icon or by_name
    return b'<img src="/icons/%b.gif" alt="[%b]">' % (picture.encode(), alternative.encode())


def _escaped(text: bytes) -> bytes:
    for plain, reference in (
        (b"&", b"&amp;"),
        (b"<", b"&lt;"),
        (b">", b"&gt;"),
        (b'"', b"&quot;"),
    ):
        text = text.replace(plain, reference)
    return text


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
