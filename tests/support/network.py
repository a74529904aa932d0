"""A network of a test's own, whose only interface can be taken down, and its name server.

    with Network() as network, BrokenServer() as server, mounted(server.url) as mount:
        network.down()
        ... nothing can be reached, and connections that stood are silent ...
        network.up()

The calling thread moves into a new network namespace, and with it whatever it starts: servers,
threads and programs. Needs root. At the end the thread is back, and the network is gone with
the last who used it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS, _UP_AND_RUNNING = 0x8914, 0x41
_NO_WAY = ("unreachable", "127.0.0.1", "table", "local")
_libc = ctypes.CDLL(None, use_errno=True)


def move_to_an_own_network() -> None:
    """Move this thread, and what it starts, into a network with loopback only, if that may be.

    So test processes that run side by side have a budget of connections each.
    """
    if _libc.unshare(_CLONE_NEWNET) == 0:
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP_AND_RUNNING))


class Network:
    """A network namespace with nothing but a loopback interface, which is up."""

    def __enter__(self) -> Network:
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if _libc.unshare(_CLONE_NEWNET) != 0:
            os.close(self._before)
            raise OSError(ctypes.get_errno(), "no network namespace can be made")
        self.up()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if _libc.setns(self._before, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "there is no way back")
        os.close(self._before)

    def up(self) -> None:
        """Connect everything again."""
        for words in (("link", "set", "lo", "up"), ("route", "del", *_NO_WAY)):
            with suppress(subprocess.CalledProcessError):  # there is none
                _ip(*words)

    def down(self, *, silent: bool = False) -> None:
        """Cut everything off; connections that stand hear nothing of it.

        Args:
            silent: New ones don't either; else whoever connects is told that there is no way.
        """
        _ip(*(("link", "set", "lo", "down") if silent else ("route", "replace", *_NO_WAY)))

    def add_address(self, address: str) -> None:
        """Give this machine another address."""
        with suppress(subprocess.CalledProcessError):  # it has it, as 127.0.0.53
            _ip("address", "add", f"{address}/32", "dev", "lo")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)


def name_server_address() -> str | None:
    """Return the address at which this machine asks for names; None unless it is IPv4."""
    found = re.search(r"(?m)^nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$", _resolv_conf())
    return found[1] if found else None


def _resolv_conf() -> str:
    try:
        return Path("/etc/resolv.conf").read_text()
    except OSError:
        return ""


class NameServer:
    """Says that every name is 127.0.0.1, while `answers` is true; else nothing at all.

    Args:
        address: Where to listen; an address of this machine.
    """

    def __init__(self, address: str) -> None:
        self.answers = True
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 53))
        self._thread = threading.Thread(target=self._serve, name="name-server")

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        # What wakes the thread is a datagram; shutting down a UDP socket isn't enough.
        self.answers = False
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join(30)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(4096)
            if not question:
                return
            self.asked += 1
            if self.answers:
                self._socket.sendto(_answer_to(question), client)


def _answer_to(question: bytes) -> bytes:
    """Return a reply with 127.0.0.1 to a question for an A record, and with nothing to others."""
    end = 12
    while question[end]:
        end += question[end] + 1
    (kind,) = struct.unpack(">H", question[end + 1 : end + 3])
    asked = question[12 : end + 5]
    record: bytes = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + bytes((127, 0, 0, 1))
    counts = struct.pack(">HHHH", 1, int(kind == 1), 0, 0)
    reply: bytes = question[:2] + b"\x81\x80" + counts + asked + record * (kind == 1)
    return reply
