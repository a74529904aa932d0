"""What systemd is to a service of `Type=notify`: a socket on which it hears, and a unit."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path

from tests.support.waiting import wait_until


class ServiceManager:
    """Listens as systemd does; used by `with`.

    Args:
        place: The socket's path, or the name of an abstract one that begins with "@".

    Attributes:
        heard: What was told so far, in order: `(name, value)`.
    """

    def __init__(self, place: Path | str) -> None:
        self.address = str(place)
        self.heard: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def __enter__(self) -> ServiceManager:
        is_abstract = self.address.startswith("@")
        self._socket.bind("\0" + self.address[1:] if is_abstract else self.address)
        if not is_abstract:
            Path(self.address).chmod(0o777)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def listen(self) -> list[tuple[str, str]]:
        """Take in what has come, and return all that was heard."""
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except BlockingIOError:
                return self.heard
            for line in text.splitlines():
                name, _, value = line.partition("=")
                self.heard.append((name, value))

    def values(self, name: str) -> list[str]:
        """Return all values that were told for a name."""
        return [value for told, value in self.listen() if told == name]

    def wait_for(self, name: str, times: int = 1) -> None:
        """Wait until a name was told so often."""
        wait_until(lambda: len(self.values(name)) >= times, 120)


def commands(unit: str, name: str) -> list[list[str]]:
    """Return the commands of one directive of a unit, as words; what precedes them is cut.

    Good for units in which no word has a blank or a quote.
    """
    lines = [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{name}=")]
    return [shlex.split(line.lstrip("-+")) for line in lines]
