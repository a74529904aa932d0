"""What `tests.support.broken_server` may be told to do wrong, and the requests it happens to.

A `Fault` says what; whether it means anything depends on the request: a HEAD has no body to
be cut short, a listing no range to be shifted. Such a request is then answered rightly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate

DEFAULT_MODIFIED_S = 1_600_000_020


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived.

    Attributes:
        method: "GET" or "HEAD".
        path: Below the root, decoded, without a leading slash.
        headers: By lower-case name.
        connection: Number of its connection, from 1.
        received_s: Monotonic time.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    connection: int
    received_s: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to do wrong; made by the class methods."""

    kind: str
    amount: float = 0
    status: int = 0
    text: str = ""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def silence(cls) -> Fault:
        """Take the request and never answer it, nor anything behind it on its connection."""
        return cls("silence")

    @classmethod
    def silence_in_body(cls, after: int) -> Fault:
        """Stop after so many bytes of the body."""
        return cls("silence_in_body", after)

    @classmethod
    def delay(cls, seconds: float) -> Fault:
        """Answer rightly, but late."""
        return cls("delay", seconds)

    @classmethod
    def trickle(cls, bytes_per_s: float) -> Fault:
        """Send the body slowly, a byte at a time."""
        return cls("trickle", bytes_per_s)

    @classmethod
    def trickle_headers(cls, bytes_per_s: float) -> Fault:
        """Send the headers slowly, a byte at a time."""
        return cls("trickle_headers", bytes_per_s)

    @classmethod
    def short_body(cls, missing: int = 1) -> Fault:
        """End the connection some bytes before the announced end."""
        return cls("short_body", missing)

    @classmethod
    def long_body(cls, extra: bytes = b"surplus") -> Fault:
        """Send more than announced, and keep the connection."""
        return cls("long_body", body=extra)

    @classmethod
    def whole_file(cls) -> Fault:
        """Ignore the Range header: 200 and the whole file."""
        return cls("whole_file")

    @classmethod
    def content_range(cls, text: str) -> Fault:
        """Send another Content-Range; "" leaves it out."""
        return cls("content_range", text=text)

    @classmethod
    def shifted_range(cls, by: int) -> Fault:
        """Send the bytes so far behind those that were asked for, and say so."""
        return cls("shifted_range", by)

    @classmethod
    def gzip_body(cls) -> Fault:
        """Mark the body as packed."""
        return cls("header", headers=(("Content-Encoding", "gzip"),))

    @classmethod
    def packed(cls) -> Fault:
        """Pack the body, though nobody said that he would take that."""
        return cls("packed")

    @classmethod
    def with_headers(cls, *headers: tuple[str, str]) -> Fault:
        """Replace headers; an empty value leaves one out."""
        return cls("header", headers=headers)

    @classmethod
    def chunked(cls, extra: bytes = b"") -> Fault:
        """Send the body in chunks, perhaps with more bytes than announced."""
        return cls("chunked", body=extra)

    @classmethod
    def until_end(cls) -> Fault:
        """Send the body without a length, up to the end of the connection."""
        return cls("until_end")

    @classmethod
    def html_page(cls, status: int = 200) -> Fault:
        """Answer with a web page instead."""
        page = b"<html><head><title>Sorry</title></head><body>Sorry.</body></html>"
        return cls("answer", status=status, body=page, headers=(("Content-Type", "text/html"),))

    @classmethod
    def answer(cls, status: int, *headers: tuple[str, str], body: bytes = b"") -> Fault:
        """Answer with just this."""
        return cls("answer", status=status, body=body, headers=headers)

    @classmethod
    def redirect(cls, location: str, status: int = 302) -> Fault:
        """Send the client elsewhere; a location equal to the path makes a loop."""
        return cls("answer", status=status, headers=(("Location", location),))

    @classmethod
    def busy(cls, status: int = 503, retry_after: str = "") -> Fault:
        """Refuse with 503 or 429, perhaps with a Retry-After of seconds or a date."""
        headers = (("Retry-After", retry_after),) if retry_after else ()
        return cls("answer", status=status, headers=headers)

    @classmethod
    def reset(cls, stage: str = "request", after: int = 0) -> Fault:
        """Cut the connection by RST: after the "request", in the "headers" or in the "body"."""
        return cls(f"reset_{stage}", after)

    @classmethod
    def close(cls) -> Fault:
        """End the connection in order, instead of answering."""
        return cls("close")

    @classmethod
    def garbage(cls, data: bytes = b"\x16\x03 not HTTP at all\r\n\r\n") -> Fault:
        """Send something that isn't HTTP."""
        return cls("garbage", body=data)

    @classmethod
    def changed(cls, modified_s: int = DEFAULT_MODIFIED_S + 3600) -> Fault:
        """Answer as if the file had another Last-Modified."""
        return cls("header", headers=(("Last-Modified", formatdate(modified_s, usegmt=True)),))

    @classmethod
    def other_size(cls, more: int) -> Fault:
        """Answer as if the file were so many bytes longer."""
        return cls("other_size", more)

    @classmethod
    def interim(cls, status: int = 103, before_s: float = 0.0) -> Fault:
        """Send an interim answer (1xx) before the right one, perhaps a good while before."""
        return cls("interim", before_s, status=status)

    @classmethod
    def lost_row(cls, number: int = 0) -> Fault:
        """Leave a row out of a listing, counted from 0 and round the end."""
        return cls("lost_row", number)

    @classmethod
    def listing_of(cls, path: str) -> Fault:
        """Answer with the listing of another directory, named with a slash at its end."""
        return cls("listing_of", text=path)

    @classmethod
    def long_listing(cls, size: int) -> Fault:
        """Go on with the listing, in rows of further names, up to so many bytes."""
        return cls("long_listing", size)

    @classmethod
    def drop_answer(cls) -> Fault:
        """Leave this answer out and go on with the next request of the connection."""
        return cls("drop_answer")

    @classmethod
    def out_of_step(cls) -> Fault:
        """Send this answer behind that of the next request of the connection."""
        return cls("out_of_step")
