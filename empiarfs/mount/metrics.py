"""Serves a mount's figures for Prometheus, in its text form, by HTTP.

What is told is what `empiarfs status --json` has: counters as they are, gauges of the cache,
of connections and of what waits. Nothing in it names a file, and nothing is secret; still it
is for this machine alone unless the user names another address.

One scrape is answered at a time, and a client that says or takes nothing for two seconds is
left: whoever can reach the port costs the mount one thread, whatever he does.

Threading: `serve` starts one thread, which asks for the status as `empiarfs status` does.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from empiarfs import threads
from empiarfs.errors import ConfigError

if TYPE_CHECKING:
    from prometheus_client import Metric

logger = logging.getLogger(__name__)

_CLIENT_TIMEOUT_S = 2.0
_CLOSE_S = 3.0
_EXHAUSTED_S = 0.5
# It falls when what was foreseen is read.
_FALLING = frozenset(("foreseen_unused_bytes",))
_CACHE = {
    "used": ("cache_used_bytes", "Bytes that the cache takes on disk"),
    "limit": ("cache_limit_bytes", "Bytes that it may take"),
    "pinned": ("cache_pinned_bytes", "Bytes of it that are never evicted"),
    "blocks": ("cache_blocks", "Blocks that are stored"),
    "disk_free": ("cache_disk_free_bytes", "Bytes that are free on its disk"),
}
_FETCHER = {
    "spans_waiting": ("requests_waiting", "Requests for bytes that wait for a connection"),
    "connection_bytes_per_s": (
        "connection_bytes_per_second",
        "What one connection brought lately while it brought any",
    ),
}
_STATES = ("online", "suspect", "offline")


def metrics_of(status: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield the figures of a status; those that it lacks are left out.

    Args:
        status: As `empiarfs status --json MOUNTPOINT` prints it.
    """
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        InfoMetricFamily,
    )

    def gauge(name: str, meaning: str, value: object) -> Iterator[Metric]:
        if isinstance(value, int | float):
            yield GaugeMetricFamily(f"empiarfs_{name}", meaning, value=float(value))

    names = ("mount_point", "archive_url", "version")
    info = InfoMetricFamily("empiarfs_mount", "What is mounted")
    info.add_metric([], {name: _text(status.get(name)) for name in names})
    yield info
    yield from gauge("mounted_since_seconds", "When it was mounted", status.get("since_s"))
    for name, count in status.get("counters", {}).items():
        meaning = f"See counters of `empiarfs status`: {name}"
        if name in _FALLING:
            yield from gauge(name, meaning, count)
        else:
            yield CounterMetricFamily(f"empiarfs_{name}", meaning, value=float(count))
    cache = status.get("cache", {})
    for part, told in ((cache, _CACHE), (status.get("fetcher", {}), _FETCHER)):
        for key, (name, meaning) in told.items():
            yield from gauge(name, meaning, part.get(key))
    yield from gauge("cache_unwell", "1 if the cache is bypassed", int(bool(cache.get("unwell"))))
    yield from gauge("connections", "Connections to the archive", status.get("connections"))
    yield from gauge("open_files", "Files that programs have open", status.get("open_files"))
    states = GaugeMetricFamily(
        "empiarfs_archive_state", "1 for how the archive can be reached", labels=["state"]
    )
    for each in _STATES:
        states.add_metric([each], float(status.get("reachability") == each))
    yield states


def _text(value: object) -> str:
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        logger.debug("metrics: %s", format % args)


class _Server(WSGIServer):
    # Others wait in the kernel's queue.
    request_queue_size = 8
    is_closing = False

    def server_bind(self) -> None:
        # As it was, but for the question to the name server, which may not answer.
        TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            if not self.is_closing:
                time.sleep(_EXHAUSTED_S)  # without descriptors it fails at once again
            raise

    def serve(self) -> None:
        while not self.is_closing:
            self.handle_request()

    def handle_error(self, request: object, client_address: object) -> None:
        logger.debug("a client of the metrics was left: %s", sys.exc_info()[1])


class _Server6(_Server):
    address_family = socket.AF_INET6


class MetricsServer:
    """Serves one mount's figures, from `serve` until `close`.

    Args:
        listener: `ADDRESS:PORT`, checked.
        status: Returns the mount's status.

    Attributes:
        address: Where it listens, with the port that it got.

    Raises:
        ConfigError: It can't listen there, or a library is missing.
    """

    def __init__(self, listener: str, status: Callable[[], Mapping[str, Any]]) -> None:
        try:
            from prometheus_client import CollectorRegistry, make_wsgi_app
        except ModuleNotFoundError as exc:
            raise ConfigError(
                "metrics need the package prometheus-client: pip install 'empiarfs[metrics]'"
            ) from exc
        registry = CollectorRegistry(auto_describe=False)
        # Its protocol asks for a method of this name.
        registry.register(_Collector(status))
        host, _, port = listener.rpartition(":")
        server_class = _Server6 if host.startswith("[") else _Server
        try:
            self._server = server_class((host.strip("[]"), int(port)), _Handler)
        except OSError as exc:
            raise ConfigError(
                f"metrics can't be served on {listener}: {exc.strerror or exc}; "
                "name another port by --metrics"
            ) from exc
        self._server.set_app(make_wsgi_app(registry, disable_compression=True))
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread: threading.Thread | None = None

    def serve(self) -> None:
        """Begin to answer."""
        self._thread = threads.start("metrics", self._server.serve)

    def close(self) -> None:
        """Stop answering; a client that takes nothing holds that up for two seconds at most."""
        self._server.is_closing = True
        with suppress(OSError):
            self._server.socket.shutdown(socket.SHUT_RDWR)  # this wakes who accepts
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
        self._server.server_close()


class _Collector:
    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        """Return nothing: what there is is known only when it is asked for."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of this moment."""
        return metrics_of(self._status())
