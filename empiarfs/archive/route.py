"""Whether there is a way to the archive at all, found out without asking it for anything.

A mount is made whatever the network does, so that one made at the start of a machine heals by
itself. But who mounts by hand should be told at once that there is no network, or that the
name of the archive, or of the proxy, is unknown; whether anybody answers there is seen at the
first request.

Threading: safe from any thread; a resolver that hangs holds a thread of its own.
"""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

from empiarfs.archive.environment import origin_from, proxies_for
from empiarfs.archive.sockets import Address, Resolver

_HTTP = 80


def route_problem(base_url: str, *, timeout_s: float = 2.0) -> str | None:
    """Return why the archive can't be reached from here, or None if nothing is known of it.

    Args:
        base_url: URL of the archive's root.
        timeout_s: How long the name may take to be resolved.

    Raises:
        ConfigError: The URL or the proxy can't be used.
    """
    host, port = _peer(base_url)
    try:
        addresses = Resolver().addresses(
            host, port, until_s=time.monotonic() + timeout_s, check=lambda: None
        )
    except OSError as exc:
        return f"can't resolve {host}: {exc}"
    problems = [_problem_of(address) for address in addresses]
    if None in problems:
        return None
    return f"no way to {host}: {problems[0]}"


def connection_problem(base_url: str, *, timeout_s: float = 10.0) -> str | None:
    """Return why nobody answers there, or None; makes one connection, and says nothing by it.

    For when nothing else is under way: the connection isn't one of the budget's.

    Raises:
        ConfigError: The URL or the proxy can't be used.
    """
    host, port = _peer(base_url)
    try:
        with socket.create_connection((host, port), timeout_s):
            return None
    except OSError as exc:
        return f"{host}, port {port}: {exc.strerror or exc}"


def _peer(base_url: str) -> tuple[str, int]:
    """Return the host and the port that connections go to."""
    origin = origin_from(base_url)
    for proxy in proxies_for(origin.base_url).values():
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.hostname:
            return parts.hostname, parts.port or _HTTP
    return origin.host, origin.port


def _problem_of(address: Address) -> str | None:
    family, place = address
    try:
        # To connect a datagram socket sends nothing: the kernel only looks for a route.
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
    except OSError as exc:
        return exc.strerror or str(exc)
    return None
