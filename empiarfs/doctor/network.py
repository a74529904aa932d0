"""Whether the archive can be reached and answers as it should, and how fast."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.archive.environment import proxies_for
from empiarfs.archive.route import connection_problem, route_problem
from empiarfs.config import Config
from empiarfs.core.files import RemoteFile
from empiarfs.core.listing import Listing
from empiarfs.core.paths import join
from empiarfs.core.ranges import ByteRange
from empiarfs.core.secrets import shown_url
from empiarfs.doctor.findings import Finding, Verdict
from empiarfs.errors import ArchiveError, ConfigError, EmpiarFSError
from empiarfs.patience import Patience
from empiarfs.stats import Counters

_PATIENCE_S = 30.0
_ASKED = 5
# What a speed is measured with: bytes, and connections together.
_SAMPLE, _TOGETHER = 4 * 1024 * 1024, 4
# How many directories are looked into for a file to measure with.
_LOOKED_INTO = 12
_BLOCKED = (
    "if other sites can be reached, EMBL-EBI may have blocked this address, as it does for more "
    "than some 25 connections: end other downloads and wait an hour; else see to the firewall"
)


def network_findings(config: Config, *, speed: bool) -> Iterator[Finding]:
    """Yield what was found on the way to the archive.

    Args:
        config: The settings.
        speed: Also measure how fast it is, with 20 MB.
    """
    try:
        proxies = sorted(set(proxies_for(config.archive_url).values()))
        problem = route_problem(config.archive_url)
    except ConfigError as exc:
        yield Finding("archive", Verdict.BAD, str(exc), "see `--archive-url` and http(s)_proxy")
        return
    if proxies:
        yield Finding("proxy", Verdict.GOOD, f"by way of {', '.join(map(shown_url, proxies))}")
    host = urlsplit(config.archive_url).hostname
    if problem is not None:
        remedy = "look at the network of this machine, and at its resolver (/etc/resolv.conf)"
        yield Finding("way", Verdict.BAD, problem, remedy)
        return
    yield Finding("way", Verdict.GOOD, f"{host} has an address, and there is a route to it")
    client = ArchiveClient(
        ClientConfig(
            base_url=config.archive_url,
            max_connections=config.max_connections,
            limit_rate=config.limit_rate,
        ),
        Counters(),
    )
    try:
        yield from _answers(client, speed=speed)
    finally:
        client.close()


def _answers(client: ArchiveClient, *, speed: bool) -> Iterator[Finding]:
    began_s = time.monotonic()
    try:
        root = client.listing("", patience=Patience(_PATIENCE_S))
    except EmpiarFSError as exc:
        problem = connection_problem(client.base_url)
        yield Finding("archive", Verdict.BAD, problem or str(exc), _BLOCKED)
        return
    took_s = time.monotonic() - began_s
    yield Finding("archive", Verdict.GOOD, f"lists {len(root.items)} names, after {took_s:.2f} s")
    try:
        found = _file_in(client, root)
    except EmpiarFSError as exc:
        yield Finding("files", Verdict.BAD, str(exc), "try again; the log of a mount says more")
        return
    if found is None:
        yield Finding("files", Verdict.WORTH_KNOWING, "none was found to try ranges with")
        return
    yield _ranges(client, found)
    yield _round_trip(client, found)
    if speed:
        yield from _speeds(client, found)


def _file_in(client: ArchiveClient, root: Listing) -> RemoteFile | None:
    """Return a file of the first entries, the larger the better."""
    best: RemoteFile | None = None
    places = [item.name for item in root.items if item.is_directory][:3]
    for _ in range(_LOOKED_INTO):
        if not places:
            break
        place = places.pop(0)
        try:
            listing = client.listing(place, patience=Patience(_PATIENCE_S))
        except ArchiveError:
            continue
        names = [item.name for item in listing.items if not item.is_directory][:1]
        for name in names:
            head = client.head(join(place, name), patience=Patience(_PATIENCE_S))
            if head.version is None or not head.version.size:
                continue
            if best is None or head.version.size > best.size:
                best = RemoteFile(client.base_url, join(place, name), head.version)
        if best is not None and best.size >= _SAMPLE * _TOGETHER:
            break
        inside = [join(place, item.name) for item in listing.items if item.is_directory][:2]
        places = inside + places
    return best


def _ranges(client: ArchiveClient, file: RemoteFile) -> Finding:
    try:
        _receive(client, file, ByteRange(0, min(file.size, 1000)))
    except EmpiarFSError as exc:
        remedy = "a proxy that changes answers? Have it leave this host alone (no_proxy)"
        return Finding("ranges", Verdict.BAD, str(exc), remedy)
    return Finding("ranges", Verdict.GOOD, "parts of files are handed out as asked for")


def _round_trip(client: ArchiveClient, file: RemoteFile) -> Finding:
    took = []
    for _ in range(_ASKED):
        began_s = time.monotonic()
        try:
            client.head(file.path, patience=Patience(_PATIENCE_S))
        except EmpiarFSError as exc:
            return Finding("round trip", Verdict.BAD, str(exc), _BLOCKED)
        took.append(time.monotonic() - began_s)
    text = f"{statistics.median(took) * 1000:.0f} ms, {max(took) * 1000:.0f} ms at worst"
    return Finding("round trip", Verdict.GOOD, text)


def _speeds(client: ArchiveClient, file: RemoteFile) -> Iterator[Finding]:
    size = min(_SAMPLE, file.size)
    try:
        one = _speed(client, [(file, ByteRange(0, size))])
        starts = [number * size % max(1, file.size - size + 1) for number in range(_TOGETHER)]
        several = _speed(client, [(file, ByteRange(s, s + size)) for s in starts])
    except EmpiarFSError as exc:
        yield Finding("speed", Verdict.BAD, str(exc), _BLOCKED)
        return
    small = "" if size == _SAMPLE else f", with no more than {size} bytes"
    text = f"{one / 1e6:.2f} MB/s by one connection, {several / 1e6:.2f} by {_TOGETHER}{small}"
    yield Finding("speed", Verdict.GOOD, text)


def _speed(client: ArchiveClient, parts: list[tuple[RemoteFile, ByteRange]]) -> float:
    """Return the bytes a second of several requests at once."""
    errors: list[EmpiarFSError] = []

    def fetch(file: RemoteFile, part: ByteRange) -> None:
        try:
            _receive(client, file, part)
        except EmpiarFSError as exc:
            errors.append(exc)

    threads = [threading.Thread(target=fetch, args=each, daemon=True) for each in parts]
    began_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(len(part) for _, part in parts) / (time.monotonic() - began_s)


def _receive(client: ArchiveClient, file: RemoteFile, part: ByteRange) -> None:
    buffers = iter([memoryview(bytearray(len(part)))])
    client.read_range(file, part, buffers, urgent=True, patience=Patience(_PATIENCE_S))
