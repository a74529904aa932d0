"""Sockets that can be watched, cancelled and cut off; and how they are opened.

`WatchedSocket` and `WatchedTlsSocket` are ordinary sockets whose receives tell a `Watch`
what came, and end when it says so. All HTTP of the archive goes through them.

A thread may have to wake another that sleeps in a receive. The obvious ways are wrong:
`SSLSocket.shutdown()` makes the sleeper read ciphertext as if it were the body, and `close`
may close a descriptor that another thread has just been given. So each connection has a
`Breaker`: a second descriptor of the same connection whose `trip` shuts the TCP connection
down below TLS. The watch was told why before; the sleeper asks it before it looks at what
it received. Only the owner closes.

Threading: a socket belongs to one thread at a time; a `Breaker` may be tripped by any.
The `Resolver` is safe from any thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from empiarfs import threads
from empiarfs.archive.watch import TICK_S, Watch
from empiarfs.errors import UnreachableError

# Requests are far smaller than a socket's buffer; a peer that takes none is broken.
_SEND_S = 5.0
# More than any reader's own buffer, so that such a call is for a body and its exact rest.
_LARGE = 64 * 1024
_ON_RESET = struct.pack("ii", 1, 0)
# Names rarely move, and EBI's balancer answers with the same address for hours.
_NAMES_KEPT_S = 60.0
# A worker that hangs this long gets a second one beside it.
_HANGING_S = 15.0

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
Lookup = Callable[[str, int], list[Address]]


class WatchedSocket(socket.socket):
    """A TCP socket whose `recv_into` is watched while `watch` is set."""

    watch: Watch | None = None
    _ticks = False

    def start_ticking(self) -> None:
        """Let the kernel end a receive that brings nothing after a tick.

        Python's own time limit costs a `poll` before each receive, and with it one more
        time that all threads fight for the interpreter.
        """
        super().settimeout(None)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(TICK_S))
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(_SEND_S))
        self._ticks = True

    def settimeout(self, value: float | None) -> None:
        """Set the time limit, unless the kernel keeps one already (urllib3 sets its own)."""
        if not self._ticks:
            super().settimeout(value)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive as `socket.recv_into` does; raises what the watch raises.

        A large buffer is a part of a body that is known to come whole: one call fills it,
        or as much of it as comes within a tick.
        """
        if self._ticks and len(buffer) >= _LARGE:
            flags |= socket.MSG_WAITALL
        return _watched(self.watch, lambda: super(WatchedSocket, self).recv_into(buffer, 0, flags))


def _timeval(seconds: float) -> bytes:
    whole, part = divmod(seconds, 1)
    return struct.pack("@ll", int(whole), int(part * 1_000_000))


class WatchedTlsSocket(ssl.SSLSocket):
    """A TLS socket whose `recv_into` is watched while `watch` is set."""

    watch: Watch | None = None

    def start_ticking(self) -> None:
        """Let a receive that brings nothing end after a tick."""
        self.settimeout(TICK_S)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive as `SSLSocket.recv_into` does; raises what the watch raises."""
        return _watched(self.watch, lambda: super(WatchedTlsSocket, self).recv_into(buffer))


AnySocket = WatchedSocket | WatchedTlsSocket


def _watched(watch: Watch | None, receive: Callable[[], int]) -> int:
    if watch is None:
        return receive()
    while True:
        began_s = time.monotonic()
        try:
            count = receive()
        except (TimeoutError, BlockingIOError):
            watch.waited(time.monotonic() - began_s, 0)
            continue
        except OSError:
            # A tripped breaker looks like a broken connection: the reason comes first.
            watch.check()
            raise
        watch.waited(time.monotonic() - began_s, count)
        return count


class Breaker:
    """Wakes whoever sleeps in a receive of one connection; safe from any thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._lock = threading.Lock()
        self._twin: socket.socket | None = connection.dup()  # guarded by _lock

    def trip(self) -> None:
        """Shut the connection down, below TLS; nothing if it is closed."""
        with self._lock:
            if self._twin is not None:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._twin, socket.SHUT_RDWR)

    def close(self, *, reset: bool) -> None:
        """Let go of the connection, which ends with its other descriptor.

        Args:
            reset: As for `cut`; it works whoever closes the other descriptor, before or after.
        """
        with self._lock:
            twin, self._twin = self._twin, None
        if twin is not None:
            cut(twin, reset=reset)


def cut(connection: socket.socket, *, reset: bool) -> None:
    """Close the descriptor for good, whatever file objects still hang on it.

    Args:
        connection: Owned by the caller; useless afterwards.
        reset: Send RST, so that no firewall on the way keeps the connection in its table,
            as it may do for one that was closed while an answer was due.
    """
    if reset:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ON_RESET)
    descriptor = connection.detach()
    if descriptor >= 0:
        os.close(descriptor)


def look_up(host: str, port: int) -> list[Address]:
    """Return all addresses of a host, in the system's order; OSError if there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


@dataclass
class _Answer:
    """One name's look-up: running, or done with addresses or an error."""

    started_s: float
    done: bool = False
    addresses: list[Address] = field(default_factory=list)
    error: str = ""


