"""Answers questions about a mount, on a Unix socket that only its user and root may use.

A connection carries one request and one answer, each a JSON object on a line of its own.
The request's `request` names its kind; the answer holds what was asked for, or `error`.

Threading: one thread accepts, and one serves each connection, eight at most; what comes
beyond waits in the kernel's queue. Handlers run in the latter.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from empiarfs import threads
from empiarfs.control.wire import Answer, bound_socket, read_line

logger = logging.getLogger(__name__)

# Without descriptors or memory a client waits until there are some.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_EXHAUSTED_S = 0.5

Handler = Callable[[Mapping[str, Any]], Answer]

_MAX_REQUEST_BYTES = 64 * 1024
_MAX_CONNECTIONS = 8
# A client that says nothing, or takes nothing, may hold a thread for this long.
_CLIENT_TIMEOUT_S = 2.0
_CREDENTIALS = struct.Struct("3i")


class ControlServer:
    """Serves one socket until it is closed.

    Args:
        path: Where the socket is made, mode 0600.
        handlers: What answers each kind of request.
    """

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = dict(handlers)
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._listener = bound_socket(path)
        self._listener.listen(_MAX_CONNECTIONS)
        self._thread = threading.Thread(target=self._accept, name="empiarfs-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering, and remove the socket."""
        with suppress(OSError):
            self._path.unlink()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # this wakes `accept`, closing doesn't
        self._thread.join(timeout=_CLIENT_TIMEOUT_S)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError as exc:
                if exc.errno not in _EXHAUSTED:
                    return  # closed
                # `accept` fails at once again, for as long as the client waits; and nothing tells
                # when this process has a descriptor to spare.
                time.sleep(_EXHAUSTED_S)
                continue
            self._places.acquire()
            if threads.start("control-client", self._serve, connection) is None:
                # The next client may have one.
                connection.close()
                self._places.release()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(_CLIENT_TIMEOUT_S)
                if not _is_allowed(connection):
                    return
                answer = self._answer(read_line(connection, _MAX_REQUEST_BYTES))
                connection.sendall(json.dumps(answer).encode("ascii") + b"\n")
        except (OSError, ValueError) as exc:
            logger.debug("a client of the control socket failed: %s", exc)
        except Exception:
            logger.exception("the control socket failed")
        finally:
            self._places.release()

    def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "not JSON"}
        kind = request.get("request") if isinstance(request, dict) else None
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            return {"error": f"no such request: {kind!r}"}
        return handler(request)


def _is_allowed(connection: socket.socket) -> bool:
    # The directory's mode keeps others out already; this holds should it be changed.
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    if uid in (0, os.getuid()):
        return True
    logger.warning("user %d asked for the status and was refused", uid)
    return False
