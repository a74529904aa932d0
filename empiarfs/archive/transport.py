"""requests and urllib3, made to use one connection of ours and nothing else.

They open connections when they see fit and keep them where nobody counts them. Here each
`Adapter` has a pool of one; what it connects through is its `Plug`'s, and the answer that
`http.client` reads from it is handed to the plug too, since it can receive straight into
given memory, which urllib3's own `readinto` can't: that one copies, and may decode.

Threading: an adapter belongs to its line's thread.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
from functools import partial
from typing import Any, Protocol

import requests.adapters
import urllib3.connection
import urllib3.connectionpool

from empiarfs.archive.sockets import AnySocket, WatchedSocket, WatchedTlsSocket

# One is usual, for hints; an archive that goes on and on won't answer.
_MOST_INTERIM = 16


class Plug(Protocol):
    """Where an adapter's connection comes from, and where its answers go."""

    answer: Answer | None

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS context of all connections."""
        ...

    def standing(self) -> AnySocket | None:
        """Return a connection that was made by others and is to be used, or None."""
        ...

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a new connected socket."""
        ...

    def connected(self, connection: AnySocket) -> None:
        """Note the socket that requests go through, perhaps one with TLS around it."""
        ...


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


class Answer(http.client.HTTPResponse):
    """An answer whose framing is checked for bytes behind its end.

    Interim answers (1xx) are passed over. http.client knows of 100 only and takes any other
    for the answer: the real one would be found on the connection by the next request, and
    nothing but its range and version would tell that it belongs to another file.
    """

    def __init__(self, sock: AnySocket, debuglevel: int = 0, **options: Any) -> None:
        super().__init__(sock, debuglevel, **options)
        # Nothing has been received yet, so what http.client opened can be wrapped anew.
        self.reader = _Reader(_LastDrops(self.fp.detach()))
        self.fp = self.reader

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MOST_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == http.client.SWITCHING_PROTOCOLS:
                break
            if status == http.client.CONTINUE or status >= http.client.OK:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.BadStatusLine("nothing but interim answers")


class Adapter(requests.adapters.HTTPAdapter):
    """Gives requests a pool of one, whose connections are the plug's."""

    def __init__(self, plug: Plug) -> None:
        self._plug = plug
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools ours; they share one TLS context."""
        context = self._plug.context
        super().init_poolmanager(*args, ssl_context=context, **options)
        self._take_over(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Make the pools behind a proxy ours."""
        options["ssl_context"] = self._plug.context
        manager = super().proxy_manager_for(proxy, **options)
        self._take_over(manager)
        return manager

    def cert_verify(self, conn: Any, *_: Any) -> None:
        """Always verify; the context knows the authorities."""
        # The inherited one would load the bundle of authorities anew for each connection.
        conn.cert_reqs = "CERT_REQUIRED"

    def _take_over(self, manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            "http": partial(_HttpPool, plug=self._plug),
            "https": partial(_HttpsPool, plug=self._plug),
        }


class _HttpPool(urllib3.connectionpool.HTTPConnectionPool):
    def __init__(self, *args: Any, plug: Plug, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ConnectionCls = partial(_HttpConnection, plug=plug)  # type: ignore[assignment]


class _HttpsPool(urllib3.connectionpool.HTTPSConnectionPool):
    def __init__(self, *args: Any, plug: Plug, **options: Any) -> None:
        super().__init__(*args, **options)
        self.ConnectionCls = partial(_HttpsConnection, plug=plug)  # type: ignore[assignment]


def _watched(connection: object) -> AnySocket:
    # Another kind would wait for ever: better no connection than one without deadlines.
    if not isinstance(connection, (WatchedSocket, WatchedTlsSocket)):
        raise TypeError(f"urllib3 made a socket of its own: {type(connection).__name__}")
    return connection


def _answer_of(plug: Plug, *args: Any, **options: Any) -> Answer:
    answer = Answer(*args, **options)
    plug.answer = answer
    return answer


class _HttpConnection(urllib3.connection.HTTPConnection):
    def __init__(self, *args: Any, plug: Plug, **options: Any) -> None:
        super().__init__(*args, **options)
        self._plug = plug
        self.response_class = partial(_answer_of, plug)  # type: ignore[assignment]

    def _new_conn(self) -> socket.socket:
        return self._plug.connect(self.host, self.port)

    def connect(self) -> None:
        standing = self._plug.standing()
        if standing is not None:
            self.sock = standing
            self.is_verified = True  # by the context that all connections share
            return
        super().connect()
        self._plug.connected(_watched(self.sock))


class _HttpsConnection(_HttpConnection, urllib3.connection.HTTPSConnection):
    """The same in TLS."""
