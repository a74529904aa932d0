"""The parser of the pages by which the archive lists a directory.

Apache writes them in three forms: a table (EMPIAR's), preformatted lines and a plain list.
They are parsed row by row as the bytes come, by one expression on bytes and without a
document tree: for 200,000 rows a tree takes 600 MB, and seconds without a pause in which
nobody else runs.

    page = anything, <title>Index of PATH</title>, anything, list, anything
    list = <table> | <pre> | <ul>, rows, and its closing tag
    row  = <a href="NAME">text</a>, then the time and the size, in cells or between blanks

Rules:

* A name comes from the link alone (`empiarfs.core.links`), never from its text, which Apache
  shortens. Every link in the list is a name, or the parent, a heading or the directory
  itself, or it is refused, counted and shown. None is followed.
* A directory may hold a HEADER or README that Apache puts around the list, with tables and
  links of its own. The list is the one that begins most like Apache's: with a heading, else
  with the parent's path, else with any link. Two that begin alike are an error.
* A page counts only if its title names this directory and its list is closed. Anything else
  is no listing: an index.html, an error page, a page cut short.

What is fed is cut into the same windows of 16 KiB whatever the slices it came in, so the
slices can't matter. A row has at most 8 KiB and never reaches past the next one's start, so
no more than that is carried over. Every repetition in the expression is bounded or ends at
the next `<`: the time is linear in the bytes, whatever they are.

The parser does no I/O; whoever feeds it judges status and headers. Not thread-safe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from empiarfs.core.links import Link, LinkKind, LinkReader, path_of, unescape_references
from empiarfs.core.row_tails import RowTails
from empiarfs.errors import BadResponseError

MAX_ITEMS = 1_000_000
MAX_BYTES = 256 * 1024 * 1024
SHOWN_REFUSALS = 100

# One call into the expression machine sees at most this much, since it holds the
# interpreter's lock all the while: 16 KiB are some 80 rows or 0.1 ms.
_WINDOW = 16 * 1024
# More than any token below can span. A name of 255 bytes makes at most 1,275 of link and
# 1,530 of text, and blanks up to the longest name of the page.
_LONGEST_TOKEN = 8 * 1024
_TOKEN = re.compile(
    rb"""<(?:
      a\ href="([^"<>]{0,3072})"[^<>]{0,128}>[^<]{0,2048}</a>     # a row as Apache writes it,
        ([^<]{0,600}(?:</?[tT][dD][^<>]{0,64}>[^<]{0,128}){0,4})  # and what stands behind
    | [aA](?=[\s/>])([^<>]{0,4096})                               # a link of any other shape
    | (?i:(table|pre|ul)(?=[\s>]))
    | (?i:/(table|pre|ul|html)(?=[\s>]))
    | (?i:title>([^<]{0,6144})</title>)
    )""",
    re.VERBOSE,
)
# The last group that each of them sets.
_ROW, _ODD_LINK, _OPEN, _CLOSE, _TITLE = 2, 3, 4, 5, 6

# Most names: the same before and after decoding, and nothing in them that has a meaning.
_PLAIN = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.=+,()\-]{0,254}/?")
_HREF = re.compile(rb"""(?:^|\s)href\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_LISTING_TITLE = re.compile(rb"\s*(?:Index of|Directory listing for) (.*)", re.DOTALL)
# How much a list begins like Apache's.
_NO_LINK, _ANY_LINK, _PARENT_FIRST, _HEADING_FIRST = range(4)
_SHOWN_BYTES = 200


