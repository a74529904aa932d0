"""A link between a client and a server on this machine: far, slow and faulty as one likes.

`SlowLink` stands between any client and a real HTTP server:

    with SlowLink(apache.url, EBI) as link:
        mount(link.url_for(apache.url))
        assert link.statistics().refused == 0

It delays both directions by half a round trip each, and new connections by further round
trips; carries so many bytes a second for each connection, and for all, shared fairly;
accepts each n-th request without ever answering it, or anything behind it on that
connection, whether or not they came in one write; resets the client in the middle of each
n-th reply; and resets connections beyond a limit. All of it is counted.

The relay is a process of its own, so that it shares no interpreter with a test or a client;
it carries some hundred megabytes a second for a tenth of a processor. It lives on this machine
and speaks plain HTTP: of TLS it simulates the round trips. By hand, until its input ends:

    python -m tests.support.slow_link --to 127.0.0.1:8080 --link ebi

Not safe for use from several threads.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.link_relay import serve
from tests.support.link_settings import EBI, GOOD, LINKS, LinkSettings, LinkStatistics

__all__ = ["EBI", "GOOD", "LINKS", "LinkSettings", "LinkStatistics", "SlowLink"]

_DEADLINE_S = 20.0
_CHECKOUT = Path(__file__).resolve().parents[2]


class SlowLink:
    """A link to one server; a context manager, outside of which nothing runs.

    Args:
        server_url: Any URL of the server; has to be plain HTTP with a port.
        settings: What the link is like.
    """

    def __init__(self, server_url: str, settings: LinkSettings = GOOD) -> None:
        parts = urlsplit(server_url)
        if parts.scheme != "http" or not parts.hostname or not parts.port:
            raise ValueError(f"not http://HOST:PORT/…: {server_url}")
        self.settings = settings
        self.port = 0
        self._server = f"{parts.hostname}:{parts.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SlowLink:
        words = ["--to", self._server, "--settings", json.dumps(asdict(self.settings))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.slow_link", *words],
            cwd=_CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C is for whoever uses the link, and may need it once more.
            start_new_session=True,
        )
        try:
            self.port = self._answer()["port"]
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """The relay's process; a RuntimeError outside of the context."""
        return self._running().pid

    def url_for(self, server_url: str) -> str:
        """Return the URL under which the link shows what the server has at `server_url`."""
        parts = urlsplit(server_url)
        if parts.netloc != self._server:
            raise ValueError(f"the link goes to {self._server}, not to {parts.netloc}")
        return parts._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    def statistics(self) -> LinkStatistics:
        """Return what has passed since the link began, or since `count_anew`."""
        return self._do("statistics")

    def count_anew(self) -> LinkStatistics:
        """Let all counters begin at zero; return what they were.

        What is swallowed or cut for its number goes on as it would: work of few requests
        would never meet it otherwise.
        """
        return self._do("count_anew")

    def swallow_next(self, count: int) -> None:
        """Never answer the next `count` requests, beside those whose number says so."""
        self._do("swallow_next", count=count)

    def change(self, **settings: float | None) -> None:
        """Change some of the settings, also for connections that are open.

        What is swallowed or cut for its number is counted from here on.
        """
        self._do("change", settings=settings)

    def cut_off(self) -> None:
        """Let nothing pass either way, and nobody know, until `restore`."""
        self._do("cut_off")

    def restore(self) -> None:
        """Undo `cut_off`; what was under way arrives now."""
        self._do("restore")

    def _do(self, command: str, **arguments: object) -> LinkStatistics:
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        process.stdin.flush()
        return LinkStatistics(**self._answer())

    def _answer(self) -> dict[str, Any]:
        process = self._running()
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], _DEADLINE_S)[0]:
            raise RuntimeError("the link doesn't answer")
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the link has ended, with status {process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the link isn't there")
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main(words: Sequence[str]) -> None:
    """Be the relay, as the command line says."""
    parser = argparse.ArgumentParser(prog="slow_link")
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--link", choices=list(LINKS))
    which.add_argument("--settings", metavar="JSON", type=json.loads)
    options = parser.parse_args(words)
    host, _, port = options.to.rpartition(":")
    settings = LINKS[options.link] if options.link else LinkSettings(**options.settings)
    serve((host, int(port)), settings)


if __name__ == "__main__":
    main(sys.argv[1:])
