"""Serves files to Python processes of the same user, by the parts that serve the mount.

So a mount and the programs that use empiarfs as a library share one fetcher, one cache, one
budget and one set of statistics. The socket lies beside that of `status`, and the frames on it
are those of `empiarfs.control.frames`. Three things can be asked for:

    open      which version of a file the archive holds
    read      bytes of a version: another one in the archive is an error, never mixed
    foresee   have bytes fetched that will be read soon, if there is room for them

Nothing that a client does holds the mount up. There are so many connections and no more, and so
many bytes that are being read for all of them together; who says only half of a request, takes
no answer, or leaves, is let go of. What a client reads is wanted by the fetcher as what a
program reads in the mount, and takes turns with it.

Threading: one thread accepts, one serves each connection. `_lock` guards the tables of clients
and their files, and is never held while the archive, the disk or a client is waited for.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from empiarfs import threads
from empiarfs.config import Config
from empiarfs.control import frames
from empiarfs.control.wire import bound_socket
from empiarfs.core import paths
from empiarfs.core.blocks import whole_pieces
from empiarfs.core.files import RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import (
    BadHandleError,
    FileChangedError,
    InterruptedCallError,
)
from empiarfs.mount.composition import Parts
from empiarfs.mount.conversation import Client, Conversation, FileKey, number_in, path_in
from empiarfs.patience import Patience
from empiarfs.vfs import FileSystem

if TYPE_CHECKING:
    from empiarfs.fuse.reads import Reading

logger = logging.getLogger(__name__)

# Each costs a thread, which mostly waits. A process has twelve at most.
_MOST_CONNECTIONS = 256
# That are on their way to clients, of all of them together.
_MOST_READ = 64 * 1024 * 1024
# Of one process; the rest is opened anew when it is read.
_MOST_FILES = 256
_MOST_FORESEEN = 4 * 1024 * 1024
_LONGEST_END_S = 2.0
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_EXHAUSTED_S = 0.5


class Readers(Protocol):
    """Takes down which process reads how much; as `empiarfs.fuse.Readers`."""

    def opened(self, handle: int, pid: int, path: str = "") -> None:
        """Note that a process has opened a file."""

    def begin(self, handle: int, offset: int, size: int) -> Reading:
        """Note that a read of it begins."""

    def begin_anew(self, reading: Reading) -> None:
        """Forget a read that is tried anew."""

    def ended(self, handle: int, reading: Reading, size: int) -> None:
        """Note that bytes of it were handed out."""

    def failed(self, handle: int, reading: Reading, error: BaseException, number: str) -> None:
        """Note that a read failed."""

    def released(self, handle: int) -> None:
        """Note that it was closed."""


class _Room:
    """How many bytes may still be read for clients."""

    def __init__(self, most: int) -> None:
        self._changed = threading.Condition()
        self._left = most  # guarded by _changed

    @contextmanager
    def taken(self, size: int, patience: Patience) -> Iterator[None]:
        """Wait for room for so many bytes, and have it."""
        with self._changed:
            patience.wait_for(self._changed, lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()


class FileServer:
    """Serves one socket until it is closed.

    Args:
        path: Where the socket is made, mode 0600.
        parts: What serves the mount.
        config: The settings of the mount.
        readers: Told who reads; handles are negative there, since the mount has its own.
    """

    def __init__(
        self,
        path: Path,
        parts: Parts,
        config: Config,
        readers: Readers,
    ) -> None:
        self._path = path
        self._parts = parts
        self._terms = {
            "protocol": frames.PROTOCOL,
            "archive": parts.client.base_url,
            "limit_rate": config.limit_rate,
            "max_connections": config.max_connections,
            "local": frames.local_words(config.local, config.local_verify),
        }
        self._lookup_s = config.lookup_s
        self._readers = readers
        # Of the whole archive, whatever the mount shows of it, and without `.empiar`.
        self._files = FileSystem(
            parts.client, parts.tree, parts.source, parts.store, parts.counters
        )
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._room = _Room(_MOST_READ)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._clients: dict[int, Client] = {}  # guarded by _lock
        self._connections: set[socket.socket] = set()  # guarded by _lock
        self._listener = bound_socket(path)
        self._listener.listen(_MOST_CONNECTIONS)
        self._thread = threading.Thread(target=self._accept, name="empiarfs-data", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of all clients, and remove the socket."""
        self._closed.set()
        with suppress(OSError):
            self._path.unlink()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=_LONGEST_END_S)
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def status(self) -> dict[str, int]:
        """Return how many processes read by us, and by how many connections."""
        with self._lock:
            return {"clients": len(self._clients), "connections": len(self._connections)}

    # -- connections -----------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as exc:
                if exc.errno not in _EXHAUSTED:
                    return  # closed
                self._closed.wait(_EXHAUSTED_S)
                continue
            if not self._places.acquire(blocking=False):
                connection.close()  # it reads by itself
            elif threads.start("data-client", self._serve, connection) is None:
                connection.close()
                self._places.release()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                frames.prepare(connection)
                pid, uid = frames.peer_of(connection)
                if not frames.is_ours(connection):
                    logger.warning("user %d asked for files and was refused", uid)
                    return
                with self._entered(connection, pid) as client:
                    Conversation(self, connection, client).hold()
        except (OSError, ValueError, InterruptedCallError) as exc:
            logger.debug("a client of the data socket was let go of: %s", exc)
        except Exception:
            logger.exception("the data socket failed")
        finally:
            self._places.release()

    @contextmanager
    def _entered(self, connection: socket.socket, pid: int) -> Iterator[Client]:
        with self._lock:
            if self.is_closed:
                raise InterruptedCallError("the mount ends")
            client = self._clients.setdefault(pid, Client(pid))
            client.connections += 1
            self._connections.add(connection)
        try:
            yield client
        finally:
            with self._lock:
                self._connections.discard(connection)
                client.connections -= 1
                gone = not client.connections
                if gone:
                    self._clients.pop(pid, None)
            if gone:
                for handle in client.handles.values():
                    self._release(handle)

    # -- what is asked for; `request` is not to be believed ----------------------------------

    def greet(self) -> Mapping[str, object]:
        """Tell what a client has to know of the mount before it asks for anything."""
        return self._terms

    def open(self, request: Mapping[str, Any], patience: Patience) -> Mapping[str, object]:
        """Tell which version of a file the archive holds."""
        opened = self._files.open(path_in(request), patience.limit(self._lookup_s))
        try:
            file = self._files.file_of_handle(opened.handle)
        finally:
            self._files.release(opened.handle)
        words = frames.words_of_version(file.version)
        return {"archive": file.archive, "path": file.path, "version": words}

    def foresee(self, request: Mapping[str, Any], patience: Patience) -> Mapping[str, object]:
        """Have bytes fetched if there is room; tell whether, and how long the file is."""
        parts, path = self._parts, path_in(request)
        offset, size = number_in(request, "offset"), number_in(request, "size", _MOST_FORESEEN)
        patience = patience.limit(self._lookup_s)
        node = parts.tree.lookup(paths.canonical(path), patience)
        version = parts.tree.version(node.path, patience)
        part = whole_pieces(ByteRange(offset, offset + size).clamp(version.size), version.size)
        is_taken = parts.source.room >= len(part)
        if is_taken and part:
            parts.source.prefetch(RemoteFile(parts.client.base_url, node.path, version), part)
        return {"size": version.size, "taken": is_taken}

    @contextmanager
    def read(
        self, client: Client, request: Mapping[str, Any], patience: Patience
    ) -> Iterator[bytes]:
        """Lend bytes of a version of a file; there is room for them until they are sent."""
        path, version = path_in(request), frames.version_of(request.get("version"))
        offset, size = number_in(request, "offset"), number_in(request, "size", frames.MOST_BYTES)
        ahead = request.get("ahead") is not False
        with self._room.taken(size, patience):
            while True:
                handle = self._handle(client, (path, version), patience)
                reading = self._readers.begin(-handle, offset, size)
                patience.account = reading.account
                try:
                    data = self._files.read(handle, offset, size, patience, ahead=ahead)
                except BadHandleError:
                    self._readers.begin_anew(reading)
                    patience.check()
                    continue  # other threads of the client have opened many files meanwhile
                except BaseException as exc:
                    self._readers.failed(-handle, reading, exc, "")
                    raise
                break
            self._readers.ended(-handle, reading, len(data))
            yield data

    def _handle(self, client: Client, key: FileKey, patience: Patience) -> int:
        """Return a handle to this version of a file."""
        with self._lock:
            known = client.handles.get(key)
            if known is not None:
                client.handles.move_to_end(key)
                return known
        path, version = key
        handle = self._files.open(path, patience.limit(self._lookup_s)).handle
        try:
            file = self._files.file_of_handle(handle)
            if file.version != version:
                url = file.archive + paths.url_path(file.path)
                raise FileChangedError("it has changed since it was opened", url=url)
        except BaseException:
            self._files.release(handle)
            raise
        self._readers.opened(-handle, client.pid, path)
        unneeded = []
        with self._lock:
            known = client.handles.setdefault(key, handle)
            if known != handle:
                unneeded.append(handle)  # another thread was faster
            while len(client.handles) > _MOST_FILES:
                unneeded.append(client.handles.popitem(last=False)[1])
        for each in unneeded:
            self._release(each)
        return known

    def _release(self, handle: int) -> None:
        self._files.release(handle)
        self._readers.released(-handle)

    @property
    def is_closed(self) -> bool:
        """Whether nobody is to be served any more."""
        return self._closed.is_set()