@dataclass(frozen=True, slots=True)
class ListingItem:
    """One row of a listing.

    Attributes:
        name: The name; bytes that are not UTF-8 stand in it as surrogates.
        is_directory: Whether the row is a directory's.
        size_text: The size as shown, rounded: "543M", "650"; empty for directories and
            where none is shown. What it may stand for, `empiarfs.core.sizes` tells.
        modified_text: When it was changed, to the minute, in the server's local time:
            "2025-02-07 19:49"; empty where none is shown.
    """

    name: str
    is_directory: bool
    size_text: str
    modified_text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What one page lists.

    Attributes:
        items: The rows in the page's order, each name once.
        refused_count: How many links were refused.
        refused: The first `SHOWN_REFUSALS` of them, printable, each with the reason.
    """

    items: tuple[ListingItem, ...]
    refused_count: int = 0
    refused: tuple[str, ...] = ()


class ListingParser:
    """Parses one page while it arrives. Not thread-safe.

    Args:
        url: The directory's URL, with a trailing slash and without credentials.
        max_items: More rows than this are refused as a whole.
        max_bytes: A longer page is refused as a whole.
        base_url: The archive's URL. With it the title must name all of the directory's path
            below the archive. Of the archive's root any title is believed but one of what
            lies below it, since a proxy may serve it in another place. Without it the last
            component must agree.
    """

    def __init__(
        self,
        url: str,
        *,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
        base_url: str | None = None,
    ) -> None:
        self._url = url
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._base_url = base_url
        self._size = 0
        self._window = bytearray()
        self._title: bytes | None = None
        self._links = LinkReader(url)
        self._tails = RowTails()
        self._open_list: _Rows | None = None
        self._best = _Rows(b"")  # of the closed lists; stands for "none" at first
        self._is_tied = False  # whether another one began like the best
        self._has_ended = False

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the page.

        Raises:
            BadResponseError: The page is too big; the rest needn't be fetched.
        """
        view = memoryview(data)
        self._size += len(view)
        if self._size > self._max_bytes:
            raise self._bad(f"the listing has more than {self._max_bytes} bytes")
        start = 0
        while start < len(view):
            stop = start + _WINDOW - len(self._window)
            self._window += view[start:stop]
            start = stop
            if len(self._window) == _WINDOW:
                self._parse_window(is_last=False)

    def finish(self) -> Listing:
        """Return what the page lists; nothing may be fed afterwards.

        Raises:
            BadResponseError: It isn't a listing, or of another directory, or cut short, or
                too big.
        """
        self._parse_window(is_last=True)
        shown = _directory_in(self._title)
        if shown is None:
            raise self._bad("the answer is not a listing")
        if not self._is_ours(shown):
            raise self._bad(f"the listing is of another directory, '{_printable(shown)}'")
        if self._is_cut_short():
            raise self._bad("the listing is cut short")
        if not self._best.kind:
            raise self._bad("the answer has the title of a listing and no list")
        if self._is_tied:
            raise self._bad("no telling which of several lists is the directory's")
        rows = self._best
        return Listing(tuple(rows.items), rows.refused_count, tuple(rows.refused))

    def _parse_window(self, *, is_last: bool) -> None:
        text = bytes(self._window)
        # No token reaches past the next link's start, or over more bytes than the longest:
        # one that starts before either is all there.
        whole = len(text) if is_last else max(text.rfind(b"<a"), len(text) - _LONGEST_TOKEN)
        end = 0
        for token in _TOKEN.finditer(text):
            if token.start() >= whole:
                break
            end = token.end()
            kind = token.lastindex
            if kind == _ROW:
                if self._open_list is not None:
                    self._read_row(self._open_list, token.group(1), token.group(2))
            else:
                self._read_other(kind, token)
        most = max(len(rows.items) for rows in (self._best, self._open_list) if rows is not None)
        if most > self._max_items:
            raise self._bad(f"the listing has more than {self._max_items} rows")
        self._window = bytearray(text[max(whole, end) :])

    def _read_row(self, rows: _Rows, href: bytes, tail: bytes) -> None:
        if not _PLAIN.fullmatch(href):
            self._read_link(rows, href, tail)
            return
        if rows.rank == _NO_LINK:
            rows.rank = _ANY_LINK
        size, modified = self._tails.read(tail)
        if href.endswith(b"/"):
            rows.add(ListingItem(href[:-1].decode("ascii"), True, "", modified))
        else:
            rows.add(ListingItem(href.decode("ascii"), False, size, modified))

    def _read_link(self, rows: _Rows, href: bytes, tail: bytes) -> None:
        link = self._links.read(href)
        if rows.rank == _NO_LINK:
            rows.rank = _rank_of(link, href)
        if link.kind is LinkKind.NAME:
            size, modified = self._tails.read(tail)
            size = "" if link.is_directory else size
            rows.add(ListingItem(link.name, link.is_directory, size, modified))
        elif link.kind is LinkKind.REFUSED:
            rows.refuse(_printable(href), link.problem)

    def _read_other(self, kind: int | None, token: re.Match[bytes]) -> None:
        if kind == _ODD_LINK:
            if self._open_list is not None:
                self._read_odd_link(self._open_list, token[_ODD_LINK])
        elif kind == _OPEN:
            self._begin_list(token[_OPEN].lower())
        elif kind == _CLOSE:
            self._end_list(token[_CLOSE].lower())
        elif self._title is None:
            self._title = token[_TITLE]
            self._links = LinkReader(self._url, _directory_in(self._title))

    def _read_odd_link(self, rows: _Rows, attributes: bytes) -> None:
        match = _HREF.search(attributes)
        if match is None:
            rows.refuse(_printable(attributes), "a link that can't be read")
        else:
            self._read_link(rows, match[1] if match[1] is not None else match[2], b"")

    def _begin_list(self, kind: bytes) -> None:
        # A HEADER's list may have been left open, Apache's never is.
        if self._open_list is None or self._open_list.rank <= _ANY_LINK:
            self._set_aside()
            self._open_list = _Rows(kind)

    def _end_list(self, kind: bytes) -> None:
        if kind == b"html":
            self._has_ended = True
        elif self._open_list is not None and self._open_list.kind == kind:
            self._set_aside()

    def _set_aside(self) -> None:
        """Keep the open list, if there is one, unless a closed one begins more like it."""
        rows, self._open_list = self._open_list, None
        if rows is None or rows.rank < self._best.rank:
            return
        self._is_tied = rows.rank == self._best.rank and rows.rank != _NO_LINK
        self._best = rows

    def _is_cut_short(self) -> bool:
        if self._open_list is not None and self._open_list.rank > self._best.rank:
            return True
        # What doesn't begin like Apache's list may be a HEADER's, and the list still to come.
        return self._best.rank < _PARENT_FIRST and not self._has_ended

    def _is_ours(self, shown: bytes) -> bool:
        ours = path_of(self._url)
        if self._base_url is None:
            return shown.rpartition(b"/")[2] == ours[:-1].rpartition(b"/")[2]
        base = path_of(self._base_url)
        place, relative = b"/" + shown.strip(b"/") + b"/", ours.removeprefix(base)
        if not relative and base != b"/" and place.startswith(base):
            # Where the title knows the archive's own place, it can be held to it.
            return place == base
        return place.endswith(b"/" + relative)

    def _bad(self, message: str) -> BadResponseError:
        return BadResponseError(message, url=self._url)


