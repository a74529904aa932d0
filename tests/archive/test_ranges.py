"""Byte ranges over HTTP: the right bytes, or an error of the right kind, in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from empiarfs.archive.client import ArchiveClient
from empiarfs.archive.wiring import USER_AGENT
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import (
    BadResponseError,
    BusyError,
    EmpiarFSError,
    FileChangedError,
    ForbiddenError,
    GaveUpError,
    InterruptedCallError,
    NotFoundError,
    OfflineError,
    StalledError,
    UnavailableError,
    UnreachableError,
)
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.archive.conftest import MakeClient
from tests.support.broken_server import BrokenServer, Fault
from tests.support.ranges import Reading, read, remote_file
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import wait_until

PATH = "10002/data/a b#?%25+é\udcff.mrc"
DATA = bytes(range(256)) * 40  # 10,240 bytes


@pytest.fixture(autouse=True)
def _file(server: BrokenServer) -> None:
    server.put(PATH, DATA)


def read_it(client: ArchiveClient, start: int = 100, stop: int = 8_100) -> bytes:
    return read(client, remote_file(client, PATH, len(DATA)), start, stop)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 10_240), (10_239, 10_240), (5, 9_000)])
def test_a_range_arrives_byte_for_byte(client: ArchiveClient, start: int, stop: int) -> None:
    assert read_it(client, start, stop) == DATA[start:stop]


def test_one_request_asks_for_exactly_the_range(
    server: BrokenServer, client: ArchiveClient, counters: Counters
) -> None:
    read_it(client)

    (request,) = server.requests
    assert request.method == "GET"
    assert request.path == PATH
    assert request.headers["range"] == "bytes=100-8099"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == USER_AGENT
    assert "cookie" not in request.headers
    assert counters["range_requests"] == counters["requests"] == 1
    assert counters["network_bytes"] == 8000


def test_one_connection_serves_requests_one_after_the_other(
    server: BrokenServer, client: ArchiveClient
) -> None:
    for _ in range(10):
        read_it(client)

    assert server.connections == 1
    assert client.connections_in_use == 1


def test_a_piece_is_given_out_only_when_it_is_whole(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault(PATH, Fault.silence_in_body(after=2_500))
    reading = Reading(ByteRange(0, 8_000), 1_000)
    stop = threading.Event()
    file = remote_file(client, PATH, len(DATA))

    def run() -> None:
        with pytest.raises(InterruptedCallError):
            read(client, file, 0, 8_000, reading=reading, cancelled=stop.is_set)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: reading.whole == 2 and reading.data[2_499])
    stop.set()
    thread.join()

    assert reading.whole == 2
    assert reading.data[:2_500] == DATA[:2_500]
    assert not any(reading.data[2_500:])


def test_no_memory_is_asked_for_before_the_headers_were_judged(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault(PATH, Fault.whole_file())

    def never() -> Iterator[memoryview]:
        raise AssertionError("asked for memory")
        yield

    with pytest.raises(BadResponseError):
        client.read_range(
            remote_file(client, PATH, len(DATA)),
            ByteRange(0, 10),
            never(),
            urgent=True,
            patience=Patience(10),
        )


@pytest.mark.parametrize("size", [7_000, 9_000])
def test_memory_of_another_size_than_the_range_is_a_mistake(
    client: ArchiveClient, size: int
) -> None:
    with pytest.raises(ValueError, match="bytes of memory too"):
        client.read_range(
            remote_file(client, PATH, len(DATA)),
            ByteRange(0, 8_000),
            iter([memoryview(bytearray(size))]),
            urgent=True,
            patience=Patience(10),
        )

    assert read_it(client) == DATA[100:8_100]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.whole_file(), BadResponseError),
        (Fault.content_range(""), BadResponseError),
        (Fault.content_range("bytes 0-7999/10240"), BadResponseError),
        (Fault.content_range("bytes 100-8099/10241"), FileChangedError),
        (Fault.gzip_body(), BadResponseError),
        (Fault.html_page(200), BadResponseError),
        (Fault.html_page(206), BadResponseError),
        (Fault.html_page(404), NotFoundError),
        (Fault.changed(), FileChangedError),
        (Fault.with_headers(("Last-Modified", "")), BadResponseError),
        (Fault.with_headers(("Content-Length", "8001")), BadResponseError),
        (Fault.with_headers(("Transfer-Encoding", "chunked")), BadResponseError),
        (Fault.redirect("http://127.0.0.2/archive/x"), BadResponseError),
        (Fault.redirect("/archive/other"), BadResponseError),
        (Fault.answer(403), ForbiddenError),
        (Fault.answer(404), NotFoundError),
        (Fault.answer(410), NotFoundError),
        (Fault.answer(416, ("Content-Range", "bytes */99")), FileChangedError),
        (Fault.answer(416), FileChangedError),
        (Fault.answer(500), UnavailableError),
        (Fault.busy(429, "1"), BusyError),
        (Fault.busy(503), BusyError),
        (Fault.reset("request"), UnavailableError),
        (Fault.reset("headers"), UnavailableError),
        (Fault.reset("body", 3_000), UnavailableError),
        (Fault.close(), UnavailableError),
        (Fault.short_body(1), UnavailableError),
        (Fault.chunked(b"more"), BadResponseError),
        (Fault.garbage(), BadResponseError),
        (Fault.garbage(b"HTTP/1.1 206 OK\r\n" + b"X-A: b\r\n" * 200), BadResponseError),
        (Fault.garbage(b"HTTP/1.1 206 OK\r\nA: " + b"b" * 70_000), BadResponseError),
    ],
    ids=lambda value: value.kind + str(value.status or "") if isinstance(value, Fault) else "",
)
def test_anything_but_the_range_is_an_error_of_its_kind(
    server: BrokenServer,
    client: ArchiveClient,
    fault: Fault,
    expected: type[EmpiarFSError],
) -> None:
    server.fault(PATH, fault)

    with pytest.raises(EmpiarFSError) as caught:
        read_it(client)

    assert type(caught.value) is expected
    assert read_it(client) == DATA[100:8_100]


@pytest.mark.parametrize("fault", [Fault.chunked(), Fault.until_end()], ids=["chunked", "end"])
def test_every_framing_of_the_right_bytes_is_read(
    server: BrokenServer, client: ArchiveClient, fault: Fault
) -> None:
    server.fault(PATH, fault)

    assert read_it(client) == DATA[100:8_100]
    assert read_it(client) == DATA[100:8_100]


def test_nothing_is_followed_to_another_host(server: BrokenServer, client: ArchiveClient) -> None:
    with BrokenServer({PATH: DATA}) as elsewhere:
        server.fault(PATH, Fault.redirect(elsewhere.url + "x"))
        with pytest.raises(BadResponseError):
            read_it(client)

        assert elsewhere.requests == []


@pytest.mark.parametrize("extra", [b"X", b"X" * 100_000])
def test_bytes_behind_the_end_are_never_read_as_an_answer(
    server: BrokenServer, client: ArchiveClient, extra: bytes
) -> None:
    server.fault(PATH, Fault.long_body(extra), times=3)

    for _ in range(5):
        assert read_it(client) == DATA[100:8_100]
        assert read_it(client, 0, 50) == DATA[:50]


def test_a_forged_answer_behind_the_end_is_not_believed(
    server: BrokenServer, client: ArchiveClient
) -> None:
    date = formatdate(1_600_000_020, usegmt=True)
    forged = (
        "HTTP/1.1 206 OK\r\nContent-Length: 50\r\nContent-Range: bytes 0-49/10240\r\n"
        f"Last-Modified: {date}\r\n\r\n"
    ).encode() + b"F" * 50
    server.fault(PATH, Fault.long_body(forged))
    # A small range, so that body and forgery arrive in one piece.
    assert read_it(client, 0, 10) == DATA[:10]

    assert read_it(client, 0, 50) == DATA[:50]


@pytest.mark.parametrize("status", [102, 103])
def test_an_interim_answer_is_passed_over_and_the_next_reader_gets_his_own_bytes(
    server: BrokenServer, client: ArchiveClient, status: int
) -> None:
    """As large, as old, asked for in the same range: nothing but the order tells them apart."""
    other = bytes(reversed(DATA))
    server.put("10002/data/other.mrc", other)
    server.fault(lambda request: request.path == PATH, Fault.interim(status, 0.2))

    first = read_it(client)
    second = read(client, remote_file(client, "10002/data/other.mrc", len(other)), 100, 8_100)

    assert first == DATA[100:8_100]
    assert second == other[100:8_100]


@pytest.mark.parametrize("status", [204, 205, 304])
def test_what_was_never_asked_for_ends_the_connection(
    server: BrokenServer, client: ArchiveClient, status: int
) -> None:
    server.fault(lambda request: True, Fault.answer(status))

    with pytest.raises(BadResponseError):
        read_it(client)
    read_it(client)

    assert server.connections == 2


def test_an_archive_that_sends_interim_answers_only_is_no_archive(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault(lambda request: True, Fault.garbage(b"HTTP/1.1 103 Wait\r\n\r\n" * 1000))

    with pytest.raises(BadResponseError):
        read_it(client)


def test_a_kept_connection_that_died_meanwhile_is_replaced_silently(
    server: BrokenServer, client: ArchiveClient, counters: Counters
) -> None:
    read_it(client)
    server.fault(PATH, Fault.close())

    assert read_it(client) == DATA[100:8_100]
    assert len(server.requests) == 3
    assert server.connections == 2
    assert counters["stalls"] == counters["retries"] == 0


def test_a_connection_is_not_used_beyond_the_announced_number_of_requests(
    make_client: MakeClient, server: BrokenServer
) -> None:
    server.max_requests = 3
    client = make_client(server)
    for _ in range(9):
        read_it(client)

    assert server.connections == 3
    assert len(server.requests) == 9


def test_a_request_that_is_never_answered_ends_by_the_deadline_with_a_reset(
    server: BrokenServer, make_client: MakeClient, counters: Counters
) -> None:
    client = make_client(server, first_byte_s=0.3)
    server.fault(PATH, Fault.silence())
    began_s = time.monotonic()
    with pytest.raises(StalledError):
        read_it(client)

    assert 0.3 <= time.monotonic() - began_s < 2
    assert counters["stalls"] == 1
    wait_until(lambda: server.endings == ["reset"])
    # The slot cools down, so that the firewall may forget the connection.
    assert client.connections_in_use == 1
    assert read_it(client) == DATA[100:8_100]
    wait_until(lambda: client.connections_in_use == 1)


def test_trickling_headers_are_a_stall(server: BrokenServer, make_client: MakeClient) -> None:
    client = make_client(server, first_byte_s=0.5)
    server.fault(PATH, Fault.trickle_headers(bytes_per_s=50))

    with pytest.raises(StalledError):
        read_it(client)


@pytest.mark.slow
def test_a_trickling_body_is_a_stall_after_ten_seconds(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault(PATH, Fault.trickle(bytes_per_s=100))
    began_s = time.monotonic()
    with pytest.raises(StalledError):
        read_it(client)

    assert 9 < time.monotonic() - began_s < 13


def test_the_patience_of_the_caller_ends_a_silent_request(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault(PATH, Fault.silence())
    with pytest.raises(GaveUpError):
        read(client, remote_file(client, PATH, len(DATA)), seconds=0.2)


def test_a_caller_that_is_gone_ends_its_request(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault(PATH, Fault.silence())
    file = remote_file(client, PATH, len(DATA))
    gone = Patience(60, lambda: len(server.requests) == 1)

    with pytest.raises(InterruptedCallError):
        client.read_range(file, ByteRange(0, 9), iter([]), urgent=True, patience=gone)


def test_close_ends_what_is_in_flight_and_what_comes_later_at_once(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault(PATH, Fault.silence(), times=5)
    errors: list[type[BaseException]] = []

    def run() -> None:
        try:
            read_it(client)
        except EmpiarFSError as exc:
            errors.append(type(exc))

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(server.requests) == 5)
    watch = Stopwatch()
    client.close()
    for thread in threads:
        thread.join()

    assert watch.seconds() < 0.5
    assert errors == [InterruptedCallError] * 5
    assert client.connections_in_use == 0
    with pytest.raises(InterruptedCallError):
        read_it(client)


def test_nobody_is_asked_while_the_archive_is_out_of_reach(
    server: BrokenServer, client: ArchiveClient, counters: Counters
) -> None:
    read_it(client)
    server.stop()
    for _ in range(10):
        with pytest.raises(UnavailableError):
            read_it(client)

    # The first failures end the kept connection and fall into the second in which bytes came.
    wait_until(lambda: _fails_as_offline(client))
    assert client.reachability == "offline"
    opened = counters["connections_opened"]
    with pytest.raises(OfflineError):
        read_it(client)
    assert counters["connections_opened"] == opened


def _fails_as_offline(client: ArchiveClient) -> bool:
    try:
        read_it(client)
    except OfflineError:
        return True
    except UnreachableError:
        return False
    raise AssertionError("it was read")


def test_waiters_return_when_a_probe_is_due_or_their_time_is_over(
    server: BrokenServer, client: ArchiveClient
) -> None:
    client.wait_until_reachable(60)
    server.stop()
    wait_until(lambda: _fails_as_offline(client))
    watch = Stopwatch()
    client.wait_until_reachable(0.05)

    assert watch.elapsed() >= 0.05
    assert watch.seconds() < 1


def test_an_unknown_host_is_unreachable(make_client: MakeClient, server: BrokenServer) -> None:
    client = make_client(server, base_url="http://nowhere.invalid/archive/")

    with pytest.raises(UnreachableError, match="can't resolve"):
        read_it(client)


def test_a_limited_rate_is_kept(make_client: MakeClient, server: BrokenServer) -> None:
    server.put("big", bytes(600_000))
    client = make_client(server, limit_rate=1_000_000)
    watch = Stopwatch()
    read(client, remote_file(client, "big", 600_000), piece=65_536)
    took_s = watch.seconds()

    # A quarter of a second's worth may come at once.
    assert watch.elapsed() > 0.3
    assert took_s < 2


def test_a_refusal_keeps_foreseen_requests_back_for_a_while(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault(PATH, Fault.busy(503, "30"))
    with pytest.raises(BusyError) as caught:
        read_it(client)

    assert caught.value.retry_after_s == 30
    assert client.is_refused
    file = remote_file(client, PATH, len(DATA))
    with pytest.raises(GaveUpError):
        read(client, file, urgent=False, seconds=0.1)
    assert read(client, file) == DATA


def test_credentials_in_the_url_are_sent_and_never_shown(
    server: BrokenServer, make_client: MakeClient
) -> None:
    client = make_client(server, base_url=server.url.replace("//", "//me:s%20t@"))
    assert client.base_url == server.url
    server.fault(PATH, Fault.answer(404))
    with pytest.raises(NotFoundError) as caught:
        read_it(client)

    assert server.requests[0].headers["authorization"] == "Basic bWU6cyB0"
    assert "me" not in str(caught.value).partition("//")[2].partition("/")[0]
