"""A small HTTP server on 127.0.0.1 that does what Apache won't: everything wrong.

    with BrokenServer() as server:
        server.put("10002/data/a.mrc", b"...")
        server.fault("10002/data/a.mrc", Fault.silence(), times=1)
        ... server.url, server.requests, server.peak_connections ...

Without faults it behaves as Apache does: single ranges, also for HEAD; listings in the form
of EMPIAR; keep-alive with a `Keep-Alive` header; pipelining; 301 to a directory's slash. A
fault applies to the next `times` requests that its predicate or path names, oldest fault
first. `release` lets all silent connections go, which otherwise stay silent to the end.

One thread for each connection; all fields are guarded by one lock, and copies are handed out.
"""

from __future__ import annotations

import contextlib
import html
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from urllib.parse import quote_from_bytes, unquote_to_bytes

from empiarfs.core.sizes import size_text

DEFAULT_MODIFIED_S = 1_600_000_020
_RESET = struct.pack("ii", 1, 0)
_REASONS = {200: "OK", 206: "Partial Content", 301: "Moved Permanently", 302: "Found"}


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
    def gzip_body(cls) -> Fault:
        """Mark the body as packed."""
        return cls("header", headers=(("Content-Encoding", "gzip"),))

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
    def drop_answer(cls) -> Fault:
        """Leave this answer out and go on with the next request of the connection."""
        return cls("drop_answer")

    @classmethod
    def out_of_step(cls) -> Fault:
        """Send this answer behind that of the next request of the connection."""
        return cls("out_of_step")


@dataclass(slots=True)
class _Planned:
    applies: Callable[[Request], bool]
    fault: Fault
    left: int


@dataclass(slots=True)
class _Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ends: bool = False


