"""A line that carries requests of the requests library.

requests and urllib3 open connections when they see fit and keep them where nobody counts
them. Here they get one Session with a pool of one for each line, open connections only
through our own sockets (counted, watched, resolved aside), never follow a redirect, repeat
nothing, and keep no cookies.

What comes back is an `Exchange`: status and headers, and a body that is received straight
into the caller's memory. `http.client` frames it (Content-Length or chunks) and reads into
a given buffer without a copy; urllib3's own `readinto` copies, and may decode.

Errors of requests, urllib3, http.client and ssl end here.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast

import requests
import requests.adapters
import urllib3.connection
import urllib3.connectionpool
import urllib3.exceptions

from empiarfs.archive.connections import ConnectionBudget
from empiarfs.archive.environment import Origin
from empiarfs.archive.lines import Line
from empiarfs.archive.sockets import AnySocket, Breaker, Resolver, WatchedSocket, open_socket
from empiarfs.archive.watch import TICK_S, Watch
from empiarfs.errors import (
    ArchiveError,
    BadResponseError,
    EmpiarFSError,
    StalledError,
    UnavailableError,
    UnreachableError,
)
from empiarfs.stats import Counters


@dataclass(frozen=True, slots=True)
class Network:
    """What all lines of a client share.

    Attributes:
        origin: Where the archive is.
        proxies: Proxies by scheme, empty for none.
        context: For TLS; None for an archive without.
        resolver: Looks names up.
        budget: Allows new connections.
        connect_timeout_s: For name resolution, all addresses and TLS together.
        user_agent: Value of the User-Agent header.
        counters: Counts connections.
    """

    origin: Origin
    proxies: Mapping[str, str]
    context: ssl.SSLContext | None
    resolver: Resolver
    budget: ConnectionBudget
    connect_timeout_s: float
    user_agent: str
    counters: Counters

    def open(self, host: str, port: int, watch: Watch) -> WatchedSocket:
        """Return a new connected socket, as soon as the machine's pace allows one."""
        self.budget.wait_to_connect(watch.check)
        self.counters.add("connections_opened")
        return open_socket(
            self.resolver, host, port, timeout_s=self.connect_timeout_s, watch=watch
        )


class _Reader(io.BufferedReader):
    """Notes at its end whether more had been received than belonged to the answer."""

    left_over = False

    def close(self) -> None:
        raw = self.raw
        if not self.closed and isinstance(raw, _LastDrops):
            raw.is_over = True
            # Nothing is received any more, so this is what the buffer still holds.
            self.left_over = bool(self.peek())
        super().close()


class _LastDrops(io.RawIOBase):
    """The receiving side of a socket, which can be told to receive no more."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return 0 if self.is_over else self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer whose framing is checked for bytes behind its end."""

    def __init__(self, sock: AnySocket, debuglevel: int = 0, **options: Any) -> None:
        super().__init__(sock, debuglevel, **options)
        # Nothing has been received yet, so what http.client opened can be wrapped anew.
        self.reader = _Reader(_LastDrops(self.fp.detach()))
        self.fp = self.reader


