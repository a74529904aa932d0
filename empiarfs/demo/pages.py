"""Renders listing pages in the form that EMPIAR's server uses.

That is Apache 2.4's table: rounded sizes, times to the minute, percent-escaped links, a
parent link with an absolute path, headings that link to other sort orders. Pure: no disk,
no clock but the conversion to local time, in which Apache prints.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from posixpath import dirname

from empiarfs.core.sizes import size_text

# What Apache leaves unescaped in a link.
_PLAIN = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789$-_.+!*'(),:;@&=/~"
)
_COLUMNS = (("N;O=D", "Name"), ("M;O=A", "Last modified"), ("S;O=A", "Size"))
_ICONS = {".tif": ("image2", "IMG"), ".gz": ("compressed", "   "), ".txt": ("text", "TXT")}


@dataclass(frozen=True, slots=True)
class PageRow:
    """One file or directory to be listed.

    Attributes:
        name: Its name as bytes, without a slash.
        is_directory: Whether it is one.
        size: Bytes; without meaning for a directory.
        modified_s: Seconds since 1970.
    """

    name: bytes
    is_directory: bool
    size: int
    modified_s: float


def listing_page(url_path: bytes, rows: Iterable[PageRow]) -> bytes:
    """Return the page for a directory.

    Args:
        url_path: The directory's path on the server, unescaped, with a slash at both ends.
        rows: What is in it, in any order.
    """
    title = _escaped(_text(url_path.rstrip(b"/")))
    headings = "".join(f'<th><a href="?C={order}">{name}</a></th>' for order, name in _COLUMNS)
    parts = [
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n<html>\n',
        f" <head><title>Index of {title}</title></head>\n <body>\n",
        f"<h1>Index of {title}</h1>\n  <table>\n",
        f'   <tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th>{headings}',
        '<th><a href="?C=D;O=A">Description</a></th></tr>\n',
        '   <tr><th colspan="5"><hr></th></tr>\n',
        _row(("back", "PARENTDIR"), _parent(url_path), "Parent Directory", "&nbsp;", "  - "),
    ]
    parts += [_page_row(row) for row in sorted(rows, key=_shown_name)]
    parts.append('   <tr><th colspan="5"><hr></th></tr>\n</table>\n</body></html>\n')
    return "".join(parts).encode("utf-8", "surrogateescape")


def link_to(name: bytes) -> str:
    """Return the link that Apache writes for a name or path.

    >>> link_to(b"slice 1_z=2.tif")
    'slice%201_z=2.tif'
    >>> link_to(b"12:30.tif")
    './12:30.tif'
    """
    escaped = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in name)
    # Otherwise what stands before the colon would be taken for a scheme.
    return f"./{escaped}" if b":" in name.split(b"/", 1)[0] else escaped


def _shown_name(row: PageRow) -> bytes:
    return row.name + b"/" if row.is_directory else row.name


def _page_row(row: PageRow) -> str:
    name = _shown_name(row)
    suffix = "." + _text(row.name).lower().rpartition(".")[2]
    icon = ("folder", "DIR") if row.is_directory else _ICONS.get(suffix, ("unknown", "   "))
    modified = time.strftime("%Y-%m-%d %H:%M  ", time.localtime(row.modified_s))
    size = "  - " if row.is_directory else _padded(size_text(row.size))
    return _row(icon, link_to(name), _escaped(_text(name)), modified, size)


def _row(icon: tuple[str, str], link: str, shown: str, modified: str, size: str) -> str:
    picture, alternative = icon
    # Apache aligns the times of all rows but the parent's.
    align = "" if modified == "&nbsp;" else ' align="right"'
    return (
        f'<tr><td valign="top"><img src="/icons/{picture}.gif" alt="[{alternative}]"></td>'
        f'<td><a href="{_escaped(link)}">{shown}</a></td>'
        f'<td{align}>{modified}</td><td align="right">{size}</td><td>&nbsp;</td></tr>\n'
    )


def _escaped(text: str) -> str:
    for character, entity in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot")):
        text = text.replace(character, f"&{entity};")
    return text


def _parent(url_path: bytes) -> str:
    return link_to(dirname(url_path.rstrip(b"/")).rstrip(b"/") + b"/")


def _padded(size: str) -> str:
    """Return Apache's four characters: "543M", "1.0K", " 62M", "650 "."""
    return f"{size:>4}" if size[-1:].isalpha() else f"{size:>3} "


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
