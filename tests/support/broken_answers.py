"""What `tests.support.broken_server` answers while nothing is wrong: files and listings.

As Apache does: single ranges, also for HEAD; listings in the form of EMPIAR; 301 to a
directory's slash. No sockets here, and no faults but those that concern an answer's content.
"""

from __future__ import annotations

import gzip
import html
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from urllib.parse import quote_from_bytes

from empiarfs.core.sizes import size_text
from tests.support.broken_faults import DEFAULT_MODIFIED_S, Fault, Request

# The faults that change what an answer says, and nothing of how it is sent.
BENDING = frozenset(
    (
        "header",
        "content_range",
        "whole_file",
        "answer",
        "shifted_range",
        "packed",
        "other_size",
        "lost_row",
        "listing_of",
    )
)
_LISTING = {"Content-Type": "text/html;charset=UTF-8"}


@dataclass(slots=True)
class Answer:
    """An answer, as it will be sent."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ends: bool = False


class Answers:
    """Files, listings and the right answer to each request.

    Attributes:
        files: Contents by path.
        modified_s: Last-Modified by path, in seconds since 1970.
        hidden: Paths that are served and never listed, as Apache hides `README*`.
        listings: Pages that replace those made of `files`, by path.
        ranges_for_head: Whether a Range header of HEAD is honoured, as Apache does.
    """

    def __init__(
        self, files: Mapping[str, bytes] | None, *, prefix: str, ranges_for_head: bool
    ) -> None:
        self.files: dict[str, bytes] = dict(files or {})
        self.modified_s: dict[str, int] = {}
        self.hidden: frozenset[str] = frozenset()
        self.listings: dict[str, bytes] = {}
        self.ranges_for_head = ranges_for_head
        self.port = 0
        self._prefix = prefix

    def put(self, path: str, data: bytes, modified_s: int = DEFAULT_MODIFIED_S) -> None:
        """Serve `data` at `path`."""
        self.modified_s[path] = modified_s
        self.files[path] = data

    def _answer(self, request: Request) -> Answer:
        path = request.path
        if path in self.files:
            return self._file_answer(request, self.files[path])
        if path == "" or path.endswith("/"):
            page = self.listings.get(path) or self._listing(path)
            if page is not None:
                return Answer(200, dict(_LISTING), page)
        elif any(name.startswith(path + "/") for name in self._names()):
            target = f"http://127.0.0.1:{self.port}{self._prefix}{quoted(path)}/"
            return Answer(301, {"Location": target, "Content-Type": "text/html"}, b"moved")
        return Answer(404, {"Content-Type": "text/html"}, b"not found")

    def _bent(self, request: Request, fault: Fault) -> Answer:
        """Return the right answer, made wrong as the fault wants."""
        if fault.kind == "answer":
            return Answer(fault.status, dict(fault.headers), fault.body)
        if fault.kind == "whole_file":
            headers = {key: value for key, value in request.headers.items() if key != "range"}
            return self._answer(replace(request, headers=headers))
        answer = self._answer(request)
        if request.path in self.files:
            return self._bent_file(request, fault, answer)
        if answer.status == 200 and fault.kind == "lost_row":
            answer.body = without_row(answer.body, int(fault.amount))
        elif answer.status == 200 and fault.kind == "listing_of":
            answer.body = self._listing(fault.text) or answer.body
        elif fault.kind == "packed":
            _pack(answer)
        elif fault.kind == "header":
            answer.headers.update(fault.headers)
        return answer

    def _bent_file(self, request: Request, fault: Fault, answer: Answer) -> Answer:
        size = len(self.files[request.path])
        if fault.kind == "content_range":
            answer.headers["Content-Range"] = fault.text
        elif fault.kind == "packed":
            # As long as what was asked for, so that the length says nothing.
            size_asked = len(answer.body)
            _pack(answer)
            answer.body = (answer.body * 2)[:size_asked]
        elif fault.kind == "other_size" and "Content-Range" in answer.headers:
            of_size = answer.headers["Content-Range"].rpartition("/")[0]
            answer.headers["Content-Range"] = f"{of_size}/{size + int(fault.amount)}"
        elif fault.kind == "shifted_range" and answer.status == 206:
            first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
            start = (int(first) + int(fault.amount)) % size
            # Cut short at the file's end, which its length tells.
            stop = min(start + int(last) - int(first) + 1, size)
            answer.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
            answer.body = self.files[request.path][start:stop]
        elif fault.kind == "header":
            answer.headers.update(fault.headers)
        return answer

    def _file_answer(self, request: Request, data: bytes) -> Answer:
        modified_s = self.modified_s.get(request.path, DEFAULT_MODIFIED_S)
        headers = {
            "Last-Modified": formatdate(modified_s, usegmt=True),
            "ETag": f'"{len(data):x}-{modified_s:x}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        wanted = request.headers.get("range", "")
        if not wanted.startswith("bytes=") or not data:
            return Answer(200, headers, data)
        if request.method == "HEAD" and not self.ranges_for_head:
            return Answer(200, headers, data)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(data)) + 1, len(data))
        if start >= len(data):
            return Answer(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return Answer(206, headers, data[start:stop])

    def _names(self) -> Iterable[str]:
        return [*self.files, *self.listings]

    def _listing(self, path: str) -> bytes | None:
        children: dict[str, str | None] = {}
        for name in self._names():
            if name.startswith(path) and name != path and name not in self.hidden:
                child, slash, _ = name[len(path) :].partition("/")
                children[child + slash] = None if slash else name
        if not children and path:
            return None
        rows = [self._row(name, file) for name, file in sorted(children.items())]
        title = html.escape((self._prefix + path).rstrip("/"))
        return (
            f"<html><head><title>Index of {title}</title></head><body><h1>Index of {title}</h1>\n"
            '<table>\n<tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th>'
            '<th><a href="?C=N;O=D">Name</a></th><th><a href="?C=M;O=A">Last modified</a></th>'
            '<th><a href="?C=S;O=A">Size</a></th><th>Description</th></tr>\n'
            '<tr><th colspan="5"><hr></th></tr>\n'
            f"{''.join(rows)}"
            '<tr><th colspan="5"><hr></th></tr>\n</table>\n</body></html>\n'
        ).encode("utf-8", "surrogateescape")

    def _row(self, shown: str, file: str | None) -> str:
        modified = time.gmtime(self.modified_s.get(file or "", DEFAULT_MODIFIED_S))
        size = "  - " if file is None else size_text(len(self.files[file]))
        link = html.escape(("./" if ":" in shown else "") + quoted(shown))
        return (
            '<tr><td valign="top"><img src="/icons/x.gif" alt="[   ]"></td>'
            f'<td><a href="{link}">{html.escape(shown)}</a></td>'
            f'<td align="right">{time.strftime("%Y-%m-%d %H:%M", modified)}  </td>'
            f'<td align="right">{size}</td><td>&nbsp;</td></tr>\n'
        )


def _pack(answer: Answer) -> None:
    answer.body = gzip.compress(answer.body, mtime=0)
    answer.headers["Content-Encoding"] = "gzip"


def without_row(page: bytes, number: int) -> bytes:
    """Return a listing page without one of its rows, counted from 0 and round the end."""
    rows = page.splitlines(keepends=True)
    names = [index for index, row in enumerate(rows) if b'alt="[   ]"' in row]
    if names:
        del rows[names[number % len(names)]]
    return b"".join(rows)


def lengthened(page: bytes, size: int) -> Iterator[bytes]:
    """Yield a listing page with so many further rows that it has about `size` bytes."""
    before, line, behind = page.rpartition(b'<tr><th colspan="5">')
    yield before
    sent, number = len(page), 0
    while sent < size:
        rows = "".join(_further_row(number + i) for i in range(1000)).encode()
        number += 1000
        sent += len(rows)
        yield rows
    yield line + behind


def _further_row(number: int) -> str:
    return (
        '<tr><td valign="top"><img src="/icons/x.gif" alt="[   ]"></td>'
        f'<td><a href="further_{number:07}.mrc">further_{number:07}.mrc</a></td>'
        '<td align="right">2020-09-13 12:27  </td>'
        '<td align="right">543M</td><td>&nbsp;</td></tr>\n'
    )


def quoted(path: str) -> str:
    """Return a path as Apache writes it in a link."""
    return quote_from_bytes(path.encode("utf-8", "surrogateescape"), safe="/!$&'()*+,-.:;=@_~")
