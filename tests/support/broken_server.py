"""A small HTTP server on 127.0.0.1 that does what Apache won't: everything wrong.

    with BrokenServer() as server:
        server.put("10002/data/a.mrc", b"...")
        server.fault("10002/data/a.mrc", Fault.silence(), times=1)
        ... server.url, server.requests, server.peak_connections ...

Without faults it behaves as Apache does (`broken_answers`): single ranges, also for HEAD;
listings in the form of EMPIAR; keep-alive with a `Keep-Alive` header; pipelining; 301 to a
directory's slash. A fault (`broken_faults`) applies to the next `times` requests that its
predicate or path names, oldest fault first. `release` lets all silent connections go, which
otherwise stay silent to the end.

One thread for each connection (`broken_conversation`); all fields are guarded by one lock,
and copies are handed out.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.support.broken_answers import Answers
from tests.support.broken_conversation import Conversation, End, reset
from tests.support.broken_faults import DEFAULT_MODIFIED_S, Fault, Request

__all__ = ["DEFAULT_MODIFIED_S", "BrokenServer", "Fault", "Request"]


Chooser = Callable[[Request], "tuple[Fault, str] | None"]


def _nothing(_: Request) -> tuple[Fault, str] | None:
    return None


@dataclass(slots=True)
class _Planned:
    applies: Callable[[Request], bool]
    fault: Fault
    left: int
    name: str


class BrokenServer(Answers):
    """Serves `files` below `url` until the context ends.

    Args:
        tls: Certificate and key files (PEM), for https.
        prefix: Path of the root, with slashes at both ends.
        max_requests: Requests on one connection, Apache's default; None for no limit.
        keep_alive_s: How long an idle connection is kept, Apache's default.
        latency_s: The earliest answer to a request comes so long after its arrival, as if
            over a long link: requests sent back to back wait together.
        ranges_for_head: Whether a Range header of HEAD is honoured, as Apache does.
        keeps_alive_header: Whether a Keep-Alive header is sent.
        most_connections: What comes while so many connections stand is reset, as EMPIAR's
            firewall does; None for no limit.
        port: Where to listen, on 127.0.0.1; 0 for any that is free.

    Attributes:
        refused: Connections that were reset before anything was said.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        *,
        tls: tuple[Path, Path] | None = None,
        prefix: str = "/archive/",
        max_requests: int | None = 100,
        keep_alive_s: float = 5.0,
        latency_s: float = 0.0,
        ranges_for_head: bool = True,
        keeps_alive_header: bool = True,
        most_connections: int | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(files, prefix=prefix, ranges_for_head=ranges_for_head)
        self.most_connections = most_connections
        self.refused = 0
        self.max_requests = max_requests
        self.keep_alive_s = keep_alive_s
        self.latency_s = latency_s
        self.keeps_alive_header = keeps_alive_header
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._faults: list[_Planned] = []
        self._met: Counter[str] = Counter()
        self._to_refuse = 0
        self._choose: Chooser = _nothing
        self._connections: dict[int, socket.socket] = {}
        self._count = 0
        self._peak = 0
        self._endings: list[str] = []
        self._released = threading.Event()
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*tls)
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> BrokenServer:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base URL, with a slash at its end."""
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}{self._prefix}"

    def fault(
        self,
        where: str | Callable[[Request], bool],
        fault: Fault,
        *,
        times: int = 1,
        name: str = "",
    ) -> None:
        """Do the next `times` matching requests wrong.

        Args:
            where: The path of a file, or of a directory with a slash at its end, or a
                predicate.
            fault: What to do.
            times: How often.
            name: By what `faults_met` counts it; the fault's kind if "".
        """
        applies = (lambda request: request.path == where) if isinstance(where, str) else where
        with self._lock:
            self._faults.append(_Planned(applies, fault, times, name or fault.kind))

    def choose_faults(self, choose: Chooser) -> None:
        """Ask `choose` at each request that no other fault meets what to do wrong.

        It is called by one thread at a time, and returns the fault and its name, or None.
        """
        with self._lock:
            self._choose = choose

    def forget_faults(self) -> None:
        """Do everything right from here on."""
        with self._lock:
            self._faults.clear()
            self._choose = _nothing
            self._to_refuse = 0

    def refuse(self, times: int = 1) -> None:
        """Reset the next connections as soon as they are made."""
        with self._lock:
            self._to_refuse += times

    @property
    def faults_met(self) -> Counter[str]:
        """How often each fault met a request, by its name."""
        with self._lock:
            return Counter(self._met)

    def release(self) -> None:
        """End all connections that are silent now."""
        self._released.set()

    def stop(self) -> None:
        """End all connections and the server; what connects afterwards is refused."""
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._connections.values():
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order of their arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def open_connections(self) -> int:
        """Connections that stand now."""
        with self._lock:
            return len(self._connections)

    @property
    def peak_connections(self) -> int:
        """The most connections that stood at once."""
        with self._lock:
            return self._peak

    @property
    def connections(self) -> int:
        """All connections so far."""
        with self._lock:
            return self._count

    @property
    def endings(self) -> list[str]:
        """How the client ended connections, "reset" or "end", in order."""
        with self._lock:
            return list(self._endings)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                number = self._admit(connection)
            if number is None:
                reset(connection)
                connection.close()
            else:
                self._start(self._serve, connection, number)

    def _admit(self, connection: socket.socket) -> int | None:
        """Return the connection's number, or None to refuse it; the caller holds the lock."""
        # What the client has closed is no connection, even if its thread is late.
        live = [each for each in self._connections.values() if not _is_over(each)]
        is_full = self.most_connections is not None and len(live) >= self.most_connections
        if self._to_refuse or is_full:
            self._to_refuse = max(0, self._to_refuse - 1)
            self.refused += 1
            return None
        self._count += 1
        self._connections[self._count] = connection
        self._peak = max(self._peak, len(live) + 1)
        return self._count

    def _serve(self, connection: socket.socket, number: int) -> None:
        raw = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                # The raw descriptor stays ours, for resets.
                raw = connection.dup()
                _check_connected(connection)
                connection = self._context.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._connections[number] = connection
            Conversation(self, connection, raw, number).run()
            ending = ""
        except ConnectionResetError:
            ending = "reset"
        except (End, EOFError):
            ending = "end"
        except (OSError, ssl.SSLError):
            ending = ""
        finally:
            with self._lock:
                self._connections.pop(number, None)
            connection.close()
            raw.close()
        if ending:
            with self._lock:
                self._endings.append(ending)

    def _take_fault(self, request: Request) -> Fault | None:
        with self._lock:
            self._requests.append(request)
            for planned in self._faults:
                if planned.left and planned.applies(request):
                    planned.left -= 1
                    self._met[planned.name] += 1
                    return planned.fault
            chosen = self._choose(request)
            if chosen is None:
                return None
            fault, name = chosen
            self._met[name] += 1
            return fault


def _is_over(connection: socket.socket) -> bool:
    poll = select.poll()
    try:
        poll.register(connection, select.POLLRDHUP)
    except ValueError:
        return True
    return bool(poll.poll(0))


def _check_connected(connection: socket.socket) -> None:
    """Raise ConnectionResetError if the client has gone.

    Of one that has, `SSLContext.wrap_socket` leaves a socket open, which Python warns of.
    """
    try:
        connection.getpeername()
    except OSError as exc:
        raise ConnectionResetError("the client has gone") from exc
