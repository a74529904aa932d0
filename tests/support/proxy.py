"""A small HTTP proxy on 127.0.0.1, which can die and come back.

One thread for each connection.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading


class Proxy:
    """An HTTP proxy that connects everything to one port, and notes first lines.

    Args:
        target: The port on 127.0.0.1 that it leads to.
        port: Its own; 0 for any.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self.first_lines: list[str] = []
        self.headers: list[str] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def close(self) -> None:
        """End it with all its connections; whoever connects is refused."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as target:
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            self.first_lines.append(head.split(b"\r\n")[0].decode())
            self.headers.append(head.decode("latin-1"))
            if head.startswith(b"CONNECT"):
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                target.sendall(_with_bare_path(head))
            with contextlib.suppress(OSError):
                self._relay(client, target)

    def _relay(self, client: socket.socket, target: socket.socket) -> None:
        while True:
            for each in select.select([client, target], [], [])[0]:
                data = each.recv(65536)
                if not data:
                    return
                if each is client and data.split(b" ")[0] in (b"GET", b"HEAD"):
                    self.first_lines.append(data.split(b"\r\n")[0].decode())
                    data = _with_bare_path(data)
                (target if each is client else client).sendall(data)


def _with_bare_path(head: bytes) -> bytes:
    method, url, rest = head.split(b" ", 2)
    return b" ".join([method, b"/" + url.split(b"/", 3)[3], rest])