class Resolver:
    """Looks names up in threads of its own, so that a hanging resolver hangs nobody else.

    One thread for each name, however many ask; the last good answer is used when a newer
    one can't be had.
    """

    def __init__(self, lookup: Lookup = look_up) -> None:
        self._lookup = lookup
        self._changed = threading.Condition()
        self._answers: dict[tuple[str, int], _Answer] = {}  # guarded by _changed
        self._good: dict[tuple[str, int], list[Address]] = {}  # guarded by _changed

    def addresses(
        self, host: str, port: int, *, until_s: float, check: Callable[[], None]
    ) -> list[Address]:
        """Return the addresses of `host`.

        Args:
            host: A name or an address.
            port: The port, to be part of the addresses.
            until_s: Monotonic time at which to give up.
            check: Called several times a second; ends the wait by raising.

        Raises:
            OSError: The name is unknown, or the resolver doesn't answer in time.
        """
        key = (host, port)
        with self._changed:
            answer = self._current(key)
        while not answer.done and time.monotonic() < until_s:
            check()
            with self._changed:
                if not answer.done:
                    self._changed.wait(min(TICK_S, max(0.001, until_s - time.monotonic())))
        with self._changed:
            good = answer.addresses or self._good.get(key)
            if good:
                return list(good)
        raise OSError(answer.error or "the name isn't resolved in time")

    def prefer(self, host: str, port: int, address: Address) -> None:
        """Put an address that worked first."""
        with self._changed:
            answer = self._answers.get((host, port))
            if answer is not None and address in answer.addresses:
                answer.addresses.remove(address)
                answer.addresses.insert(0, address)

    def forget(self) -> None:
        """Ask anew for all names: this may be another network."""
        with self._changed:
            self._answers.clear()

    def _current(self, key: tuple[str, int]) -> _Answer:
        now_s = time.monotonic()
        answer = self._answers.get(key)
        if answer is not None:
            age_s = now_s - answer.started_s
            useful_s = _NAMES_KEPT_S if answer.addresses else 1.0
            if (answer.done and age_s < useful_s) or (not answer.done and age_s < _HANGING_S):
                return answer
        answer = self._answers[key] = _Answer(now_s)
        if threads.start("resolver", self._run, key, answer) is None:
            answer.error, answer.done = "no thread to resolve the name with", True
        return answer

    def _run(self, key: tuple[str, int], answer: _Answer) -> None:
        addresses: list[Address] = []
        error = "the name has no address"
        try:
            addresses = _by_turns(self._lookup(*key))
        except (OSError, UnicodeError) as exc:
            error = str(exc)
        with self._changed:
            answer.addresses, answer.error, answer.done = addresses, error, True
            if addresses:
                self._good[key] = list(addresses)
            self._changed.notify_all()


def _by_turns(addresses: list[Address]) -> list[Address]:
    # One family may be dead behind a network that answers for both: try them by turns.
    unique = list(dict.fromkeys(addresses))
    if not unique:
        return []
    first = [each for each in unique if each[0] == unique[0][0]]
    others = [each for each in unique if each[0] != unique[0][0]]
    mixed: list[Address] = []
    while first or others:
        mixed += first[:1] + others[:1]
        first, others = first[1:], others[1:]
    return mixed


def open_socket(
    resolver: Resolver, host: str, port: int, *, timeout_s: float, watch: Watch
) -> WatchedSocket:
    """Return a socket connected to the first address of `host` that answers.

    One address after the other, never two at once: each would count as a connection.

    Args:
        resolver: Looks the name up.
        host: Name or address of the archive or the proxy.
        port: Its port.
        timeout_s: For the name, all addresses and, as the socket's timeout, TLS together.
        watch: Of the request.

    Raises:
        UnreachableError: No address answered in time.
    """
    until_s = time.monotonic() + timeout_s
    problem: OSError = OSError("no address")
    try:
        addresses = resolver.addresses(host, port, until_s=until_s, check=watch.check)
    except OSError as exc:
        raise UnreachableError(f"can't resolve {host}: {exc}", url=watch.url) from exc
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        share_s = max(0.0, until_s - time.monotonic()) / left
        try:
            connection = _connect(address, time.monotonic() + share_s, watch)
        except OSError as exc:
            problem = exc
            continue
        resolver.prefer(host, port, address)
        connection.settimeout(max(TICK_S, until_s - time.monotonic()))
        return connection
    reason = problem.strerror or str(problem)
    raise UnreachableError(f"can't connect to {host}: {reason}", url=watch.url) from problem


def _connect(address: Address, until_s: float, watch: Watch) -> WatchedSocket:
    connection = WatchedSocket(address[0], socket.SOCK_STREAM)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        status = connection.connect_ex(address[1])
        if status == errno.EINPROGRESS:
            _wait_for_connection(connection, until_s, watch)
            status = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            raise OSError(status, os.strerror(status))
    except BaseException:
        cut(connection, reset=True)
        raise
    return connection


def _wait_for_connection(connection: socket.socket, until_s: float, watch: Watch) -> None:
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    while True:
        watch.check()
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "no connection in time")
        # Short waits, since nothing but this loop can be woken by the end of the client.
        if poll.poll(1000 * min(left_s, TICK_S / 2)):
            return