class SessionLine(Line):
    """A line with a requests.Session of its own; see `Line` for who may use it."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.clear()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.adapters.clear()
        self._session.mount(network.origin.base_url.split("//")[0], _Adapter(self))
        self.watch: Watch | None = None
        self.answer: _Answer | None = None
        self._was_connected = False

    @property
    def network(self) -> Network:
        """What the line shares with the others."""
        return self._network

    @contextlib.contextmanager
    def exchange(
        self, method: str, url: str, headers: Mapping[str, str], watch: Watch
    ) -> Iterator[Exchange]:
        """Send a request and lend its answer.

        A kept connection that turns out dead before the first byte is replaced once: it had
        been closed while the request was on its way.

        Raises:
            UnreachableError: No connection.
            StalledError: No headers in time.
            UnavailableError: The connection broke.
            BadResponseError: What came isn't HTTP.
        """
        self.is_clean = False
        try:
            response = self._send(method, url, headers, watch)
        except UnavailableError as exc:
            dead = self.reused and not watch.received_bytes and self.socket is not None
            if not dead or isinstance(exc, StalledError):
                raise
            self.hang_up(reset=True)
            response = self._send(method, url, headers, watch)
        assert self.answer is not None
        exchange = Exchange(response, self.answer, watch)
        try:
            yield exchange
            self._finish(exchange)
        finally:
            if not self.is_clean:
                # Before the libraries close it in their way, which is without a reset.
                super().hang_up(reset=True)
            response.close()

    def hang_up(self, *, reset: bool) -> None:
        """See `Line.hang_up`."""
        super().hang_up(reset=reset)
        self._session.close()

    def connect(self, host: str, port: int) -> WatchedSocket:
        """Open the connection; called by urllib3 through `_new_conn`."""
        assert self.watch is not None
        super().hang_up(reset=True)
        connection = self._network.open(host, port, self.watch)
        connection.watch = self.watch
        # From here on the line can be ended from outside, also in the middle of TLS.
        self.attach(connection, Breaker(connection))
        return connection

    def connected(self, connection: AnySocket) -> None:
        """Note the socket that the requests go through, perhaps one with TLS around it."""
        self.socket = connection
        self._was_connected = True
        connection.settimeout(TICK_S)
        if self.watch is not None:
            connection.watch = self.watch
            # The answer's time is counted from the request, not from the first packet.
            self.watch.sent()

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], watch: Watch
    ) -> requests.Response:
        self.watch = watch
        self._was_connected = self.socket is not None
        if self.socket is not None:
            self.socket.watch = watch
        request = requests.Request(method, url, headers=self._headers(headers)).prepare()
        # requests tidies URLs up, which would change what some names mean.
        request.url = url
        watch.sent()
        try:
            return self._session.send(
                request,
                stream=True,
                timeout=(self._network.connect_timeout_s, TICK_S),
                allow_redirects=False,
                proxies=dict(self._network.proxies),
                verify=True,
            )
        except EmpiarFSError:
            raise
        except Exception as exc:
            # A line that was ended looks broken: the reason comes first.
            watch.check()
            if not self._was_connected:
                raise UnreachableError(f"no connection: {_reason(exc)}", url=watch.url) from exc
            raise _translated(exc, watch.url) from exc

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        origin = self._network.origin
        common = {"Host": origin.host_header, "User-Agent": self._network.user_agent}
        if origin.authorization is not None:
            common["Authorization"] = origin.authorization
        return {**common, "Accept": "*/*", **headers}

    def _finish(self, exchange: Exchange) -> None:
        self.reused = True
        answer = exchange.answer
        self.note_keep_alive(exchange.headers.get("Keep-Alive", ""))
        if not answer.isclosed() or answer.reader.left_over or self.socket is None:
            return
        if answer.will_close:
            self.requests_left = 0
        else:
            exchange.response.raw.release_conn()
        self.is_clean = True


class Exchange:
    """An answer whose body has not been read yet.

    Attributes:
        status: HTTP status code.
        headers: Keys compare without case.
        left: Bytes of the body still to come, or None if only its end will tell.
    """

    def __init__(self, response: requests.Response, answer: _Answer, watch: Watch) -> None:
        self.response = response
        self.answer = answer
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.latency_s = watch.headers_done()
        self._watch = watch
        self.left: int | None = None if answer.isclosed() else answer.length

    def fill(self, buffer: memoryview) -> None:
        """Receive bytes of the body until `buffer` is full.

        Raises:
            UnavailableError: The body ended before, or the connection broke.
            StalledError: It comes too slowly.
        """
        filled = 0
        while filled < len(buffer):
            count = self._read(buffer[filled:])
            if not count:
                missing = len(buffer) - filled
                raise UnavailableError(
                    f"the body ended {missing} bytes early", url=self._watch.url
                )
            filled += count

    def receive(self, buffer: memoryview) -> int:
        """Receive some bytes of the body; returns how many, 0 at its end.

        Raises:
            UnavailableError: The body ended before its announced end.
        """
        before = self.answer.length
        count = self._read(buffer)
        if not count and before:
            raise UnavailableError(f"the body ended {before} bytes early", url=self._watch.url)
        return count

    def drain(self, limit: int = 16 * 1024) -> None:
        """Throw a short body away, such as an error page's, so that the line can be kept."""
        if self.left is not None and self.left <= limit:
            buffer = memoryview(bytearray(limit))
            while self.receive(buffer):
                pass

    def check_end(self) -> None:
        """Raise if the body goes on where it should end.

        Raises:
            BadResponseError: There are more bytes than announced.
        """
        if not self.answer.isclosed() and self._read(memoryview(bytearray(1))):
            raise BadResponseError("the body is longer than announced", url=self._watch.url)

    def _read(self, buffer: memoryview) -> int:
        try:
            return self.answer.readinto(buffer)
        except (OSError, http.client.HTTPException) as exc:
            raise _translated(exc, self._watch.url) from exc


