"""The process that is a simulated link; `slow_link` starts and steers it.

It listens on a free port of 127.0.0.1, and takes commands from its standard input: JSON, one
a line, each answered by one line with the statistics. It ends with its input.

    {"do": "statistics"}                  nothing else
    {"do": "count_anew"}                  all counters at zero, but those to n-th ones
    {"do": "swallow_next", "count": 3}    the next three requests are never answered
    {"do": "change", "settings": {...}}   some of `LinkSettings`; counts to n-th ones anew
    {"do": "cut_off"}                     nothing passes, either way
    {"do": "restore"}                     all passes again

One thread does it all.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from tests.support.link_connection import Connection, close_by_reset_later
from tests.support.link_line import Buffers
from tests.support.link_loop import Bottleneck, Loop
from tests.support.link_settings import STATISTICS_FIELDS, LinkSettings, LinkStatistics

_BACKLOG = 1_024
_MORE_URGENT = -10


class Relay:
    """Listens, and relays what is asked over a link of some settings; see the module."""

    def __init__(self, server: tuple[str, int], settings: LinkSettings, control: int) -> None:
        self.settings = settings
        self.loop = Loop(control, self._on_control)
        self.bottleneck = Bottleneck(self.loop, settings.link_rate)
        self.buffers = Buffers()
        self._server = server
        self._control = control
        self._line = b""  # of a command that isn't whole
        self._counts = dict.fromkeys(STATISTICS_FIELDS, 0)
        self._since_s = time.monotonic()
        self._connections: set[Connection] = set()
        self._open: set[Connection] = set()
        self._until_swallowed = 0  # requests since the last that was swallowed for its number
        self._swallow_next = 0
        self._until_cut = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._listener.setblocking(False)
        # Last: a client that closes one connection and opens another has but one.
        self.loop.add(self._listener.fileno(), self._on_listener, select.EPOLLIN, last=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def run(self) -> None:
        """Relay until the control descriptor comes to its end."""
        self.loop.run()

    def close(self) -> None:
        """Reset all connections."""
        for connection in list(self._connections):
            connection.reset_client()
            connection.close_server()
        self._listener.close()
        self.loop.close()

    def note(self, name: str, number: int = 1) -> None:
        """See `link_connection.Owner`."""
        self._counts[name] += number

    def swallows_next(self) -> bool:
        """See `link_connection.Owner`."""
        self._until_swallowed += 1
        is_swallowed = self._until_swallowed == self.settings.swallow_every
        if is_swallowed:
            self._until_swallowed = 0
        elif self._swallow_next:
            self._swallow_next -= 1
            is_swallowed = True
        if is_swallowed:
            self.note("swallowed")
        return is_swallowed

    def cut_of_next(self) -> int | None:
        """See `link_connection.Owner`."""
        self.note("replies")
        self._until_cut += 1
        if self._until_cut != self.settings.cut_every:
            return None
        self._until_cut = 0
        return self.settings.cut_after

    def is_closed(self, connection: Connection) -> None:
        """See `link_connection.Owner`."""
        self._open.discard(connection)

    def is_gone(self, connection: Connection) -> None:
        """See `link_connection.Owner`."""
        self._open.discard(connection)
        self._connections.discard(connection)

    def statistics(self) -> LinkStatistics:
        """Return what has passed since it began to count."""
        rate = self.settings.link_rate
        busy_s = self._counts["bytes_down"] / rate if rate else 0.0
        found: dict[str, Any] = self._counts | {
            "seconds": time.monotonic() - self._since_s,
            "open_now": len(self._open),
            "busy_s": busy_s,
            "late_s": self.bottleneck.late_s,
        }
        return LinkStatistics(**found)

    def _count_anew(self) -> None:
        self._counts = dict.fromkeys(STATISTICS_FIELDS, 0)
        self._counts["open_peak"] = len(self._open)
        self._since_s = time.monotonic()
        self.bottleneck.late_s = 0.0

    def _on_listener(self, events: int) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                continue  # it has gone while it waited
            limit = self.settings.connection_limit
            if limit is not None and len(self._open) >= limit:
                self.note("refused")
                close_by_reset_later(client)
                client.close()
            else:
                self._open_connection(client)

    def _open_connection(self, client: socket.socket) -> None:
        connection = Connection(self, client, self._server)
        self._connections.add(connection)
        self._open.add(connection)
        self.note("opened")
        self._counts["open_peak"] = max(self._counts["open_peak"], len(self._open))

    def _on_control(self) -> None:
        data = os.read(self._control, 65_536)
        if not data:
            self.loop.stop()
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            say(self._answer(json.loads(line)))

    def _answer(self, command: dict[str, Any]) -> dict[str, Any]:
        answer = asdict(self.statistics())
        if command["do"] == "count_anew":
            self._count_anew()
        elif command["do"] == "swallow_next":
            self._swallow_next = command["count"]
        elif command["do"] == "change":
            self.settings = replace(self.settings, **command["settings"])
            self.bottleneck.rate = self.settings.link_rate
            self._until_swallowed = self._until_cut = 0
        elif command["do"] == "cut_off":
            self.loop.pause()
        elif command["do"] == "restore":
            self.loop.resume()
        return answer


def say(answer: dict[str, Any]) -> None:
    """Write one line of JSON."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def serve(server: tuple[str, int], settings: LinkSettings) -> None:
    """Be a link to `server` until standard input ends."""
    # A real link doesn't become slow where both ends are busy.
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _MORE_URGENT)
    relay = Relay(server, settings, sys.stdin.fileno())
    try:
        say({"port": relay.port})
        relay.run()
    finally:
        relay.close()
