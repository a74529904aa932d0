"""The ways in which an archive breaks, each with what an application may see of it.

A `FaultKind` is a fault with a name, the requests for which it means anything, and the errnos
that it may cause when it happens once. For most there are none: asking again mends them, and
nobody notices. The others are answers and not failures: what says 403 is refused (EACCES),
what says 404 is not there (ENOENT), and a file that looks changed is stale for those who
have it open (ESTALE).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Literal

from tests.support.broken_faults import Fault, Request

Asked = Literal["bytes", "headers", "listing"]

_ALL: tuple[Asked, ...] = ("bytes", "headers", "listing")
_BODIES: tuple[Asked, ...] = ("bytes", "listing")
_BYTES: tuple[Asked, ...] = ("bytes",)
_HEADERS: tuple[Asked, ...] = ("headers",)
_LISTING: tuple[Asked, ...] = ("listing",)


def asked(request: Request) -> Asked:
    """Return what a request asks for."""
    if request.method == "HEAD":
        return "headers"
    return "listing" if request.path.endswith("/") or not request.path else "bytes"


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A way to break.

    Attributes:
        name: A few words, for the tables of a campaign.
        make: Returns the fault; called shortly before it is due, since some name a date.
        on: The requests for which it means anything.
        shows: The errnos that an application may see if it happens once.
        hides_names: Whether a listing lacks a name because of it.
    """

    name: str
    make: Callable[[], Fault]
    on: tuple[Asked, ...]
    shows: frozenset[int] = frozenset()
    hides_names: bool = False


def _kind(
    name: str,
    make: Fault | Callable[[], Fault],
    on: tuple[Asked, ...] = _ALL,
    shows: Iterable[int] = (),
    *,
    hides_names: bool = False,
) -> FaultKind:
    factory = (lambda: make) if isinstance(make, Fault) else make
    return FaultKind(name, factory, on, frozenset(shows), hides_names)


def _soon() -> str:
    return formatdate(time.time() + 1, usegmt=True)


_GONE = (errno.ENOENT, errno.ESTALE)
_STALE = (errno.ESTALE,)
_MULTIPART = ("Content-Type", "multipart/byteranges; boundary=x")
_ELSEWHERE = "http://127.0.0.1:9/archive/elsewhere"

SILENCES = (
    _kind("silence before the headers", Fault.silence()),
    _kind("trickle of headers", Fault.trickle_headers(20)),
    _kind("silence in the body", Fault.silence_in_body(0), _BODIES),
    _kind("silence later in the body", Fault.silence_in_body(700), _BODIES),
    _kind("trickle of the body", Fault.trickle(50), _BODIES),
)