class _Rows:
    """The rows of one list of a page, which may be the directory's or a README's."""

    __slots__ = ("_names", "items", "kind", "rank", "refused", "refused_count")

    def __init__(self, kind: bytes) -> None:
        self.kind = kind
        self.rank = _NO_LINK
        self.items: list[ListingItem] = []
        self._names: set[str] = set()
        self.refused: list[str] = []
        self.refused_count = 0

    def add(self, item: ListingItem) -> None:
        """Add a row, unless there is one of this name."""
        if item.name in self._names:
            self.refuse(_printable(item.name.encode("utf-8", "surrogateescape")), "listed twice")
            return
        self._names.add(item.name)
        self.items.append(item)

    def refuse(self, shown: str, problem: str) -> None:
        """Count a link that isn't served, and keep the first ones for people to see."""
        self.refused_count += 1
        if len(self.refused) < SHOWN_REFUSALS:
            self.refused.append(f"{shown}: {problem}")


def _rank_of(link: Link, href: bytes) -> int:
    """Return how much a list that begins with this link begins like Apache's."""
    if link.kind is LinkKind.HEADING:
        return _HEADING_FIRST
    # Apache writes the parent's path; "../" is what people write, and nginx.
    if link.kind is LinkKind.PARENT and href.startswith(b"/"):
        return _PARENT_FIRST
    return _ANY_LINK


def _directory_in(title: bytes | None) -> bytes | None:
    """Return the path that a listing's title names, without a slash at its end."""
    match = _LISTING_TITLE.match(title) if title is not None else None
    return unescape_references(match[1]).rstrip(b"/") if match else None


def _printable(text: bytes) -> str:
    shown = repr(text[:_SHOWN_BYTES])[2:-1]
    return f"{shown}…" if len(text) > _SHOWN_BYTES else shown
