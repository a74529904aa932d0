"""A line that carries HEAD requests back to back, and reads their answers in order.

requests can't send a second request before the first is answered, and no kept library can.
An answer to HEAD has no body, so its framing is a read up to the blank line.

This module frames; whose answer it is, and whether it may be believed, is decided in
sizes.py. Only for archives that are reached without a proxy.

Threading: a line belongs to the thread that borrowed it.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from requests.structures import CaseInsensitiveDict

from empiarfs.archive.session import Network, SessionLine
from empiarfs.archive.sockets import AnySocket, Breaker
from empiarfs.archive.watch import Watch
from empiarfs.errors import BadResponseError, StalledError, UnavailableError, UnreachableError

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?")
_MAX_HEADERS = 64 * 1024


@dataclass(frozen=True, slots=True)
class HeadAnswer:
    """One answer to a HEAD request.

    Attributes:
        status: HTTP status code.
        headers: Keys compare without case.
        is_last: Whether the archive closes the connection behind it.
    """

    status: int
    headers: Mapping[str, str]
    is_last: bool


class PipelineLine(SessionLine):
    """A line for pipelined HEAD requests, and others; see `Line` for who may use it."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._received = bytearray()
        self._buffer = bytearray(16 * 1024)

    def begin(self, watch: Watch) -> None:
        """Connect if there is no connection yet; receives are watched by `watch`.

        Raises:
            UnreachableError: No connection.
        """
        if self.socket is None:
            self._open(watch)
        assert self.socket is not None
        self.socket.watch = watch

    def send(self, targets: list[str], headers: list[str]) -> None:
        """Send a HEAD request for each URL path, with one more header line each ("" for none).

        Raises:
            UnavailableError: The connection broke.
            StalledError: The archive takes no more.
        """
        connection = self._connection()
        url = self._network.origin.base_url
        requests = [self._request(*each) for each in zip(targets, headers, strict=True)]
        self._network.counters.add("requests", len(targets))
        self._network.counters.add("head_requests", len(targets))
        try:
            connection.sendall(b"".join(requests))
        except TimeoutError as exc:
            raise StalledError("the archive takes no requests", url=url) from exc
        except OSError as exc:
            self._check_watch()
            raise UnavailableError(f"the connection was lost: {exc}", url=url) from exc

    def next_answer(self, url: str) -> HeadAnswer:
        """Return the next answer.

        Args:
            url: What it should be the answer to, for messages.

        Raises:
            StalledError: None came in the time that the watch allows.
            UnavailableError: The connection ended or broke.
            BadResponseError: What came isn't an answer to HEAD.
        """
        while True:
            answer = self._take_answer(url)
            if answer is None:
                self._receive(url)
            elif answer.status >= 200:
                self.note_keep_alive(answer.headers.get("Keep-Alive", ""))
                return answer

    @property
    def has_left_over(self) -> bool:
        """Whether more was received than was taken as answers."""
        return bool(self._received)

    def hang_up(self, *, reset: bool) -> None:
        """See `Line.hang_up`."""
        super().hang_up(reset=reset)
        self._received.clear()

    def _open(self, watch: Watch) -> None:
        origin = self._network.origin
        connection: AnySocket = self._network.open(origin.host, origin.port, watch, self)
        self.attach(connection, Breaker(connection))
        context = self._network.context
        if context is not None:
            try:
                wrapped = context.wrap_socket(connection, server_hostname=origin.host)
            except (OSError, ssl.CertificateError) as exc:
                watch.check()
                raise UnreachableError(f"no TLS: {exc}", url=watch.url) from exc
            assert not isinstance(wrapped, type(connection))
            self.socket = wrapped  # type: ignore[assignment]
        self._connection().start_ticking()
        self._is_ours = True

    def _connection(self) -> AnySocket:
        assert self.socket is not None
        return self.socket

    def _check_watch(self) -> None:
        if self.socket is not None and self.socket.watch is not None:
            self.socket.watch.check()

    def _request(self, target: str, header: str) -> bytes:
        origin = self._network.origin
        lines = [
            f"HEAD {target} HTTP/1.1",
            f"Host: {origin.host_header}",
            f"User-Agent: {self._network.user_agent}",
            "Accept: */*",
            "Accept-Encoding: identity",
            # HTTP/1.1 keeps connections anyway, but only who asks is told for how many more.
            "Connection: keep-alive",
        ]
        if origin.authorization is not None:
            lines.append(f"Authorization: {origin.authorization}")
        if header:
            lines.append(header)
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def _receive(self, url: str) -> None:
        try:
            count = self._connection().recv_into(self._buffer)
        except OSError as exc:
            raise UnavailableError(f"the connection was lost: {exc}", url=url) from exc
        if not count:
            raise UnavailableError("the archive closed the connection", url=url)
        self._received += self._buffer[:count]
        if len(self._received) > _MAX_HEADERS and b"\r\n\r\n" not in self._received:
            raise BadResponseError("endless headers", url=url)

    def _take_answer(self, url: str) -> HeadAnswer | None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        status_line, *lines = bytes(self._received[:end]).split(b"\r\n")
        del self._received[: end + 4]
        found = _STATUS_LINE.fullmatch(status_line)
        if found is None:
            raise BadResponseError(f"no status line: {status_line[:60]!r}", url=url)
        headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not name or name != name.strip() or name in headers:
                # Folded lines and repeated headers are legal for a few; none of those
                # matter here, and a repeated one that matters can't be judged.
                if colon and name.lower() in ("vary", "via", "set-cookie", "cache-control"):
                    continue
                raise BadResponseError(f"an unusable header line: {line[:60]!r}", url=url)
            headers[name] = value.strip()
        closes = "close" in headers.get("Connection", "").lower()
        keeps = "keep-alive" in headers.get("Connection", "").lower()
        is_last = closes or (found[1] == b"0" and not keeps)
        return HeadAnswer(int(found[2]), headers, is_last)