BROKEN = (
    _kind("late", Fault.delay(0.3)),
    _kind("end instead of an answer", Fault.close()),
    _kind("reset after the request", Fault.reset("request")),
    _kind("reset in the status line", Fault.reset("headers", 7)),
    _kind("reset in the headers", Fault.reset("headers")),
    _kind("reset before the body", Fault.reset("body", 0), _BODIES),
    _kind("reset in the body", Fault.reset("body", 600), _BODIES),
    _kind("end in the body", Fault.short_body(500), _BODIES),
    _kind("one byte too few", Fault.short_body(1), _BODIES),
    _kind("bytes behind the end", Fault.long_body(), _BODIES),
    _kind("an answer behind the end", Fault.long_body(b"HTTP/1.1 200 OK\r\n\r\n"), _BODIES),
    _kind("chunks, too many bytes", Fault.chunked(b"surplus"), _BYTES),
    _kind("not HTTP", Fault.garbage()),
    _kind("a line of 100 KB", Fault.garbage(b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n")),
    _kind("an interim answer", Fault.interim(103)),
    _kind("an interim answer long before", Fault.interim(103, 0.1)),
)

REFUSALS = (
    _kind("400", Fault.answer(400, body=b"bad request")),
    _kind("408", Fault.answer(408)),
    _kind("500", Fault.html_page(500)),
    _kind("502", Fault.html_page(502)),
    _kind("504", Fault.html_page(504)),
    _kind("503", Fault.busy(503)),
    _kind("503, Retry-After in seconds", Fault.busy(503, "1")),
    _kind("503, Retry-After as a date", lambda: Fault.busy(503, _soon())),
    _kind("429, Retry-After in seconds", Fault.busy(429, "1")),
    _kind("429, Retry-After as a date", lambda: Fault.busy(429, _soon())),
    _kind("429, Retry-After makes no sense", Fault.busy(429, "soon")),
)

WRONG = (
    _kind("HTML page with 200", Fault.html_page(200), _BODIES),
    _kind("204", Fault.answer(204)),
    _kind("304", Fault.answer(304)),
    _kind("301 to another host", Fault.redirect("http://elsewhere.invalid/a", 301)),
    _kind("302 to http", Fault.redirect(_ELSEWHERE)),
    _kind("307 to itself", Fault.redirect("?again", 307)),
    _kind("302 to a file of this machine", Fault.redirect("file:///etc/passwd")),
    _kind("packed without being asked", Fault.packed(), _BYTES),
    _kind("said to be packed", Fault.gzip_body(), _BODIES),
    _kind("whole file with 200", Fault.whole_file(), _BYTES),
    _kind("no Content-Range", Fault.content_range(""), _BYTES),
    _kind("Content-Range makes no sense", Fault.content_range("bytes 9-1/2"), _BYTES),
    _kind("Content-Range without a size", Fault.content_range("bytes 0-9/*"), _BYTES),
    _kind("bytes of another range", Fault.shifted_range(1), _BYTES),
    _kind("bytes far behind", Fault.shifted_range(70_000), _BYTES),
    # Of a HEAD it is an answer: the archive says how large the file is.
    _kind(
        "too large a Content-Length", Fault.with_headers(("Content-Length", "99999999")), _BODIES
    ),
    _kind("two lengths", Fault.with_headers(("Transfer-Encoding", "chunked")), _BYTES),
    _kind("unknown encoding", Fault.with_headers(("Content-Encoding", "br"))),
    _kind("several ranges", Fault.with_headers(("Content-Range", ""), _MULTIPART), _BYTES),
    _kind("no Last-Modified", Fault.with_headers(("Last-Modified", "")), _BYTES),
    _kind("another ETag", Fault.with_headers(("ETag", '"other"')), ("bytes", "headers")),
)

ANSWERS = (
    _kind("416", Fault.answer(416), _BYTES, _STALE),
    _kind("401", Fault.answer(401), _ALL, (errno.EACCES,)),
    _kind("403", Fault.html_page(403), _ALL, (errno.EACCES,)),
    _kind("404", Fault.html_page(404), _ALL, _GONE),
    _kind("410", Fault.answer(410), _ALL, _GONE),
    _kind("another Last-Modified", Fault.changed(), _BYTES, _STALE),
    _kind("another size", Fault.other_size(1), _BYTES, _STALE),
    _kind("a smaller size", Fault.other_size(-1), _BYTES, _STALE),
)

OUT_OF_STEP = (
    _kind("an answer left out", Fault.drop_answer(), _HEADERS),
    _kind("an answer out of turn", Fault.out_of_step(), _HEADERS),
)

LISTINGS = (
    _kind("a row left out", Fault.lost_row(1), _LISTING, hides_names=True),
    _kind("listing of another directory", Fault.listing_of("10017/data/"), _LISTING),
    _kind("not HTML", Fault.with_headers(("Content-Type", "text/plain")), _LISTING),
    _kind("half a listing", Fault.short_body(60), _LISTING),
)

KINDS = (*SILENCES, *BROKEN, *REFUSALS, *WRONG, *ANSWERS, *OUT_OF_STEP, *LISTINGS)