class _Adapter(requests.adapters.HTTPAdapter):
    """Gives requests a pool of one, whose connections are our line's."""

    def __init__(self, line: SessionLine) -> None:
        self._line = line
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools ours; they share one TLS context."""
        context = self._line.network.context
        super().init_poolmanager(*args, ssl_context=context, **options)
        self._take_over(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the pools behind a proxy ours."""
        options["ssl_context"] = self._line.network.context
        manager = super().proxy_manager_for(proxy, **options)
        self._take_over(manager)
        return manager

    def cert_verify(self, conn: Any, *_: Any) -> None:
        """Always verify; the context knows the authorities."""
        # The inherited one would load the bundle of authorities anew for each connection.
        conn.cert_reqs = "CERT_REQUIRED"

    def _take_over(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            "http": partial(_HttpPool, line=self._line),
            "https": partial(_HttpsPool, line=self._line),
        }


class _HttpPool(urllib3.connectionpool.HTTPConnectionPool):
    def __init__(self, *args: Any, line: SessionLine, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ConnectionCls = partial(_HttpConnection, line=line)  # type: ignore[assignment]


class _HttpsPool(urllib3.connectionpool.HTTPSConnectionPool):
    def __init__(self, *args: Any, line: SessionLine, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ConnectionCls = partial(_HttpsConnection, line=line)  # type: ignore[assignment]


def _answer_of(line: SessionLine, *args: Any, **options: Any) -> _Answer:
    line.answer = _Answer(*args, **options)
    return line.answer


class _HttpConnection(urllib3.connection.HTTPConnection):
    def __init__(self, *args: Any, line: SessionLine, **options: Any) -> None:
        super().__init__(*args, **options)
        self._line = line
        self.response_class = partial(_answer_of, line)  # type: ignore[assignment]

    def _new_conn(self) -> WatchedSocket:
        return self._line.connect(self.host, self.port)

    def connect(self) -> None:
        super().connect()
        self._line.connected(cast(AnySocket, self.sock))


class _HttpsConnection(urllib3.connection.HTTPSConnection):
    def __init__(self, *args: Any, line: SessionLine, **options: Any) -> None:
        super().__init__(*args, **options)
        self._line = line
        self.response_class = partial(_answer_of, line)  # type: ignore[assignment]

    def _new_conn(self) -> WatchedSocket:
        return self._line.connect(self.host, self.port)

    def connect(self) -> None:
        super().connect()
        self._line.connected(cast(AnySocket, self.sock))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        reason = getattr(each, "reason", None)
        inner = (*each.args, reason, each.__cause__, each.__context__)
        waiting += [item for item in inner if isinstance(item, BaseException)]


def _translated(error: Exception, url: str) -> ArchiveError:
    """Return our error for one of requests, urllib3, http.client, ssl or the socket."""
    causes = list(_causes(error))
    broken = (http.client.RemoteDisconnected, http.client.IncompleteRead)
    garbage = (http.client.HTTPException, urllib3.exceptions.InvalidHeader, UnicodeError)
    if any(isinstance(each, broken) for each in causes):
        return UnavailableError(f"the connection was lost: {_reason(error)}", url=url)
    if any(isinstance(each, garbage) for each in causes):
        return BadResponseError(f"the answer isn't valid HTTP: {_reason(error)}", url=url)
    if any(isinstance(each, TimeoutError) for each in causes):
        return StalledError(f"the connection doesn't move: {_reason(error)}", url=url)
    return UnavailableError(f"the connection was lost: {_reason(error)}", url=url)


def _reason(error: BaseException) -> str:
    # The innermost message: the outer ones are Python objects turned into text.
    inner = list(_causes(error))[-1]
    text = str(inner) or type(inner).__name__
    return text[:200]
