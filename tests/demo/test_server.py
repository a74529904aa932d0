"""The demo's server: what it answers, in which order, and what it refuses."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from empiarfs.core.listing import ListingParser
from empiarfs.demo.server import COUNTS_PATH, DemoServer, ServerCounts
from tests.support.tree import ODD_NAMES

MODIFIED_S = 1_644_229_864
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "served"
    (root / "10017/data/a b").mkdir(parents=True)
    (root / "10017/data/x.mrc").mkdir()
    (root / "10017/10017.xml").write_bytes(CONTENT)
    (root / "10017/data/empty.star").touch()
    for path in root.rglob("*"):
        os.utime(path, (MODIFIED_S, MODIFIED_S))
    (tmp_path / "secret").write_text("not served")
    return root


@pytest.fixture
def server(root: Path) -> Iterator[DemoServer]:
    server = DemoServer(root)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connection(server: DemoServer) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    yield connection
    connection.close()


def connect(server: DemoServer) -> socket.socket:
    host, _, port = urlsplit(server.url).netloc.partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/empiar/world_availability/{path}", headers=named)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-355", 100, 356),
        ("bytes=10000-99999", 10000, 10240),
        ("bytes=10239-", 10239, 10240),
        ("bytes=-7", 10233, 10240),
        ("bytes=-99999", 0, 10240),
    ],
)
def test_a_range_is_answered_with_exactly_it(
    connection: http.client.HTTPConnection, asked: str, start: int, stop: int
) -> None:
    status, headers, body = ask(connection, "GET", "10017/10017.xml", Range=asked)

    assert status == 206
    assert body == CONTENT[start:stop]
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/10240"
    assert headers["Last-Modified"] == formatdate(MODIFIED_S, usegmt=True)


@pytest.mark.parametrize(
    "asked", ["", "bytes=x-", "bytes=5-4", "bytes=0-1,5-6", "lines=0-1", "-5"]
)
def test_a_range_that_is_none_gets_the_whole_file(
    connection: http.client.HTTPConnection, asked: str
) -> None:
    status, headers, body = ask(connection, "GET", "10017/10017.xml", Range=asked)

    assert (status, body) == (200, CONTENT)
    assert headers["Content-Range"] is None


@pytest.mark.parametrize("path", ["10017/10017.xml", "10017/data/empty.star"])
def test_a_range_behind_the_end_is_refused_with_the_size(
    connection: http.client.HTTPConnection, root: Path, path: str
) -> None:
    status, headers, _ = ask(connection, "GET", path, Range="bytes=10240-")

    assert status == 416
    assert headers["Content-Range"] == f"bytes */{(root / path).stat().st_size}"


def test_another_version_in_if_range_gets_the_whole_file(
    connection: http.client.HTTPConnection,
) -> None:
    status, _, _ = ask(connection, "GET", "10017/10017.xml", Range="bytes=0-1", If_Range='"other"')

    assert status == 200


def test_head_tells_size_and_time_and_sends_no_body(
    connection: http.client.HTTPConnection,
) -> None:
    status, headers, body = ask(connection, "HEAD", "10017/10017.xml", Range="bytes=0-1")

    assert (status, body) == (200, b"")
    assert headers["Content-Length"] == "10240"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Last-Modified"] == formatdate(MODIFIED_S, usegmt=True)


def test_pipelined_heads_are_answered_in_order(server: DemoServer, root: Path) -> None:
    sizes = list(range(200))
    for size in sizes:
        (root / f"10017/data/{size}.mrc").write_bytes(bytes(size))
    address = urlsplit(server.url)
    requests = "".join(
        f"HEAD {address.path}10017/data/{size}.mrc HTTP/1.1\r\nHost: x\r\n\r\n" for size in sizes
    )
    last = f"HEAD {address.path}none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connect(server) as wire:
        wire.sendall((requests + last).encode())
        answered = b"".join(iter(lambda: wire.recv(1 << 16), b""))

    assert answered.count(b"HTTP/1.1 200 OK") == len(sizes)
    assert [int(n) for n in re.findall(rb"Content-Length: (\d+)", answered)][:-1] == sizes
    assert answered.count(b"HTTP/1.1 404") == 1


def test_a_body_between_pipelined_requests_shifts_nothing(server: DemoServer) -> None:
    address = urlsplit(server.url)
    asked = f"GET {address.path}10017/10017.xml HTTP/1.1\r\nHost: x\r\nRange: bytes=0-99\r\n\r\n"
    with connect(server) as wire:
        wire.sendall((asked * 3).encode())
        wire.shutdown(socket.SHUT_WR)
        answered = b"".join(iter(lambda: wire.recv(1 << 16), b""))

    parts = answered.split(b"HTTP/1.1 206")[1:]
    assert [part.partition(b"\r\n\r\n")[2] for part in parts] == [CONTENT[:100]] * 3


def test_a_listing_is_read_by_our_parser_as_it_was_meant(
    connection: http.client.HTTPConnection, server: DemoServer
) -> None:
    status, headers, body = ask(connection, "GET", "10017/data/")

    parser = ListingParser(server.url + "10017/data/")
    parser.feed(body)
    listing = parser.finish()
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert [(item.name, item.is_directory, item.size_text) for item in listing.items] == [
        ("a b", True, ""),
        ("empty.star", False, "0"),
        ("x.mrc", True, ""),
    ]
    assert listing.refused_count == 0


def test_odd_names_can_be_listed_and_read(
    connection: http.client.HTTPConnection, root: Path
) -> None:
    directory = os.fsencode(root / "10017/data/a b")
    names = [name for name in ODD_NAMES if not name.startswith(b".")]
    for name in names:
        with open(os.path.join(directory, name), "wb") as file:
            file.write(name)
    _, _, page = ask(connection, "GET", "10017/data/a%20b/")

    links = re.findall(rb'<td><a href="([^"]*)">', page)[1:]
    assert len(links) == len(names)
    for link in links:
        path = link.replace(b"&amp;", b"&").decode("ascii").removeprefix("./")
        status, _, body = ask(connection, "GET", f"10017/data/a%20b/{path}")
        assert status == 200
        assert body in names


def test_a_missing_slash_is_added_by_a_redirect(
    connection: http.client.HTTPConnection, server: DemoServer
) -> None:
    for path in ("10017/data/a%20b", "10017/data/x.mrc"):
        status, headers, _ = ask(connection, "HEAD", path)

        assert status == 301
        assert headers["Location"] == f"{server.url}{path}/"


@pytest.mark.parametrize(
    "path",
    [
        "none",
        "../../../secret",
        "%2e%2e/secret",
        "..%2fsecret",
        "10017/..%2f..%2fsecret",
        "10017//10017.xml",
        "10017/./10017.xml",
        "10017/10017.xml/",
        "10017/10017.xml/x",
        "10017/a%00b",
        "x" * 300,
        "link",
        "linked/secret",
        "pipe",
    ],
)
def test_nothing_else_can_be_named(
    connection: http.client.HTTPConnection, root: Path, path: str
) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    (root / "linked").symlink_to(root.parent)
    os.mkfifo(root / "pipe")
    status, _, body = ask(connection, "GET", path)

    assert status == 404
    assert b"not served" not in body


def test_links_and_hidden_names_are_not_listed(
    connection: http.client.HTTPConnection, root: Path
) -> None:
    (root / "link").symlink_to("10017")
    (root / ".hidden").touch()
    (root / "README").touch()
    _, _, page = ask(connection, "GET", "")

    assert re.findall(rb'<td><a href="([^"]*)">', page) == [b"/empiar/", b"10017/"]


def test_other_methods_and_bodies_are_refused(server: DemoServer) -> None:
    address = urlsplit(server.url)
    for request in (b"PUT %s HTTP/1.1", b"GET %s HTTP/1.1\r\nContent-Length: 5"):
        with connect(server) as wire:
            wire.sendall(request % address.path.encode() + b"\r\nHost: x\r\n\r\nHELLO")
            wire.shutdown(socket.SHUT_WR)
            answered = b"".join(iter(lambda: wire.recv(1 << 16), b""))

        assert re.match(rb"HTTP/1.1 (400|501) ", answered)
        assert answered.count(b"HTTP/1.1 ") == 1


def test_it_counts_by_kind_and_tells_the_counts(
    connection: http.client.HTTPConnection, server: DemoServer
) -> None:
    ask(connection, "GET", "10017/10017.xml", Range="bytes=0-99")
    ask(connection, "GET", "10017/10017.xml")
    ask(connection, "HEAD", "10017/10017.xml")
    ask(connection, "GET", "10017")
    _, _, page = ask(connection, "GET", "10017/")
    connection.request("GET", COUNTS_PATH)
    told = ServerCounts(**json.loads(connection.getresponse().read()))

    assert told == server.counts() == ServerCounts(1, 1, 1, 1, 1, len(page), 10340)
    assert (told.requests, told.sent_bytes) == (5, 10340 + len(page))
    assert told - told == ServerCounts()


def test_what_a_client_did_not_take_is_not_counted(server: DemoServer, root: Path) -> None:
    big = root / "big.mrc"
    with big.open("wb") as file:
        file.truncate(200_000_000)
    address = urlsplit(server.url)
    with connect(server) as wire:
        wire.sendall(f"GET {address.path}big.mrc HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wire.recv(1000)
    server.stop()

    assert 0 < server.counts().file_bytes < 200_000_000


def test_only_this_machine_is_listened_to(server: DemoServer) -> None:
    assert server.url.startswith("http://127.0.0.1:")
    assert server.url.endswith("/empiar/world_availability/")


def test_stopping_ends_idle_connections_and_may_be_repeated(
    server: DemoServer, connection: http.client.HTTPConnection
) -> None:
    ask(connection, "HEAD", "10017/10017.xml")
    server.stop()

    connection.auto_open = 0
    assert connection.sock.recv(1) == b""


def test_more_connections_than_it_takes_are_closed(server: DemoServer) -> None:
    wires = [connect(server) for _ in range(70)]
    try:
        for wire in wires[64:]:
            assert wire.recv(1) == b""
    finally:
        for wire in wires:
            wire.close()
