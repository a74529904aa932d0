"""Listings and single HEADs: repeated until they work, can't, or nobody waits any more."""

from __future__ import annotations

import gzip
import zlib

import pytest

from empiarfs.archive.client import ArchiveClient
from empiarfs.core.files import FileVersion
from empiarfs.core.responses import Head
from empiarfs.errors import (
    ArchiveError,
    BadResponseError,
    ForbiddenError,
    GaveUpError,
    InterruptedCallError,
    NotFoundError,
    UnavailableError,
)
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.archive.conftest import MakeClient
from tests.support.broken_server import DEFAULT_MODIFIED_S, BrokenServer, Fault

NAMES = ["plain.mrc", "a b#?%25+é.tif", "é\udcff", "x:y", "~tilde", 'z&amp;<>".star']


@pytest.fixture(autouse=True)
def _files(server: BrokenServer) -> None:
    for name in NAMES:
        server.put(f"10002/data/{name}", bytes(5000))
    server.put("10002/data/sub/file", b"x")
    server.put("10002/empty", b"")


def names(client: ArchiveClient, path: str = "10002/data", seconds: float = 10) -> set[str]:
    return {item.name for item in client.listing(path, patience=Patience(seconds)).items}


def page(server: BrokenServer, path: str) -> bytes:
    listing = server._listing(path)
    assert listing is not None
    return listing


def test_a_directory_is_asked_for_with_a_slash_and_gzip_allowed(
    server: BrokenServer, client: ArchiveClient, counters: Counters
) -> None:
    assert names(client) == {*NAMES, "sub"}
    (request,) = server.requests
    assert request.path == "10002/data/"
    assert request.headers["accept-encoding"] == "gzip"
    assert counters["listing_requests"] == 1
    assert counters["network_bytes"] > 0


def test_the_root_is_a_directory_too(client: ArchiveClient) -> None:
    assert names(client, "") == {"10002"}


def test_a_packed_page_is_unpacked(server: BrokenServer, client: ArchiveClient) -> None:
    packed = gzip.compress(page(server, "10002/data/"))
    headers = (("Content-Type", "text/html"), ("Content-Encoding", "gzip"))
    server.fault("10002/data/", Fault.answer(200, *headers, body=packed))

    assert names(client) == {*NAMES, "sub"}
    assert len(server.requests) == 1


def packed_faults(plain: bytes) -> list[bytes]:
    packed = gzip.compress(plain)
    return [packed[:-1], packed[:-40], packed + b"more", b"no gzip", packed[:30] + bytes(99)]


@pytest.mark.parametrize("number", range(5))
def test_a_damaged_packed_page_is_asked_for_again(
    server: BrokenServer, client: ArchiveClient, number: int
) -> None:
    body = packed_faults(page(server, "10002/data/"))[number]
    headers = (("Content-Type", "text/html"), ("Content-Encoding", "gzip"))
    server.fault("10002/data/", Fault.answer(200, *headers, body=body))

    assert names(client) == {*NAMES, "sub"}
    assert len(server.requests) == 2


def test_a_small_page_that_unpacks_without_end_is_refused(
    server: BrokenServer, client: ArchiveClient
) -> None:
    packer = zlib.compressobj(9, wbits=31)
    blank = bytes(2**20).replace(b"\0", b" ")
    bomb = b"".join(packer.compress(blank) for _ in range(300)) + packer.flush()
    headers = (("Content-Type", "text/html"), ("Content-Encoding", "gzip"))
    server.fault("10002/data/", Fault.answer(200, *headers, body=bomb), times=99)
    assert len(bomb) < 400_000

    with pytest.raises(BadResponseError):
        names(client, seconds=120)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.html_page(200),
        Fault.short_body(30),
        Fault.reset("body", 300),
        Fault.answer(500),
        Fault.answer(200, ("Content-Type", "text/html"), body=b"<html><title>Index of /archive/x"),
        Fault.with_headers(("Content-Encoding", "br")),
        Fault.garbage(),
    ],
    ids=lambda fault: fault.kind,
)
def test_what_is_no_listing_is_asked_for_again(
    server: BrokenServer, client: ArchiveClient, fault: Fault, counters: Counters
) -> None:
    server.fault("10002/data/", fault)

    assert names(client) == {*NAMES, "sub"}
    assert counters["retries"] == 1


