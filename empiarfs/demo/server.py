"""Serves a directory on 127.0.0.1 as EMPIAR's server would.

HTTP/1.1 with keep-alive and pipelining, HEAD, single ranges, Last-Modified, listing pages
in Apache's form, a redirect where the slash of a directory is missing. It counts what it
sends, and tells the counts at `/counts.json`, which isn't counted itself.

It never leaves its directory (see `resolve`), and serves nothing but regular files and
directories. It listens on 127.0.0.1 only and takes no more than `_MAX_CONNECTIONS`
connections at once.

Threading: one thread for each connection; the counts have a lock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import socketserver
import stat
import sys
import threading
from dataclasses import asdict, dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from empiarfs.core.ranges import ByteRange
from empiarfs.demo.pages import link_to, listing_page
from empiarfs.demo.resolve import PREFIX, names_in, open_below, rows_of, wanted_range

logger = logging.getLogger(__name__)

COUNTS_PATH = "/counts.json"
# A client that keeps to EMPIAR's limit of about 25 never comes near.
_MAX_CONNECTIONS = 64
# Longer than the 5 s of Apache's keep-alive, since it also bounds a slow receiver.
_IDLE_S = 30.0


@dataclass(frozen=True, slots=True)
class ServerCounts:
    """What a server has answered so far.

    Attributes:
        listings: Listing pages.
        heads: HEAD requests for files.
        ranges: Answers with a part of a file.
        wholes: Answers with a whole file.
        others: Redirects, refusals, and HEAD requests for directories.
        page_bytes: Bytes of listing pages.
        file_bytes: Bytes of files.
    """

    listings: int = 0
    heads: int = 0
    ranges: int = 0
    wholes: int = 0
    others: int = 0
    page_bytes: int = 0
    file_bytes: int = 0

    @property
    def requests(self) -> int:
        """All requests together."""
        return self.listings + self.heads + self.ranges + self.wholes + self.others

    @property
    def sent_bytes(self) -> int:
        """All bytes sent, without headers."""
        return self.page_bytes + self.file_bytes

    def __sub__(self, earlier: ServerCounts) -> ServerCounts:
        mine, theirs = asdict(self), asdict(earlier)
        return ServerCounts(**{name: mine[name] - theirs[name] for name in mine})


class DemoServer:
    """Serves `root` until it is stopped; safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self._server = _Server(root)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="demo server"
        )

    @property
    def url(self) -> str:
        """The archive's base URL, with a slash at its end."""
        return f"{self._server.origin}{PREFIX}"

    def counts(self) -> ServerCounts:
        """Return what was answered so far."""
        return self._server.counts()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End all connections and every thread; may be called again."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.end_connections()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """The listening socket, its connections and the counts."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = _MAX_CONNECTIONS

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._counts = ServerCounts()  # guarded by _lock
        self._connections: set[socket.socket] = set()  # guarded by _lock
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origin = f"http://127.0.0.1:{self.server_port}"

    def counts(self) -> ServerCounts:
        """Return what was answered so far."""
        with self._lock:
            return self._counts

    def count(self, **amounts: int) -> None:
        """Add to the named counts."""
        with self._lock:
            changed = {name: getattr(self._counts, name) + n for name, n in amounts.items()}
            self._counts = replace(self._counts, **changed)

    def end_connections(self) -> None:
        """Wake every thread that waits for a client, so that it ends."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def server_bind(self) -> None:
        # HTTPServer's own looks the address up in the DNS, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            has_room = len(self._connections) < _MAX_CONNECTIONS
            if has_room:
                self._connections.add(request)
        if has_room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away in the middle is the usual case, and nobody's fault.
        usual = isinstance(sys.exc_info()[1], OSError)
        level = logging.DEBUG if usual else logging.ERROR
        logger.log(level, "the connection of %s ended", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after another, in order."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "empiarfs-demo"
    sys_version = ""
    timeout = _IDLE_S
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # status, headers and a small body leave in one packet

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        logger.debug(format, *args)

    def _answer(self) -> None:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            # The body would be taken for the next request.
            self.close_connection = True
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        raw = self.path.encode("latin-1").partition(b"?")[0]
        if raw == COUNTS_PATH.encode():
            self._send_counts()
            return
        if raw + b"/" == PREFIX.encode():
            self._redirect(raw)
            return
        names = names_in(raw)
        if names is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            descriptor = open_below(self.server.root, names)
        except OSError as exc:
            denied = isinstance(exc, PermissionError)
            self._refuse(HTTPStatus.FORBIDDEN if denied else HTTPStatus.NOT_FOUND)
            return
        try:
            self._send(descriptor, names, has_slash=raw.endswith(b"/"))
        finally:
            os.close(descriptor)

    def _send(self, descriptor: int, names: list[bytes], *, has_slash: bool) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            path = b"/".join([PREFIX.encode().rstrip(b"/"), *names])
            if has_slash:
                self._send_listing(descriptor, path + b"/")
            else:
                self._redirect(path)
        elif stat.S_ISREG(status.st_mode) and not has_slash:
            self._send_file(descriptor, status)
        else:
            self._refuse(HTTPStatus.NOT_FOUND)

    def _send_listing(self, descriptor: int, path: bytes) -> None:
        page = listing_page(path, rows_of(descriptor))
        if self.command == "HEAD":
            self.server.count(others=1)
        else:
            self.server.count(listings=1, page_bytes=len(page))
        self._send_page(HTTPStatus.OK, page, "text/html;charset=UTF-8")

    def _send_file(self, descriptor: int, status: os.stat_result) -> None:
        modified = formatdate(int(status.st_mtime), usegmt=True)
        etag = f'"{status.st_size:x}-{status.st_mtime_ns // 1000:x}"'
        wanted = None
        # If-Range means: the whole file, should it be another version by now.
        if self.command == "GET" and self.headers.get("If-Range", etag) in (etag, modified):
            wanted = wanted_range(self.headers.get("Range", ""), status.st_size)
        if wanted is not None and not wanted:
            self._refuse(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                {"Content-Range": f"bytes */{status.st_size}"},
            )
            return
        body = ByteRange(0, status.st_size) if wanted is None else wanted
        self.send_response(HTTPStatus.OK if wanted is None else HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Last-Modified", modified)
        self.send_header("ETag", etag)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(body)))
        if wanted is not None:
            extent = f"bytes {wanted.start}-{wanted.stop - 1}/{status.st_size}"
            self.send_header("Content-Range", extent)
        self.end_headers()
        if self.command == "HEAD":
            self.server.count(heads=1)
        else:
            self._send_bytes(descriptor, body, is_part=wanted is not None)

    def _send_bytes(self, descriptor: int, body: ByteRange, *, is_part: bool) -> None:
        # Counted before they leave: whoever has the last byte finds it in the counts.
        kind = {"ranges": 1} if is_part else {"wholes": 1}
        self.server.count(**kind, file_bytes=len(body))
        self.wfile.flush()
        if not body:
            return
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            try:
                self.connection.sendfile(file, body.start, len(body))
            finally:
                # The socket leaves the file where it got to, also if the client is gone.
                missing = len(body) - max(0, file.tell() - body.start)
                self.server.count(file_bytes=-missing)
                self.close_connection |= missing > 0

    def _redirect(self, path: bytes) -> None:
        location = f"{self.server.origin}{link_to(path)}/"
        self._refuse(HTTPStatus.MOVED_PERMANENTLY, {"Location": location})

    def _refuse(self, status: HTTPStatus, headers: dict[str, str] | None = None) -> None:
        self.server.count(others=1)
        page = f"<html><head><title>{status.value} {status.phrase}</title></head></html>\n"
        self._send_page(status, page.encode(), "text/html;charset=UTF-8", headers)

    def _send_counts(self) -> None:
        page = json.dumps(asdict(self.server.counts())).encode()
        self._send_page(HTTPStatus.OK, page, "application/json")

    def _send_page(
        self, status: HTTPStatus, page: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(page)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)
