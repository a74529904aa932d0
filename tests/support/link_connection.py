"""One connection over a simulated link: requests go up, replies come down, both delayed.

    client ── whole requests ──▶ delay ──▶ server
    client ◀── delay ◀── the link's rate ◀── the connection's rate ◀── server

A reply takes up room on the link when it is read from the server, in portions of a few
milliseconds; each reaches the client half a round trip after its last byte has passed. The
relay stops reading from a server while its client hasn't taken what came, so no more is
under way than half a round trip holds, and some portions.

A server doesn't know for half a round trip that its client has closed: until then replies
go on to take up room. The connection no longer counts as open, though: one that the client
opens next would arrive after the news.

Not modelled: TCP's slow start, lost packets, and the time that requests take up.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from contextlib import suppress
from typing import Protocol

from tests.support.link_http import NotHTTPError, ReplyReader, RequestReader, method_of
from tests.support.link_line import BUFFER_SIZE, Buffers, DelayLine
from tests.support.link_loop import Bottleneck, Loop
from tests.support.link_settings import LinkSettings

# A portion is what a connection carries in this time: little against a round trip, much
# against what a system call costs.
_PORTION_S = 0.005
_LEAST_PORTION = 16_384
# So much may be under way beside what half a round trip holds, for clients that are late.
_SPARE_PORTIONS = 4
_UNLIMITED_LINE = 4 * 2**20
_MOST_REQUEST_BYTES = 2**20
# Enough to be a portion ahead, and not so much that a server has "sent" megabytes that the
# link hasn't carried.
_SOCKET_BUFFER = 2**19
_READ_SIZE = 65_536
_GONE = select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP


class Owner(Protocol):
    """What a connection needs of the relay that it belongs to."""

    settings: LinkSettings
    loop: Loop
    bottleneck: Bottleneck
    buffers: Buffers

    def note(self, name: str, number: int = 1) -> None:
        """Add to one of the statistics."""
        ...

    def swallows_next(self) -> bool:
        """Count a request, and tell whether it is one that is never answered."""
        ...

    def cut_of_next(self) -> int | None:
        """Count a reply, and return after how many bytes it is to be cut, or None."""
        ...

    def is_closed(self, connection: Connection) -> None:
        """Learn that a connection counts as open no longer; may come twice."""
        ...

    def is_gone(self, connection: Connection) -> None:
        """Learn that nothing is left of a connection."""
        ...


class Connection:
    """A client's connection, and the one to the server that stands for its far end."""

    def __init__(self, owner: Owner, client: socket.socket, server: tuple[str, int]) -> None:
        self._owner = owner
        settings = owner.settings
        self._opened_s = time.monotonic() + settings.opening_round_trips * settings.round_trip_s
        self._free_s = 0.0  # when its own rate has carried all that was sent
        self._ready_s = 0.0  # since when it has been ready to send more
        self._is_reading = False  # waits for its turn, or for its client, not for the server
        self._is_full = False
        self._is_swallowed = False
        self._is_ended = False
        self._requests = RequestReader()
        self._replies = ReplyReader(owner.cut_of_next)
        self._up = DelayLine(owner.loop, owner.buffers, self._send_up)
        self._down = DelayLine(owner.loop, owner.buffers, self._send_down)
        self._client: socket.socket | None = client
        self._client_events = select.EPOLLIN | select.EPOLLRDHUP
        prepare(client, socket.SO_SNDBUF)
        owner.loop.add(client.fileno(), self._on_client, self._client_events)
        self._server: socket.socket | None = socket.socket()
        prepare(self._server, socket.SO_RCVBUF)
        self._server.connect_ex(server)  # what comes of it is learnt by reading
        self._server_events = select.EPOLLIN  # that the next one of is reported, once
        self._is_up_stuck = False
        owner.loop.add(
            self._server.fileno(), self._on_server, self._server_events | select.EPOLLONESHOT
        )

    # The client's side.

    def _on_client(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._watch_client(select.EPOLLOUT, False)
            self._down.flush()
        if self._client is None:
            return
        if events & select.EPOLLIN:
            self._read_client(self._client)
        elif events & _GONE:
            self._close_client()

    def _read_client(self, client: socket.socket) -> None:
        try:
            data = client.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close_client()
        elif self._is_ended:  # the server has closed, and answers with a reset
            self._owner.loop.at(
                time.monotonic() + self._owner.settings.round_trip_s, self.reset_client
            )
        else:
            self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        due_s = max(time.monotonic(), self._opened_s) + self._owner.settings.round_trip_s / 2
        try:
            requests = self._requests.feed(data)
        except NotHTTPError:
            self._owner.note("malformed")
            self.reset_client()
            return
        for request in requests:
            self._owner.note("requests")
            self._owner.note("bytes_up", len(request))
            if self._is_swallowed:
                self._owner.note("behind")
            elif self._owner.swallows_next():
                self._is_swallowed = True
            else:
                self._replies.expect(method_of(request))
                self._up.put(due_s, memoryview(request))
        if self._up.size > _MOST_REQUEST_BYTES:
            self._watch_client(select.EPOLLIN, False)

    def _watch_client(self, event: int, wanted: bool) -> None:
        events = self._client_events | event if wanted else self._client_events & ~event
        if self._client is not None and events != self._client_events:
            self._client_events = events
            self._owner.loop.change(self._client.fileno(), events)

    def _send_down(self, chunk: memoryview) -> int:
        if self._client is None:
            return len(chunk)
        try:
            taken = self._client.send(chunk)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._owner.note("bytes_lost", len(chunk))
            self._close_client()
            return len(chunk)
        self._watch_client(select.EPOLLOUT, taken < len(chunk))
        if self._is_full and self._down.size < self._most_under_way():
            self._is_full = False
            self._be_ready(max(time.monotonic(), self._free_s))
        return taken

    def _close_client(self) -> None:
        """Let go of the client; the server learns of it half a round trip later."""
        if self._client is None:
            return
        self._owner.loop.remove(self._client.fileno())
        self._client.close()
        self._client = None
        self._owner.is_closed(self)
        self._owner.note("bytes_lost", self._down.clear())
        now = max(time.monotonic(), self._opened_s)
        self._owner.loop.at(now + self._owner.settings.round_trip_s / 2, self.close_server)

    def reset_client(self) -> None:
        """Let go of the client by a reset."""
        if self._client is not None:
            close_by_reset_later(self._client)
            self._close_client()

    def _end_client(self) -> None:
        """Tell the client that the server has closed."""
        self._is_ended = True
        self._owner.is_closed(self)
        if self._client is not None:
            with suppress(OSError):  # it has been reset, which is learnt by reading
                self._client.shutdown(socket.SHUT_WR)

    # The server's side.

    def _on_server(self, events: int) -> None:
        self._server_events = 0
        if events & select.EPOLLOUT:
            self._is_up_stuck = False
            self._up.flush()
            if self._up.size < _MOST_REQUEST_BYTES:
                self._watch_client(select.EPOLLIN, True)
        if events & (select.EPOLLIN | _GONE) and not self._is_reading:
            self._is_reading = True
            self._be_ready(max(time.monotonic(), self._free_s))
        self._watch_server()

    def _watch_server(self) -> None:
        wanted = 0 if self._is_reading else select.EPOLLIN
        if self._is_up_stuck:
            wanted |= select.EPOLLOUT
        if self._server is not None and wanted != self._server_events:
            self._server_events = wanted
            self._owner.loop.change(self._server.fileno(), wanted | select.EPOLLONESHOT)

    def _send_up(self, chunk: memoryview) -> int:
        if self._server is None:
            return len(chunk)
        try:
            taken = self._server.send(chunk)
        except BlockingIOError:
            taken = 0
        except OSError:
            return len(chunk)  # it has gone, which is learnt by reading
        if taken < len(chunk):
            self._is_up_stuck = True
            self._watch_server()
        return taken

    def _be_ready(self, ready_s: float) -> None:
        self._ready_s = ready_s
        self._owner.loop.at(ready_s, self._offer)

    def _offer(self) -> None:
        self._owner.bottleneck.offer(self, self._ready_s)

    def send(self, start_s: float) -> int:
        """See `link_loop.Sender`."""
        if self._server is None:
            return 0
        buffer = self._owner.buffers.take()
        portion = self._portion()
        try:
            size = self._server.recv_into(buffer, portion)
        except BlockingIOError:
            self._owner.buffers.give(buffer)
            self._is_reading = False
            self._watch_server()
            return 0
        except OSError:
            self._owner.buffers.give(buffer)
            self._end(start_s, by_reset=True)
            return 0
        if size:
            self._carry(start_s, self._owner.buffers.kept(buffer, size))
            self._go_on(size == portion)
        else:
            self._owner.buffers.give(buffer)
            self._end(start_s, by_reset=False)
        return size

    def _carry(self, start_s: float, chunk: memoryview) -> None:
        settings = self._owner.settings
        size = len(chunk)
        self._owner.note("bytes_down", size)
        self._free_s = max(self._free_s, start_s) + _seconds(size, settings.connection_rate)
        passed_s = max(self._free_s, start_s + _seconds(size, settings.link_rate))
        due_s = passed_s + settings.round_trip_s / 2
        headers_before = self._replies.header_bytes
        cut = self._replies.feed(chunk)
        self._owner.note("bytes_of_headers", self._replies.header_bytes - headers_before)
        if self._client is None:
            self._owner.note("bytes_lost", size)
            self._owner.buffers.give(chunk)
        elif cut is None:
            self._down.put(due_s, chunk)
        else:
            self._owner.note("cut")
            self._down.put(due_s, memoryview(bytes(chunk[:cut])))
            self._down.put(due_s, self.reset_client)
            self._owner.buffers.give(chunk)
            self.close_server()

    def _go_on(self, has_more: bool) -> None:
        if self._client is not None and self._down.size >= self._most_under_way():
            self._is_full = True
        elif has_more:
            self._be_ready(self._free_s)
        else:
            self._is_reading = False
            self._watch_server()

    def _end(self, start_s: float, *, by_reset: bool) -> None:
        """Pass on that the server has ended the connection."""
        self.close_server()
        # A server that never got a request closes after a while; a swallowed one hangs.
        if self._client is not None and not self._is_swallowed:
            action = self.reset_client if by_reset else self._end_client
            due_s = max(self._free_s, start_s) + self._owner.settings.round_trip_s / 2
            self._down.put(due_s, action)

    def close_server(self) -> None:
        """Let go of the server, by a reset: what it has still to send is of no use."""
        if self._server is not None:
            self._owner.loop.remove(self._server.fileno())
            close_by_reset_later(self._server)
            self._server.close()
            self._server = None
        if self._client is None:
            self._up.clear()
            self._owner.is_gone(self)

    def _portion(self) -> int:
        rate = self._owner.settings.connection_rate
        if rate is None:
            return BUFFER_SIZE
        return max(_LEAST_PORTION, min(BUFFER_SIZE, int(rate * _PORTION_S)))

    def _most_under_way(self) -> int:
        settings = self._owner.settings
        if settings.connection_rate is None:
            return _UNLIMITED_LINE
        held = settings.connection_rate * settings.round_trip_s / 2
        return int(held) + _SPARE_PORTIONS * self._portion()


def prepare(connected: socket.socket, buffer: int) -> None:
    """Make a socket answer at once, and bound what the kernel holds for it."""
    connected.setblocking(False)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, buffer, _SOCKET_BUFFER)


def close_by_reset_later(connected: socket.socket) -> None:
    """Let the close of a socket be a reset."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _seconds(size: int, rate: int | None) -> float:
    return size / rate if rate is not None else 0.0