def test_the_listing_of_a_directory_of_the_same_name_is_not_believed(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.put("10003/data/other.mrc", b"x")
    body = page(server, "10003/data/")
    headers = ("Content-Type", "text/html")
    server.fault("10002/data/", Fault.answer(200, headers, body=body))

    assert names(client) == {*NAMES, "sub"}
    assert len(server.requests) == 2


def test_a_page_that_is_never_a_listing_is_a_bad_response(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault("10002/data/", Fault.html_page(200), times=99)

    with pytest.raises(BadResponseError):
        names(client)
    assert len(server.requests) == 3


def test_a_redirect_to_another_spelling_is_followed_twice(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault("10002/data/", Fault.redirect("/archive/10002/%64ata/"))
    server.fault("10002/data/", Fault.redirect("../d%61ta/"))

    assert names(client) == {*NAMES, "sub"}


@pytest.mark.parametrize(
    "target",
    [
        "/archive/10002/old/",
        "/archive/10002/data/",
        "/elsewhere/10002/old/",
        "http://127.0.0.2/archive/10002/old/",
    ],
)
def test_a_loop_and_a_redirect_elsewhere_are_errors(
    server: BrokenServer, client: ArchiveClient, target: str
) -> None:
    server.fault("10002/old/", Fault.redirect(target), times=99)

    with pytest.raises(BadResponseError):
        names(client, "10002/old")


@pytest.mark.parametrize(
    ("status", "expected"), [(404, NotFoundError), (403, ForbiddenError), (410, NotFoundError)]
)
def test_a_refused_directory_is_not_asked_for_again(
    server: BrokenServer, client: ArchiveClient, status: int, expected: type[ArchiveError]
) -> None:
    server.fault("10002/data/", Fault.answer(status))

    with pytest.raises(expected):
        names(client)
    assert len(server.requests) == 1


def test_the_patience_ends_the_attempts_and_names_the_last_failure(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault("10002/data/", Fault.answer(500), times=99)

    with pytest.raises(GaveUpError, match="500") as caught:
        names(client, seconds=0.3)
    assert isinstance(caught.value.__cause__, UnavailableError)


def test_close_ends_a_pause_between_attempts(server: BrokenServer, client: ArchiveClient) -> None:
    server.fault("10002/data/", Fault.busy(503, "60"))

    def close_after_the_refusal() -> bool:
        if server.requests:
            client.close()
        return False

    with pytest.raises(InterruptedCallError):
        client.listing("10002/data", patience=Patience(90, close_after_the_refusal))


def test_refused_names_are_counted(
    server: BrokenServer, client: ArchiveClient, counters: Counters
) -> None:
    evil = page(server, "10002/data/").replace(b'href="sub/"', b'href="http://elsewhere/sub/"')
    server.listings["10002/data/"] = evil
    listing = client.listing("10002/data", patience=Patience(10))

    assert listing.refused_count == counters["refused_names"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_head_tells_size_and_time(client: ArchiveClient, name: str) -> None:
    head = client.head(f"10002/data/{name}", patience=Patience(10))

    assert head == Head(FileVersion(5000, DEFAULT_MODIFIED_S), is_directory=False)


def test_a_head_tells_directories_by_their_redirect(
    server: BrokenServer, client: ArchiveClient
) -> None:
    assert client.head("10002/data", patience=Patience(10)) == Head(None, is_directory=True)
    assert client.head("", patience=Patience(10)) == Head(None, is_directory=True)


def test_an_empty_file_is_proven_empty(server: BrokenServer, client: ArchiveClient) -> None:
    head = client.head("10002/empty", patience=Patience(10))

    assert head == Head(FileVersion(0, DEFAULT_MODIFIED_S), is_directory=False)
    assert [request.method for request in server.requests] == ["HEAD", "GET"]


def test_an_absent_name_is_not_found_over_a_kept_connection(
    server: BrokenServer, client: ArchiveClient
) -> None:
    for number in range(5):
        with pytest.raises(NotFoundError):
            client.head(f"10002/absent{number}", patience=Patience(10))

    assert server.connections == 1


def test_a_stalled_head_is_asked_again_at_once(
    server: BrokenServer, make_client: MakeClient, counters: Counters
) -> None:
    client = make_client(server, first_byte_s=0.2)
    server.fault("10002/data/plain.mrc", Fault.silence(), times=2)

    assert client.head("10002/data/plain.mrc", patience=Patience(10)).version is not None
    assert counters["stalls"] == counters["retries"] == 2
