"""A line that carries requests of the requests library.

One Session for each line, which follows no redirect, repeats nothing, keeps no cookies and
looks at no environment. What comes back is an `Exchange`: status and headers, and a body
that is received straight into the caller's memory.

Errors of requests, urllib3, http.client and ssl end here.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy

import requests

from empiarfs.archive.connections import ConnectionBudget
from empiarfs.archive.environment import Origin
from empiarfs.archive.lines import Line
from empiarfs.archive.sockets import AnySocket, Breaker, Resolver, WatchedSocket, open_socket
from empiarfs.archive.translate import reason_of, translated
from empiarfs.archive.transport import Adapter, Answer
from empiarfs.archive.watch import TICK_S, Watch
from empiarfs.errors import (
    BadResponseError,
    EmpiarFSError,
    StalledError,
    UnavailableError,
    UnreachableError,
    without_frames,
)
from empiarfs.stats import Counters

# Without a body by definition, and an answer to nothing that is ever asked here: whoever sends
# them is out of step, and may send something else behind them.
_UNASKED = (204, 205, 304)


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

    def open(self, host: str, port: int, watch: Watch, line: Line) -> WatchedSocket:
        """Return a new connected socket, as soon as the machine's pace allows one."""
        if line.slot is not None and line.slot.may_connect:
            line.slot.may_connect = False
        else:
            self.budget.wait_to_connect(urgent=line.urgent, check=watch.check)
        self.counters.add("connections_opened")
        return open_socket(
            self.resolver, host, port, timeout_s=self.connect_timeout_s, watch=watch
        )


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
        # By a proxy, since the two would else keep each other until the collector of garbage
        # comes, which is practically never: 5 MB a minute where connections break.
        plug = weakref.proxy(self)
        self._session.mount(network.origin.base_url.split("//")[0], Adapter(plug))
        self.watch: Watch | None = None
        self.answer: Answer | None = None
        self._was_connected = False
        # Whether the connection was made for other requests, and the library knows nothing of it.
        self._is_ours = False

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS context of all connections."""
        return self._network.context

    @contextlib.contextmanager
    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        watch: Watch,
        body: bytes | None = None,
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
            response = self._sent(method, url, headers, watch, body)
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
        finally:
            # A line holds on to nothing of its last caller, not even one that has failed: by
            # its watch that would be all that the caller had received.
            self.watch = self.answer = None

    def _sent(
        self, method: str, url: str, headers: Mapping[str, str], watch: Watch, body: bytes | None
    ) -> requests.Response:
        """Send a request, again if the connection turns out to have been dead."""
        try:
            return self._send(method, url, headers, watch, body)
        except UnavailableError as exc:
            dead = self.reused and not watch.received_bytes and self.socket is not None
            if not dead or isinstance(exc, StalledError):
                raise
            # Those of urllib3 hold the error themselves, and by the watch the caller's bytes.
            without_frames(exc)
        self.hang_up(reset=True)
        self.answer = None
        return self._send(method, url, headers, watch, body)

    def hang_up(self, *, reset: bool) -> None:
        """See `Line.hang_up`."""
        super().hang_up(reset=reset)
        self._session.close()
        self._is_ours = False

    def standing(self) -> AnySocket | None:
        """Return, once, a connection that was not made for the library."""
        self._is_ours, is_ours = False, self._is_ours
        return self.socket if is_ours else None

    def connect(self, host: str, port: int) -> WatchedSocket:
        """Open the connection; called by urllib3 through `_new_conn`."""
        assert self.watch is not None
        super().hang_up(reset=True)
        connection = self._network.open(host, port, self.watch, self)
        connection.watch = self.watch
        # From here on the line can be ended from outside, also in the middle of TLS.
        self.attach(connection, Breaker(connection))
        return connection

    def connected(self, connection: AnySocket) -> None:
        """Note the socket that the requests go through, perhaps one with TLS around it."""
        self.socket = connection
        self._was_connected = True
        connection.start_ticking()
        if self.watch is not None:
            connection.watch = self.watch
            # The answer's time is counted from the request, not from the first packet.
            self.watch.sent()

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], watch: Watch, body: bytes | None
    ) -> requests.Response:
        self.watch = watch
        self._was_connected = self.socket is not None
        if self.socket is not None:
            self.socket.watch = watch
        prepared = requests.Request(method, url, headers=self._headers(headers), data=body)
        request = prepared.prepare()
        # requests tidies URLs up, which would change what some names mean.
        request.url = url
        watch.sent(connected=self.socket is not None)
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
                raise UnreachableError(f"no connection: {reason_of(exc)}", url=watch.url) from exc
            raise translated(exc, watch.url) from exc

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        origin = self._network.origin
        common = {"Host": origin.host_header, "User-Agent": self._network.user_agent}
        if origin.authorization is not None:
            common["Authorization"] = origin.authorization
        # HTTP/1.1 keeps connections anyway, but only who asks is told for how long.
        return {**common, "Accept": "*/*", "Connection": "keep-alive", **headers}

    def _finish(self, exchange: Exchange) -> None:
        self.reused = True
        answer = exchange.answer
        self.note_keep_alive(exchange.headers.get("Keep-Alive", ""))
        if not answer.isclosed() or answer.reader.left_over or self.socket is None:
            return
        if exchange.status in _UNASKED:
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

    def __init__(self, response: requests.Response, answer: Answer, watch: Watch) -> None:
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
            raise translated(exc, self._watch.url) from exc