class BrokenServer:
    """Serves `files` below `url` until the context ends.

    Args:
        tls: Certificate and key files (PEM), for https.
        prefix: Path of the root, with slashes at both ends.
        max_requests: Requests on one connection, Apache's default; None for no limit.
        keep_alive_s: How long an idle connection is kept, Apache's default.
        latency_s: The earliest answer to a request comes so long after its arrival, as if
            over a long link: requests sent back to back wait together.
        ranges_for_head: Whether a Range header of HEAD is honoured, as Apache does.
        keeps_alive_header: Whether a Keep-Alive header is sent.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        tls: tuple[Path, Path] | None = None,
        prefix: str = "/archive/",
        max_requests: int | None = 100,
        keep_alive_s: float = 5.0,
        latency_s: float = 0.0,
        ranges_for_head: bool = True,
        keeps_alive_header: bool = True,
    ) -> None:
        self.files: dict[str, bytes] = dict(files or {})
        self.modified_s: dict[str, int] = {}
        self.listings: dict[str, bytes] = {}
        self.max_requests = max_requests
        self.keep_alive_s = keep_alive_s
        self.latency_s = latency_s
        self.ranges_for_head = ranges_for_head
        self.keeps_alive_header = keeps_alive_header
        self._prefix = prefix
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._faults: list[_Planned] = []
        self._connections: dict[int, socket.socket] = {}
        self._count = 0
        self._peak = 0
        self._endings: list[str] = []
        self._released = threading.Event()
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*tls)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> BrokenServer:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL, with a slash at its end."""
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}{self._prefix}"

    def put(self, path: str, data: bytes, modified_s: int = DEFAULT_MODIFIED_S) -> None:
        """Serve `data` at `path`."""
        self.modified_s[path] = modified_s
        self.files[path] = data

    def fault(
        self, where: str | Callable[[Request], bool], fault: Fault, *, times: int = 1
    ) -> None:
        """Do the next `times` matching requests wrong.

        Args:
            where: The path of a file, or of a directory with a slash at its end, or a
                predicate.
            fault: What to do.
            times: How often.
        """
        applies = (lambda request: request.path == where) if isinstance(where, str) else where
        with self._lock:
            self._faults.append(_Planned(applies, fault, times))

    def release(self) -> None:
        """End all connections that are silent now."""
        self._released.set()

    def stop(self) -> None:
        """End all connections and the server; what connects afterwards is refused."""
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._connections.values():
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order of their arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def open_connections(self) -> int:
        """Connections that stand now."""
        with self._lock:
            return len(self._connections)

    @property
    def peak_connections(self) -> int:
        """The most connections that stood at once."""
        with self._lock:
            return self._peak

    @property
    def connections(self) -> int:
        """All connections so far."""
        with self._lock:
            return self._count

    @property
    def endings(self) -> list[str]:
        """How the client ended connections, "reset" or "end", in order."""
        with self._lock:
            return list(self._endings)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._count += 1
                number = self._count
                self._connections[number] = connection
                # What the client has closed is no connection, even if its thread is late.
                live = [each for each in self._connections.values() if not _is_over(each)]
                self._peak = max(self._peak, len(live))
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        raw = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                # The raw descriptor stays ours, for resets.
                raw = connection.dup()
                connection = self._context.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._connections[number] = connection
            _Conversation(self, connection, raw, number).run()
            ending = ""
        except ConnectionResetError:
            ending = "reset"
        except (_End, EOFError):
            ending = "end"
        except (OSError, ssl.SSLError):
            ending = ""
        finally:
            with self._lock:
                self._connections.pop(number, None)
            connection.close()
            raw.close()
        if ending:
            with self._lock:
                self._endings.append(ending)

    def _take_fault(self, request: Request) -> Fault | None:
        with self._lock:
            self._requests.append(request)
            for planned in self._faults:
                if planned.left and planned.applies(request):
                    planned.left -= 1
                    return planned.fault
        return None

    def _answer(self, request: Request) -> _Answer:
        path = request.path
        if path in self.files:
            return self._file_answer(request, self.files[path])
        if path == "" or path.endswith("/"):
            page = self.listings.get(path) or self._listing(path)
            if page is not None:
                return _Answer(200, {"Content-Type": "text/html;charset=UTF-8"}, page)
        elif any(name.startswith(path + "/") for name in self._names()):
            target = f"http://127.0.0.1:{self.port}{self._prefix}{_quoted(path)}/"
            return _Answer(301, {"Location": target, "Content-Type": "text/html"}, b"moved")
        return _Answer(404, {"Content-Type": "text/html"}, b"not found")

    def _file_answer(self, request: Request, data: bytes) -> _Answer:
        modified_s = self.modified_s.get(request.path, DEFAULT_MODIFIED_S)
        headers = {
            "Last-Modified": formatdate(modified_s, usegmt=True),
            "ETag": f'"{len(data):x}-{modified_s:x}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        wanted = request.headers.get("range", "")
        if not wanted.startswith("bytes=") or not data:
            return _Answer(200, headers, data)
        if request.method == "HEAD" and not self.ranges_for_head:
            return _Answer(200, headers, data)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(data)) + 1, len(data))
        if start >= len(data):
            return _Answer(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        return _Answer(206, headers, data[start:stop])

    def _names(self) -> Iterable[str]:
        return [*self.files, *self.listings]

    def _listing(self, path: str) -> bytes | None:
        children: dict[str, str | None] = {}
        for name in self._names():
            if name.startswith(path) and name != path:
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
        link = html.escape(("./" if ":" in shown else "") + _quoted(shown))
        return (
            '<tr><td valign="top"><img src="/icons/x.gif" alt="[   ]"></td>'
            f'<td><a href="{link}">{html.escape(shown)}</a></td>'
            f'<td align="right">{time.strftime("%Y-%m-%d %H:%M", modified)}  </td>'
            f'<td align="right">{size}</td><td>&nbsp;</td></tr>\n'
        )


def _quoted(path: str) -> str:
    return quote_from_bytes(path.encode("utf-8", "surrogateescape"), safe="/!$&'()*+,-.:;=@_~")


class _End(Exception):
    """The client ended the connection."""


class _Conversation:
    """One connection of the server."""

    def __init__(
        self, server: BrokenServer, connection: socket.socket, raw: socket.socket, number: int
    ) -> None:
        self._server = server
        self._connection = connection
        self._raw = raw
        self._number = number
        self._received = b""
        self._arrived_s = 0.0
        self._served = 0
        self._late: list[tuple[Request, _Answer]] = []

    def run(self) -> None:
        while True:
            request = self._next_request()
            self._served += 1
            fault = self._server._take_fault(request)
            if self._server.latency_s:
                due_s = request.received_s + self._server.latency_s
                self._pause(max(0.0, due_s - time.monotonic()))
            if not self._respond(request, fault):
                return

    def _next_request(self) -> Request:
        self._connection.settimeout(self._server.keep_alive_s)
        while b"\r\n\r\n" not in self._received:
            data = self._connection.recv(65536)
            if not data:
                raise _End
            self._received += data
            self._arrived_s = time.monotonic()
        self._connection.settimeout(None)
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in map(_colon, lines)}
        raw_path = target.partition("?")[0].removeprefix(self._server._prefix)
        path = unquote_to_bytes(raw_path).decode("utf-8", "surrogateescape")
        return Request(method, path, headers, self._number, self._arrived_s)

    def _respond(self, request: Request, fault: Fault | None) -> bool:
        """Answer as the fault wants; returns whether the connection goes on."""
        kind = "" if fault is None else fault.kind
        if fault is None or kind in ("header", "content_range", "whole_file", "answer"):
            return self._send(request, self._bent(request, fault))
        if kind == "drop_answer":
            return True
        if kind == "out_of_step":
            self._late.append((request, self._server._answer(request)))
            return True
        if kind == "delay":
            self._pause(fault.amount)
            return self._send(request, self._server._answer(request))
        if kind == "silence":
            return self._stay_silent()
        if kind == "close":
            return False
        if kind == "reset_request":
            return self._reset()
        if kind == "garbage":
            self._connection.sendall(fault.body)
            return True
        return self._send_badly(request, fault, self._server._answer(request))

    def _send_badly(self, request: Request, fault: Fault, answer: _Answer) -> bool:
        body = b"" if request.method == "HEAD" else answer.body
        if fault.kind in ("chunked", "until_end"):
            return self._send_framed(request, fault, answer)
        head = self._head(request, answer)
        if fault.kind == "trickle_headers":
            self._send_slowly(head, fault.amount)
            self._connection.sendall(body)
            return True
        if fault.kind == "reset_headers":
            self._connection.sendall(head[: int(fault.amount) or len(head) // 2])
            return self._reset()
        self._connection.sendall(head)
        if fault.kind == "trickle":
            self._send_slowly(body, fault.amount)
            return True
        if fault.kind == "long_body":
            self._connection.sendall(body + fault.body)
            return True
        if fault.kind == "short_body":
            self._connection.sendall(body[: len(body) - int(fault.amount)])
            return False
        self._connection.sendall(body[: int(fault.amount)])
        return self._reset() if fault.kind == "reset_body" else self._stay_silent()

    def _send_framed(self, request: Request, fault: Fault, answer: _Answer) -> bool:
        if fault.kind == "until_end":
            head = self._head(request, replace(answer, ends=True), Content_Length="")
            self._connection.sendall(head + answer.body)
            return False
        head = self._head(request, answer, Content_Length="", Transfer_Encoding="chunked")
        self._connection.sendall(head)
        body = answer.body + fault.body
        for start in range(0, len(body), 5000):
            part = body[start : start + 5000]
            self._connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        self._connection.sendall(b"0\r\n\r\n")
        return True

    def _bent(self, request: Request, fault: Fault | None) -> _Answer:
        if fault is None:
            return self._server._answer(request)
        if fault.kind == "answer":
            return _Answer(fault.status, dict(fault.headers), fault.body)
        if fault.kind == "whole_file":
            headers = {key: value for key, value in request.headers.items() if key != "range"}
            return self._server._answer(replace(request, headers=headers))
        answer = self._server._answer(request)
        if fault.kind == "content_range":
            answer.headers["Content-Range"] = fault.text
        answer.headers.update(fault.headers)
        return answer

    def _send(self, request: Request, answer: _Answer) -> bool:
        late, self._late = self._late, []
        for each, its_answer in [(request, answer), *late]:
            body = b"" if each.method == "HEAD" else its_answer.body
            self._connection.sendall(self._head(each, its_answer) + body)
        return not self._is_last

    @property
    def _is_last(self) -> bool:
        limit = self._server.max_requests
        return limit is not None and self._served >= limit

    def _head(self, request: Request, answer: _Answer, **changes: str) -> bytes:
        headers = {"Date": formatdate(usegmt=True), "Server": "Broken"}
        # Apache leaves out a length of 0 for HEAD.
        if answer.body or request.method != "HEAD":
            headers["Content-Length"] = str(len(answer.body))
        if self._is_last or answer.ends:
            headers["Connection"] = "close"
        elif self._server.keeps_alive_header and "keep-alive" in request.headers.get(
            "connection", ""
        ):
            headers["Connection"] = "Keep-Alive"
            headers["Keep-Alive"] = f"timeout={self._server.keep_alive_s:.0f}"
            if self._server.max_requests is not None:
                headers["Keep-Alive"] += f", max={self._server.max_requests - self._served}"
        headers.update(answer.headers)
        headers.update({name.replace("_", "-"): value for name, value in changes.items()})
        lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Other')}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _send_slowly(self, data: bytes, bytes_per_s: float) -> None:
        for index in range(len(data)):
            self._connection.sendall(data[index : index + 1])
            self._pause(1 / bytes_per_s)

    def _pause(self, seconds: float) -> None:
        if self._server._released.wait(seconds):
            raise _End

    def _stay_silent(self) -> bool:
        # Reading goes on, so that it is seen how the client ends this.
        self._raw.settimeout(0.05)
        while not self._server._released.is_set():
            with contextlib.suppress(TimeoutError):
                if not self._raw.recv(65536):
                    raise _End
        return False

    def _reset(self) -> bool:
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return False


def _is_over(connection: socket.socket) -> bool:
    poll = select.poll()
    try:
        poll.register(connection, select.POLLRDHUP)
    except ValueError:
        return True
    return bool(poll.poll(0))


def _colon(line: str) -> tuple[str, str, str]:
    return line.partition(":")
