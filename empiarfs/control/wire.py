"""What both ends of a control socket share: addresses and lines."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Answer = dict[str, object]


@contextmanager
def _short_address(path: Path) -> Iterator[str]:
    """Yield an address for `path` that fits into the 108 bytes which Unix sockets allow."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def bound_socket(path: Path) -> socket.socket:
    """Return a socket bound to `path`, which is made with mode 0600."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On Linux the mode of the descriptor becomes that of the file, less the umask; so
        # there is no moment in which others could connect.
        os.fchmod(made.fileno(), 0o600)
        with _short_address(path) as address:
            made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def connected_socket(path: Path, timeout_s: float) -> socket.socket:
    """Return a socket connected to `path`.

    Raises:
        OSError: Nobody listens there.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.settimeout(timeout_s)
        with _short_address(path) as address:
            made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def read_line(connection: socket.socket, limit: int) -> bytes:
    """Return one line without its end; the socket's timeout is for all of it.

    Raises:
        TimeoutError: The line did not come in time.
        ValueError: It is longer than `limit` bytes, or ended early.
    """
    deadline = time.monotonic() + (connection.gettimeout() or 0)
    received = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no whole line in time")
        connection.settimeout(left)
        piece = connection.recv(64 * 1024)
        received += piece
        if received.endswith(b"\n"):
            return bytes(received[:-1])
        if not piece or len(received) > limit:
            raise ValueError("not a line")
