"""Where requests and replies begin and end in a stream of HTTP/1.1; pure.

`RequestReader` cuts what a client sends into whole requests. `ReplyReader` follows what a
server sends, and says where a reply that is to be cut has come to its last byte.

Both are for well-behaved programs of these tests: what doesn't look like HTTP raises
`NotHTTPError` in the one, and is passed on uncut by the other.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

_MAX_HEADERS = 65_536
_END = b"\r\n\r\n"
_METHOD = re.compile(rb"(GET|HEAD) [^\r\n]+ HTTP/1\.[01]\r\n")
_BODY = re.compile(rb"\r\n(?:transfer-encoding:|content-length:[ \t]*0*[1-9])", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


class NotHTTPError(Exception):
    """A client sent something else than a GET or HEAD request without a body."""


class RequestReader:
    """Cuts a stream into whole requests."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the requests that `data` completes, each with all of its bytes.

        Raises:
            NotHTTPError: This is no request that we know.
        """
        *requests, self._rest = (self._rest + data).split(_END)
        if len(self._rest) > _MAX_HEADERS:
            raise NotHTTPError("headers without an end")
        whole = [request + _END for request in requests]
        for request in whole:
            if not _METHOD.match(request) or _BODY.search(request):
                raise NotHTTPError(f"not a request without a body: {request[:80]!r}")
        return whole


def method_of(request: bytes) -> bytes:
    """Return the method of a whole request.

    >>> method_of(b"HEAD / HTTP/1.1\\r\\n\\r\\n")
    b'HEAD'
    """
    return request[: request.index(b" ")]


class ReplyReader:
    """Follows the replies of one connection.

    Args:
        begin: Called at the first byte of each reply; returns after how many bytes it is to
            be cut, or None.

    Attributes:
        header_bytes: How many bytes of headers there were so far.
    """

    def __init__(self, begin: Callable[[], int | None]) -> None:
        self.header_bytes = 0
        self._begin = begin
        self._methods: deque[bytes] = deque()
        self._headers = b""
        self._parse: Callable[[memoryview], int] = self._parse_headers
        self._left = 0  # of a body, or of a chunk with the line that ends it
        self._is_within = False
        self._seen = 0  # bytes of the current reply
        self._cut_after: int | None = None

    def expect(self, method: bytes) -> None:
        """Learn of a request that the server is sent."""
        self._methods.append(method)

    def feed(self, data: memoryview) -> int | None:
        """Follow `data`; return how much of it passes before the cut, None without one."""
        offset = 0
        while offset < len(data):
            if not self._is_within:
                self._is_within, self._seen = True, 0
                self._cut_after = self._begin()
            step = self._parse(data[offset:])
            if self._cut_after is not None and self._seen + step >= self._cut_after:
                return offset + max(0, self._cut_after - self._seen)
            offset += step
            self._seen += step
            if self._cut_after is not None and not self._is_within:
                return offset  # shorter than what was to be left of it
        return None

    def _parse_headers(self, data: memoryview) -> int:
        before = len(self._headers)
        self._headers += bytes(data[:_MAX_HEADERS])
        end = self._headers.find(_END)
        if end < 0:
            if len(self._headers) > _MAX_HEADERS:
                self._parse = len  # no HTTP: all of it is one reply without an end
            return len(data[:_MAX_HEADERS])
        headers, self._headers = self._headers[: end + len(_END)], b""
        self.header_bytes += len(headers)
        self._begin_body(headers)
        return len(headers) - before

    def _begin_body(self, headers: bytes) -> None:
        found = _STATUS.match(headers)
        status = int(found[1]) if found else 0
        if 100 <= status < 200:
            return  # the reply proper is still to come
        method = self._methods.popleft() if self._methods else b"GET"
        length = _LENGTH.search(headers)
        if method == b"HEAD" or status in (204, 304):
            self._end()
        elif _CHUNKED.search(headers):
            self._parse = self._parse_chunk_line
        elif length is None:
            self._parse = len  # until the server closes
        elif self._left_of(int(length[1])):
            self._parse = self._parse_body
        else:
            self._end()

    def _left_of(self, size: int) -> int:
        self._left = size
        return size

    def _parse_body(self, data: memoryview) -> int:
        step = min(self._left, len(data))
        self._left -= step
        if not self._left:
            self._end()
        return step

    def _parse_chunk_line(self, data: memoryview) -> int:
        line, step = self._line_of(data)
        if line is None:
            return step
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            self._parse = len
        else:
            self._left = size + 2
            self._parse = self._parse_chunk if size else self._parse_trailer
        return step

    def _parse_chunk(self, data: memoryview) -> int:
        step = min(self._left, len(data))
        self._left -= step
        if not self._left:
            self._parse = self._parse_chunk_line
        return step

    def _parse_trailer(self, data: memoryview) -> int:
        line, step = self._line_of(data)
        if line == b"":
            self._end()
        return step

    def _line_of(self, data: memoryview) -> tuple[bytes | None, int]:
        """Return a line without its end once it is whole, and how much of `data` it took."""
        before = len(self._headers)
        self._headers += bytes(data[:_MAX_HEADERS])
        end = self._headers.find(b"\r\n")
        if end < 0:
            return None, len(self._headers) - before
        line, self._headers = self._headers[:end], b""
        return line, end + 2 - before

    def _end(self) -> None:
        self._parse = self._parse_headers
        self._is_within = False
