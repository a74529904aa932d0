"""One connection of the data socket: requests in, frames out; nothing of them is believed.

While an answer is waited for, the client is told several times a second that it is to come, and
looked after: what it sends or does then can only mean that it has left.

Threading: a conversation belongs to the thread of its connection.
"""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from empiarfs.control import frames
from empiarfs.core import paths
from empiarfs.core.files import FileVersion
from empiarfs.errors import EmpiarFSError, InterruptedCallError, NoSuchNameError
from empiarfs.patience import Patience

# Clients come back without noticing.
_IDLE_S = 60.0
# Between the first and the last byte of a request, or of an answer.
_FRAME_S = 10.0
_WAIT_EVERY_S = 0.2
# As the kernel's PATH_MAX.
_MOST_PATH = 4096

FileKey = tuple[str, FileVersion]
"""What a client reads: a path below the archive's root, and a version."""


class Server(Protocol):
    """What answers; see `empiarfs.mount.serving.FileServer`."""

    @property
    def is_closed(self) -> bool:
        """Whether nobody is to be served any more."""

    def greet(self) -> Mapping[str, object]:
        """Tell what a client has to know before it asks for anything."""

    def open(self, request: Mapping[str, Any], patience: Patience) -> Mapping[str, object]:
        """Tell which version of a file the archive holds."""

    def foresee(self, request: Mapping[str, Any], patience: Patience) -> Mapping[str, object]:
        """Have bytes fetched if there is room."""

    def read(
        self, client: Client, request: Mapping[str, Any], patience: Patience
    ) -> AbstractContextManager[bytes]:
        """Lend bytes of a version of a file."""


class Client:
    """A process with at least one connection; its tables are guarded by the server's lock."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.connections = 0
        # The one that was read last is the last.
        self.handles: OrderedDict[FileKey, int] = OrderedDict()


class Conversation:
    """Answers the requests of one connection, in one thread."""

    def __init__(self, server: Server, connection: socket.socket, client: Client) -> None:
        self._server = server
        self._connection = connection
        self._client = client
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN | select.POLLRDHUP)
        self._thread = threading.get_ident()
        self._told_s = 0.0

    def hold(self) -> None:
        """Answer until the client leaves.

        Raises:
            OSError: It has left, or takes too long.
            ValueError: It says what can't be.
            InterruptedCallError: It has left, or the mount ends.
        """
        while self._is_asked():
            limits = {frames.WORDS: frames.MOST_WORDS}
            _, body = frames.receive(self._connection, limits, self._deadline())
            request = frames.words_of(body)
            try:
                self._answer(request)
            except InterruptedCallError:
                raise
            except EmpiarFSError as exc:
                self._send(frames.ERROR, frames.words_of_error(exc))

    def _is_asked(self) -> bool:
        return bool(self._poll.poll(_IDLE_S * 1000)) and not self._server.is_closed

    def _answer(self, request: Mapping[str, Any]) -> None:
        kind = request.get("request")
        if kind == "hello":
            self._send(frames.WORDS, self._server.greet())
            return
        patience = self._patience(request)
        if kind == "open":
            self._send(frames.WORDS, self._server.open(request, patience))
        elif kind == "foresee":
            self._send(frames.WORDS, self._server.foresee(request, patience))
        elif kind == "read":
            with self._server.read(self._client, request, patience) as data:
                frames.send(self._connection, frames.BYTES, data, self._deadline())
        else:
            raise ValueError("no such request")

    def _send(self, kind: int, words: Mapping[str, object]) -> None:
        frames.send_words(self._connection, kind, words, self._deadline())

    def _deadline(self) -> Callable[[], None]:
        end_s = time.monotonic() + _FRAME_S

        def check() -> None:
            if self._server.is_closed:
                raise InterruptedCallError("the mount ends")
            if time.monotonic() > end_s:
                raise TimeoutError("the client takes too long")

        return check

    def _patience(self, request: Mapping[str, Any]) -> Patience:
        """Return how long the client waits; `of` is what it calls that."""
        wait_s, of_s = seconds_in(request, "wait"), seconds_in(request, "of")
        patience = Patience(wait_s, self._has_left)
        patience.seconds = of_s
        return patience

    def _has_left(self) -> bool:
        """Tell whether nobody waits for the answer; if somebody does, that it is to come."""
        # Nothing may come from a client before it has its answer.
        if self._server.is_closed or self._poll.poll(0):
            return True
        now_s = time.monotonic()
        if now_s - self._told_s >= _WAIT_EVERY_S and threading.get_ident() == self._thread:
            self._told_s = now_s
            try:
                frames.send_wait(self._connection)
            except OSError:
                return True
        return False


def path_in(request: Mapping[str, Any]) -> str:
    """Return the path of a file that a request names.

    Raises:
        ValueError: It can't be one.
        NoSuchNameError: No file can be there.
    """
    path = request.get("path")
    if not isinstance(path, str) or not 0 < len(path) <= _MOST_PATH:
        raise ValueError("no path")
    path.encode("utf-8", "surrogateescape")
    for name in path.split("/"):
        if paths.name_problem(name) is not None:
            raise NoSuchNameError(path)
    return path


def number_in(request: Mapping[str, Any], name: str, most: int = 2**62) -> int:
    """Return a number that a request holds, from 0 to `most`.

    Raises:
        ValueError: It holds none.
    """
    value = request.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"no {name}")
    return value


def seconds_in(request: Mapping[str, Any], name: str) -> float:
    """Return a time in seconds, which is None in JSON for ever."""
    value = request.get(name)
    if value is None:
        return math.inf
    if type(value) not in (int, float) or not 0 <= value < 1e9:
        raise ValueError(f"no {name}")
    return float(value)
