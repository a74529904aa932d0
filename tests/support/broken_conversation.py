"""One connection of `tests.support.broken_server`, from its first request to its end.

Threading: each conversation has a thread of its own.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import replace
from email.utils import formatdate
from typing import Protocol
from urllib.parse import unquote_to_bytes

from tests.support.broken_answers import BENDING, Answer, lengthened
from tests.support.broken_faults import Fault, Request

_RESET = struct.pack("ii", 1, 0)
_REASONS = {200: "OK", 206: "Partial Content", 301: "Moved Permanently", 302: "Found"}


class End(Exception):
    """The client ended the connection."""


class Server(Protocol):
    """What a conversation needs of its server; see `BrokenServer`."""

    keep_alive_s: float
    latency_s: float
    max_requests: int | None
    keeps_alive_header: bool
    _prefix: str
    _released: threading.Event

    def _take_fault(self, request: Request) -> Fault | None: ...

    def _answer(self, request: Request) -> Answer: ...

    def _bent(self, request: Request, fault: Fault) -> Answer: ...


class Conversation:
    """One connection of the server."""

    def __init__(
        self, server: Server, connection: socket.socket, raw: socket.socket, number: int
    ) -> None:
        self._server = server
        self._connection = connection
        self._raw = raw
        self._number = number
        self._received = b""
        self._arrived_s = 0.0
        self._served = 0
        self._late: list[tuple[Request, Answer]] = []

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
                raise End
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
        if fault is None:
            return self._send(request, self._server._answer(request))
        if kind in BENDING:
            return self._send(request, self._server._bent(request, fault))
        if kind == "interim":
            self._connection.sendall(b"HTTP/1.1 %d Wait\r\nX-Seen: yes\r\n\r\n" % fault.status)
            self._pause(fault.amount)
            return self._send(request, self._server._answer(request))
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

    def _send_badly(self, request: Request, fault: Fault, answer: Answer) -> bool:
        body = b"" if request.method == "HEAD" else answer.body
        if fault.kind == "long_listing":
            return self._send_at_length(request, fault, answer)
        if fault.kind in ("chunked", "until_end"):
            return self._send_framed(request, fault, replace(answer, body=body))
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

    def _send_framed(self, request: Request, fault: Fault, answer: Answer) -> bool:
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

    def _send_at_length(self, request: Request, fault: Fault, answer: Answer) -> bool:
        if answer.status != 200 or request.method == "HEAD":
            return self._send(request, answer)
        self._connection.sendall(
            self._head(request, replace(answer, ends=True), Content_Length="")
        )
        for part in lengthened(answer.body, int(fault.amount)):
            self._connection.sendall(part)
        return False

    def _send(self, request: Request, answer: Answer) -> bool:
        late, self._late = self._late, []
        for each, its_answer in [(request, answer), *late]:
            body = b"" if each.method == "HEAD" else its_answer.body
            self._connection.sendall(self._head(each, its_answer) + body)
        return not self._is_last

    @property
    def _is_last(self) -> bool:
        limit = self._server.max_requests
        return limit is not None and self._served >= limit

    def _head(self, request: Request, answer: Answer, **changes: str) -> bytes:
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
            raise End

    def _stay_silent(self) -> bool:
        # Reading goes on, so that it is seen how the client ends this.
        self._raw.settimeout(0.05)
        while not self._server._released.is_set():
            with contextlib.suppress(TimeoutError):
                if not self._raw.recv(65536):
                    raise End
        return False

    def _reset(self) -> bool:
        reset(self._raw)
        return False


def _colon(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def reset(connection: socket.socket) -> None:
    """Have the connection end by RST when it is closed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
