"""What both ends of a data socket say to each other, in frames of bounded size.

A client sends requests, one at a time, each a JSON object; the daemon answers each with any
number of `WAIT`, by which it says that it still works on it, and then one other frame:

    WORDS   a JSON object
    BYTES   of a file, exactly as many as there are
    ERROR   a JSON object: the class of the error, its message and its URL

Before it is a frame's kind (a byte) and the number of bytes that follow (four, the highest
first). Neither end believes what the other says: sizes are bounded before anything is set
aside for them, and what doesn't fit raises ValueError or ConnectionError, after which the
connection can only be closed.

Threading: a connection belongs to one thread at a time.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from empiarfs import errors
from empiarfs.core.files import FileVersion

PROTOCOL = 1

WAIT, WORDS, BYTES, ERROR = range(4)

# What one read asks for at most, and so what one connection costs in memory; for more, a client
# asks again. A guess: what the frames around it cost can't be seen any more with it.
MOST_BYTES = 1024 * 1024
MOST_WORDS = 64 * 1024
_MOST_MESSAGE = 2000

_HEADER = struct.Struct("!BI")
_WAIT_FRAME = _HEADER.pack(WAIT, 0)
_CREDENTIALS = struct.Struct("3i")
# How often who waits for the other end looks at anything else.
_LOOK_S = 0.25
# Asked for; the system's limit is mostly less.
_BUFFER = MOST_BYTES

_ERRORS: Mapping[str, type[errors.EmpiarFSError]] = {
    cls.__name__: cls
    for cls in (
        errors.ArchiveError,
        errors.BadResponseError,
        errors.BusyError,
        errors.CacheError,
        errors.EmpiarFSError,
        errors.FileChangedError,
        errors.ForbiddenError,
        errors.GaveUpError,
        errors.IsDirectoryError,
        errors.NoSuchNameError,
        errors.NotDirectoryError,
        errors.NotFoundError,
        errors.OfflineError,
        errors.StalledError,
        errors.UnavailableError,
        errors.UnreachableError,
    )
}


def prepare(connection: socket.socket) -> None:
    """Set a connection up for frames."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
    connection.settimeout(_LOOK_S)


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Return the process and the user at the other end, as the kernel says."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


def is_ours(connection: socket.socket) -> bool:
    """Tell whether the process at the other end is this user's."""
    return peer_of(connection)[1] == os.getuid()


def send(
    connection: socket.socket, kind: int, body: bytes | memoryview, waiting: Callable[[], None]
) -> None:
    """Send a frame, in one call where the buffer takes it.

    Args:
        connection: Where to.
        kind: Such as `WORDS`.
        body: What follows.
        waiting: Called before each wait; ends it by raising.

    Raises:
        OSError: The other end has gone.
    """
    left = [memoryview(_HEADER.pack(kind, len(body))), memoryview(body)]
    while left:
        waiting()
        try:
            sent = connection.sendmsg(left)
        except TimeoutError:
            continue
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if left:
            left[0] = left[0][sent:]


def send_words(
    connection: socket.socket, kind: int, words: Mapping[str, object], waiting: Callable[[], None]
) -> None:
    """Send a frame that holds a JSON object; see `send`."""
    # Surrogates, of names that aren't UTF-8, are escaped by json and survive.
    send(connection, kind, json.dumps(words).encode("ascii"), waiting)


def send_wait(connection: socket.socket) -> None:
    """Say that an answer is still to come, unless the buffer is full.

    Raises:
        OSError: The other end has gone.
    """
    with suppress(BlockingIOError):
        # A few bytes are taken whole or not at all.
        connection.send(_WAIT_FRAME, socket.MSG_DONTWAIT)


def receive(
    connection: socket.socket, limits: Mapping[int, int], waiting: Callable[[], None]
) -> tuple[int, bytes]:
    """Return the kind and the body of the next frame.

    Args:
        connection: Where from.
        limits: How many bytes each kind may have; others are refused.
        waiting: Called before each wait; ends it by raising.

    Raises:
        ConnectionError: The other end has gone.
        ValueError: It is no such frame.
    """
    kind, size = _HEADER.unpack(_exactly(connection, _HEADER.size, waiting))
    if size > limits.get(kind, -1):
        raise ValueError(f"a frame of kind {kind} with {size} bytes")
    return kind, _exactly(connection, size, waiting)


def _exactly(connection: socket.socket, size: int, waiting: Callable[[], None]) -> bytes:
    made = bytearray(size)
    left = memoryview(made)
    while left:
        waiting()
        try:
            count = connection.recv_into(left)
        except TimeoutError:
            continue
        if not count:
            raise ConnectionResetError("the other end has gone")
        left = left[count:]
    return bytes(made)


def words_of(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a frame.

    Raises:
        ValueError: It holds none.
    """
    try:
        words = json.loads(body)
    except RecursionError as exc:
        raise ValueError("JSON that is too deep") from exc
    if not isinstance(words, dict):
        raise ValueError("no JSON object")
    return words


def words_of_error(error: errors.EmpiarFSError) -> dict[str, object]:
    """Return what tells an error to the other end."""
    name = next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in _ERRORS)
    message = str(error.args[0]) if error.args else str(error)
    url = error.url if isinstance(error, errors.ArchiveError) else ""
    return {"error": name, "message": message[:_MOST_MESSAGE], "url": url[:_MOST_MESSAGE]}


def error_of(words: Mapping[str, Any]) -> errors.EmpiarFSError:
    """Return the error that the other end tells of.

    Raises:
        ValueError: It tells of none.
    """
    name, message, url = (words.get(key) for key in ("error", "message", "url"))
    if not (isinstance(name, str) and isinstance(message, str) and isinstance(url, str)):
        raise ValueError("no error")
    cls = _ERRORS.get(name)
    if cls is None:
        raise ValueError(f"no error that we know: {name[:100]}")
    return cls(message, url=url) if issubclass(cls, errors.ArchiveError) else cls(message)


def local_words(directories: Sequence[Path], verify: str) -> list[str]:
    """Return what tells the other end which local copies are read, and how they are checked."""
    return [verify, *(str(directory) for directory in directories)]


def words_of_version(version: FileVersion) -> list[object]:
    """Return what tells a version to the other end."""
    return [version.size, version.modified_s, version.etag]


def version_of(words: object) -> FileVersion:
    """Return the version that a list of three stands for.

    Raises:
        ValueError: It is no such list.
    """
    if not isinstance(words, list) or len(words) != 3:
        raise ValueError("no version")
    size, modified_s, etag = words
    if type(size) is not int or not 0 <= size < 2**62:
        raise ValueError("no version")
    if modified_s is not None and (type(modified_s) is not int or abs(modified_s) > 2**62):
        raise ValueError("no version")
    if etag is not None and not isinstance(etag, str):
        raise ValueError("no version")
    return FileVersion(size, modified_s, etag)
