"""Reads by the daemon of a mount, where one of this user runs on the same archive and cache.

Then this process fetches nothing itself: there is one fetcher, one memory and one set of
statistics for the mount and all processes that read so. Where there is no such daemon, and as
soon as one ends, hangs or says what can't be, every answer is None, and the caller reads by the
parts of its own process. An answer counts only when all of it is there, so nothing is lost or
repeated by that. After a while a daemon is looked for again.

A daemon whose limits are wider than what was set here (`limit_rate`, `max_connections`), or
which reads other local copies, isn't asked. What it says is believed as little as what comes
from the archive.

Threading: safe from any thread; there is no thread, and no socket before the first question.
A connection belongs to one thread at a time; `_changed` guards the table of them, and is never
held while a daemon is waited for.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from empiarfs.config import Config
from empiarfs.control import frames, registered
from empiarfs.control.wire import connected_socket
from empiarfs.core import paths
from empiarfs.core.files import RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import EmpiarFSError, InterruptedCallError
from empiarfs.patience import Patience

logger = logging.getLogger(__name__)

# As many as the fetcher has to the archive by default.
_MOST = 12
_MOST_IDLE = 4
_CONNECT_S = 6.0
# A daemon says several times a second that it still works on an answer.
_SILENT_S = 5.0
# Before one is looked for again.
_REST_S = 5.0
_REST_OF_HUNG_S = 30.0
# So much earlier the daemon gives up, to be the one who says why.
_MARGIN_S = 0.5
_LONGEST_END_S = 2.0
_Frame = tuple[int, bytes]
_Answer = TypeVar("_Answer")


class _SilentError(ConnectionError):
    """The daemon hangs."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The answer to a hint.

    Attributes:
        size: Of the file, in bytes.
        is_taken: Whether it will be fetched; else there is no room for it now.
    """

    size: int
    is_taken: bool


class Daemon:
    """The daemon that reads for a session.

    Args:
        config: The settings.
        archive: The archive's root, as daemons spell it.
        cache_dir: The cache directory that has to be the daemon's, too.
    """

    def __init__(self, config: Config, archive: str, cache_dir: Path) -> None:
        self._config = config
        self._archive = archive
        self._cache_dir = os.path.realpath(cache_dir)
        self._changed = threading.Condition()
        self._idle: list[socket.socket] = []  # guarded by _changed
        self._used: set[socket.socket] = set()  # guarded by _changed
        self._count = 0  # idle, used, or being made; guarded by _changed
        self._most = _MOST  # guarded by _changed
        self._rests_until_s = -math.inf if config.daemon else math.inf
        self._closed = False

    def open(self, path: str, patience: Patience) -> RemoteFile | None:
        """Return the file that is at a path, in the version that the archive holds now.

        Raises:
            EmpiarFSError: What the daemon says is wrong with it.
        """
        answer = self._ask({"request": "open", "path": path}, patience, _file_in)
        if answer is None:
            return None
        if answer.archive != self._archive or answer.path != paths.canonical(path):
            self._rest(f"it speaks of {answer.archive}{answer.path}", _REST_OF_HUNG_S)
            return None
        return answer

    def read(
        self, file: RemoteFile, offset: int, size: int, patience: Patience, *, ahead: bool
    ) -> bytes | None:
        """Return exactly the bytes `[offset, offset + size)` that lie inside the file.

        Raises:
            FileChangedError: The archive holds another version.
            EmpiarFSError: What else the daemon says is wrong with it.
        """
        wanted = ByteRange(offset, offset + size).clamp(file.size)
        if not wanted:
            return b""
        made = []
        for start in range(wanted.start, wanted.stop, frames.MOST_BYTES):
            part = ByteRange(start, min(start + frames.MOST_BYTES, wanted.stop))
            data = self._read(file, part, patience, ahead)
            if data is None:
                return None
            made.append(data)
        return b"".join(made)

    def _read(
        self, file: RemoteFile, part: ByteRange, patience: Patience, ahead: bool
    ) -> bytes | None:
        request = {
            "request": "read",
            "path": file.path,
            "version": frames.words_of_version(file.version),
            "offset": part.start,
            "size": len(part),
            "ahead": ahead,
        }

        def data_in(kind: int, body: bytes) -> bytes:
            if kind != frames.BYTES or len(body) != len(part):
                raise ValueError(f"{len(body)} bytes instead of {len(part)}")
            return body

        return self._ask(request, patience, data_in)

    def foresee(self, path: str, part: ByteRange, patience: Patience) -> Foreseen | None:
        """Have bytes fetched that will be read soon, if there is room for them.

        Raises:
            EmpiarFSError: What the daemon says is wrong with it.
        """
        request = {"request": "foresee", "path": path, "offset": part.start, "size": len(part)}
        return self._ask(request, patience, _foreseen_in)

    def close(self) -> None:
        """Let go of the daemon; who waits for it is told."""
        with self._changed:
            self._closed = True
            for idle in self._idle:
                idle.close()
            self._count -= len(self._idle)
            self._idle.clear()
            for used in self._used:
                with suppress(OSError):
                    used.shutdown(socket.SHUT_RDWR)
            self._changed.notify_all()
            # A child that is forked before would hold them for as long as it lives.
            self._changed.wait_for(lambda: not self._count, _LONGEST_END_S)

    # -- one question ----------------------------------------------------------------------

    def _ask(
        self,
        request: Mapping[str, object],
        patience: Patience,
        answer_in: Callable[[int, bytes], _Answer],
    ) -> _Answer | None:
        """Return what `answer_in` finds in the daemon's answer; None if there is no daemon."""
        while True:
            found = self._take(patience)
            if found is None:
                return None
            connection, is_fresh = found
            is_good = False
            try:
                kind, body = self._exchange(connection, request, patience)
                if kind != frames.ERROR:
                    answer = answer_in(kind, body)
                    is_good = True
                    return answer
                error = frames.error_of(frames.words_of(body))
                is_good = True
            except _SilentError as exc:
                self._rest(str(exc), _REST_OF_HUNG_S)
                return None
            except (OSError, ValueError) as exc:
                self._check_open()
                # One that was idle may have been closed by the daemon meanwhile.
                if is_fresh:
                    self._rest(str(exc), _REST_S)
                    return None
                continue
            finally:
                self._give_back(connection, is_good=is_good)
            raise error

    def _exchange(
        self, connection: socket.socket, request: Mapping[str, object], patience: Patience
    ) -> _Frame:
        left_s = patience.remaining_s()
        waits_s = left_s - min(_MARGIN_S, left_s / 10)
        heard_s = time.monotonic()
        silent_s = min(_SILENT_S, patience.seconds / 2)

        def waiting() -> None:
            self._check_open()
            patience.check()
            if time.monotonic() - heard_s > silent_s:
                raise _SilentError("it doesn't answer")

        words = {**request, "wait": _seconds(waits_s), "of": _seconds(patience.seconds)}
        frames.send_words(connection, frames.WORDS, words, waiting)
        while True:
            kind, body = frames.receive(connection, _LIMITS, waiting)
            if kind != frames.WAIT:
                return kind, body
            heard_s = time.monotonic()

    def _check_open(self) -> None:
        if self._closed:
            raise InterruptedCallError("closed")

    # -- connections -----------------------------------------------------------------------

    def _take(self, patience: Patience) -> tuple[socket.socket, bool] | None:
        """Return a connection, and whether it has just been made; None if there is no daemon."""
        while True:
            with self._changed:
                patience.wait_for(self._changed, self._may_go_on)
                self._check_open()
                if time.monotonic() < self._rests_until_s:
                    return None
                if self._idle:
                    known = self._idle.pop()
                    self._used.add(known)
                    return known, False
                self._count += 1
            made, rest_s = None, _REST_S
            try:
                made = self._connected(patience)
            except _SilentError:
                rest_s = _REST_OF_HUNG_S
            finally:
                with self._changed:
                    if made is not None:
                        self._used.add(made)
                    else:
                        self._count -= 1
                        # If others of ours are good, it has just no more for us.
                        self._most = max(1, self._count)
                    others = self._count
                    self._changed.notify_all()
            if made is not None:
                return made, True
            if not others:
                self._rest("none answers", rest_s)
                return None

    def _may_go_on(self) -> bool:
        # The caller holds _changed.
        is_resting = time.monotonic() < self._rests_until_s
        return self._closed or is_resting or bool(self._idle) or self._count < self._most

    def _give_back(self, connection: socket.socket, *, is_good: bool) -> None:
        with self._changed:
            self._used.discard(connection)
            if is_good and not self._closed and len(self._idle) < _MOST_IDLE:
                self._idle.append(connection)
            else:
                connection.close()
                self._count -= 1
            self._changed.notify_all()

    def _rest(self, why: str, seconds: float) -> None:
        """Ask no daemon for a while."""
        logger.debug("reading without a mount's daemon: %s", why)
        with self._changed:
            self._rests_until_s = max(self._rests_until_s, time.monotonic() + seconds)
            self._most = _MOST
            for idle in self._idle:
                idle.close()
            self._count -= len(self._idle)
            self._idle.clear()
            self._changed.notify_all()

    def _connected(self, patience: Patience) -> socket.socket | None:
        """Return a connection to the mount that has stood longest of those that suit us.

        Raises:
            _SilentError: There is none but one that hangs.
        """
        silent: _SilentError | None = None
        for item in registered(os.getuid(), os.environ):
            record = item.record
            if not record.archive_url.startswith(self._archive):
                continue
            if os.path.realpath(record.cache_dir) != self._cache_dir:
                continue
            # Half of it is left for reading here.
            limit = patience.limit(min(_CONNECT_S, patience.remaining_s() / 2))
            try:
                connection = connected_socket(item.data_socket, max(0.01, limit.seconds))
            except OSError:
                continue  # it serves no Python
            try:
                if self._suits(connection, limit):
                    return connection
            except _SilentError as exc:
                silent = exc
            except (OSError, ValueError, EmpiarFSError) as exc:
                logger.debug("the daemon of %s: %s", record.mount_point, exc)
            except BaseException:
                connection.close()
                raise
            connection.close()
        if silent is not None:
            raise silent
        return None

    def _suits(self, connection: socket.socket, patience: Patience) -> bool:
        frames.prepare(connection)
        if not frames.is_ours(connection):
            return False
        kind, body = self._exchange(connection, {"request": "hello"}, patience)
        if kind != frames.WORDS:
            return False
        terms = frames.words_of(body)
        rate, connections = terms.get("limit_rate"), terms.get("max_connections")
        if terms.get("protocol") != frames.PROTOCOL or terms.get("archive") != self._archive:
            return False
        if type(connections) is not int or connections > self._config.max_connections:
            return False
        config = self._config
        if terms.get("local") != frames.local_words(config.local, config.local_verify):
            return False
        ours = config.limit_rate
        return ours is None or (type(rate) is int and rate <= ours)


_LIMITS = {
    frames.WAIT: 0,
    frames.WORDS: frames.MOST_WORDS,
    frames.ERROR: frames.MOST_WORDS,
    frames.BYTES: frames.MOST_BYTES,
}


def _seconds(value: float) -> float | None:
    return None if value == math.inf else value


def _file_in(kind: int, body: bytes) -> RemoteFile:
    words = frames.words_of(body) if kind == frames.WORDS else {}
    archive, path = words.get("archive"), words.get("path")
    if not isinstance(archive, str) or not isinstance(path, str):
        raise ValueError("no file")
    return RemoteFile(archive, path, frames.version_of(words.get("version")))


def _foreseen_in(kind: int, body: bytes) -> Foreseen:
    words = frames.words_of(body) if kind == frames.WORDS else {}
    size, is_taken = words.get("size"), words.get("taken")
    if type(size) is not int or size < 0 or not isinstance(is_taken, bool):
        raise ValueError("no answer to a hint")
    return Foreseen(size, is_taken)
