"""The simulated link is as far, as narrow and as faulty as it says, and counts what it does.

Times are compared with what the settings make of them. Never less is exact; little more is
asked of the best of several tries, or of a second's work, since the machine may be busy.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.apache import ARCHIVE_PATH, ApacheServer
from tests.support.slow_link import EBI, GOOD, LinkSettings, SlowLink
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.apache, pytest.mark.slow]

SMALL = ARCHIVE_PATH + "10001/data/small"
BIG = ARCHIVE_PATH + "10001/data/big"
SMALL_BYTES = tree.contents(b"small", 300)
BIG_BYTES = tree.contents(b"big", 4_000_000)
REQUEST = f"GET {SMALL} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.fixture(scope="module")
def server() -> Iterator[ApacheServer]:
    with tree.temporary_root() as root:
        tree.write_file(root / "10001/data/small", SMALL_BYTES)
        tree.write_file(root / "10001/data/big", BIG_BYTES)
        tree.set_times(root)
        with ApacheServer(root, keep_alive_requests=0) as apache:
            yield apache


def connection_over(link: SlowLink) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", link.port, timeout=30))


def socket_over(link: SlowLink) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=30)


def get(connection: http.client.HTTPConnection, path: str = SMALL, size: int = 0) -> bytes:
    connection.request("GET", path, headers={"Range": f"bytes=0-{size - 1}"} if size else {})
    return connection.getresponse().read()


def seconds_of(connection: http.client.HTTPConnection, path: str = SMALL, size: int = 0) -> float:
    begin = time.monotonic()
    get(connection, path, size)
    return time.monotonic() - begin


def answers_in(data: bytes) -> int:
    return data.count(b"HTTP/1.1 200 OK")


def receive_answers(connected: socket.socket, count: int) -> None:
    data = b""
    while answers_in(data) < count or data.count(SMALL_BYTES) < count:
        received = connected.recv(65_536)
        assert received
        data += received
    assert answers_in(data) == count


def receive_until_reset(connected: socket.socket) -> bytes:
    data = b""
    with suppress(ConnectionResetError):
        while received := connected.recv(65_536):
            data += received
        raise AssertionError("it was closed in order")
    return data


def has_nothing_to_read(connected: socket.socket) -> bool:
    connected.setblocking(False)
    try:
        return bool(connected.recv(1)) and False
    except BlockingIOError:
        return True


def is_reset(connected: socket.socket) -> bool:
    try:
        connected.sendall(REQUEST)
        return bool(connected.recv(1)) and False
    except ConnectionError:
        return True


def test_the_links_by_name_are_those_that_were_measured() -> None:
    assert (GOOD.round_trip_s, GOOD.connection_rate, GOOD.link_rate) == (0.04, 25e6, 120e6)
    assert (EBI.round_trip_s, EBI.connection_rate, EBI.link_rate) == (0.1, 1.5e6, 24e6)
    assert (EBI.swallow_every, EBI.connection_limit) == (33, 25)


def test_bytes_and_listings_pass_unchanged(server: ApacheServer) -> None:
    with (
        SlowLink(server.url, LinkSettings(0.001, 1, 500_000_000, 800_000_000)) as link,
        connection_over(link) as connection,
        closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as direct,
    ):
        listing = ARCHIVE_PATH + "10001/data/"

        assert get(connection, BIG) == BIG_BYTES
        assert get(connection) == SMALL_BYTES
        assert get(connection, listing) == get(direct, listing)


def test_a_request_takes_a_round_trip_and_a_new_connection_two_more(server: ApacheServer) -> None:
    with SlowLink(server.url, LinkSettings(round_trip_s=0.1, opening_round_trips=2)) as link:
        first, later = [], []
        for _ in range(3):
            with connection_over(link) as connection:
                first.append(seconds_of(connection))
                later.append(seconds_of(connection))

    assert 0.3 <= min(first) < 0.33
    assert 0.1 <= min(later) < 0.12


def test_pipelined_requests_share_a_round_trip(server: ApacheServer) -> None:
    with (
        SlowLink(server.url, LinkSettings(round_trip_s=0.2)) as link,
        socket_over(link) as connected,
    ):
        watch = Stopwatch()
        connected.sendall(20 * REQUEST)
        receive_answers(connected, 20)

        assert watch.elapsed() >= 0.2
        assert watch.seconds() < 0.4
        assert link.statistics().requests == 20


def test_a_connection_carries_its_rate(server: ApacheServer) -> None:
    with (
        SlowLink(server.url, LinkSettings(connection_rate=4_000_000)) as link,
        connection_over(link) as connection,
    ):
        seconds = seconds_of(connection, BIG, 4_000_000)

    assert 1.0 <= seconds < 1.1


def test_connections_share_the_link_fairly(server: ApacheServer) -> None:
    ends: list[float] = []

    def stream() -> None:
        with connection_over(link) as connection:
            get(connection, BIG, 1_000_000)
        ends.append(time.monotonic())

    settings = LinkSettings(connection_rate=2_000_000, link_rate=8_000_000)
    with SlowLink(server.url, settings) as link:
        begin = time.monotonic()
        threads = [threading.Thread(target=stream) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = link.statistics()

    assert 1.0 <= max(ends) - begin < 1.1
    assert max(ends) - begin < 1.1 * (min(ends) - begin)
    assert found.bytes_down / 8_000_000 == pytest.approx(found.busy_s)
    assert 0.85 < found.fullness <= 1.0
    assert found.idle_s == pytest.approx(found.seconds - found.busy_s)


def test_each_nth_request_is_swallowed_whatever_its_connection(server: ApacheServer) -> None:
    with SlowLink(server.url, LinkSettings(swallow_every=3)) as link, ExitStack() as stack:
        connections = [stack.enter_context(connection_over(link)) for _ in range(3)]
        get(connections[0])
        get(connections[1])
        swallowed = stack.enter_context(socket_over(link))
        swallowed.sendall(REQUEST)
        wait_until(lambda: link.statistics().requests == 3)
        get(connections[0])
        get(connections[2])

        assert has_nothing_to_read(swallowed)
        assert link.statistics().swallowed == 1


def test_nothing_behind_a_swallowed_request_gets_through(server: ApacheServer) -> None:
    with SlowLink(server.url, LinkSettings(swallow_every=4)) as link, ExitStack() as stack:
        pipelined = stack.enter_context(socket_over(link))
        mark = server.mark()
        pipelined.sendall(6 * REQUEST)
        receive_answers(pipelined, 3)
        pipelined.sendall(REQUEST)
        # What comes behind is no candidate: the next three elsewhere are answered.
        other = stack.enter_context(connection_over(link))
        for _ in range(3):
            get(other)
        found = link.statistics()

        assert has_nothing_to_read(pipelined)
        assert (found.requests, found.swallowed, found.behind, found.replies) == (10, 1, 3, 6)
        assert len(server.requests_since(mark)) == 6


def test_a_swallowed_request_hangs_though_the_server_would_close(server: ApacheServer) -> None:
    with (
        ApacheServer(server.root, extra_config="KeepAliveTimeout 100ms") as impatient,
        SlowLink(impatient.url) as link,
        socket_over(link) as hanging,
        socket_over(link) as idle,
    ):
        link.swallow_next(1)
        hanging.sendall(2 * REQUEST)
        wait_until(lambda: link.statistics().behind == 1)
        idle.sendall(REQUEST)
        receive_answers(idle, 1)

        assert idle.recv(1) == b""
        assert has_nothing_to_read(hanging)


def test_the_next_requests_are_swallowed_on_demand(server: ApacheServer) -> None:
    with SlowLink(server.url, LinkSettings()) as link, ExitStack() as stack:
        link.swallow_next(2)
        for _ in range(2):
            stack.enter_context(socket_over(link)).sendall(REQUEST)
        wait_until(lambda: link.statistics().swallowed == 2)

        assert get(stack.enter_context(connection_over(link))) == SMALL_BYTES


def test_each_nth_reply_ends_in_a_reset_after_some_bytes(server: ApacheServer) -> None:
    settings = LinkSettings(round_trip_s=0.01, cut_every=2, cut_after=1_000)
    with SlowLink(server.url, settings) as link, socket_over(link) as connected:
        connected.sendall(REQUEST)
        receive_answers(connected, 1)
        connected.sendall(REQUEST.replace(SMALL.encode(), BIG.encode()))
        data = receive_until_reset(connected)

        assert len(data) == 1_000
        assert BIG_BYTES.startswith(data.partition(b"\r\n\r\n")[2])
        assert link.statistics().cut == 1


def test_connections_beyond_the_limit_are_reset_and_counted(server: ApacheServer) -> None:
    with SlowLink(server.url, LinkSettings(0.05, connection_limit=2)) as link:
        with ExitStack() as stack:
            for _ in range(2):
                get(stack.enter_context(connection_over(link)))
            with pytest.raises(ConnectionError):  # maybe at once, maybe with the answer
                get(stack.enter_context(connection_over(link)))
            found = link.statistics()
        # Those are closed, so there is room at once.
        with connection_over(link) as connection:
            assert get(connection) == SMALL_BYTES
        after = link.statistics()

    assert (found.opened, found.open_now, found.open_peak, found.refused) == (2, 2, 2, 1)
    assert (after.opened, after.open_peak, after.refused) == (3, 2, 1)


def test_a_reply_that_nobody_waits_for_takes_up_a_round_trips_worth(server: ApacheServer) -> None:
    with SlowLink(server.url, LinkSettings(0.1, connection_rate=2_000_000)) as link:
        with socket_over(link) as connected:
            connected.sendall(REQUEST.replace(SMALL.encode(), BIG.encode()))
            assert connected.recv(1) == b"H"
        wait_until(lambda: link.statistics().bytes_lost > 100_000)
        with connection_over(link) as connection:
            for _ in range(3):
                get(connection)
        found = link.statistics()

    # Half a round trip's on its way down, and another half's until the server knows.
    assert 150_000 < found.bytes_down < 400_000
    assert found.bytes_lost <= found.bytes_down


def test_a_link_that_is_cut_off_passes_all_once_it_is_restored(server: ApacheServer) -> None:
    with SlowLink(server.url, LinkSettings(0.01)) as link, socket_over(link) as connected:
        connected.sendall(REQUEST)
        receive_answers(connected, 1)
        link.cut_off()
        connected.sendall(REQUEST)
        with socket_over(link) as new:
            new.sendall(REQUEST)
            during = link.statistics()
            link.restore()
            receive_answers(connected, 1)
            receive_answers(new, 1)

    assert (during.opened, during.requests, during.replies) == (1, 1, 1)


def test_settings_change_for_connections_that_are_open(server: ApacheServer) -> None:
    with SlowLink(server.url, LinkSettings()) as link, connection_over(link) as connection:
        get(connection)
        link.change(round_trip_s=0.2, swallow_every=2)

        assert seconds_of(connection) >= 0.2
        assert link.statistics().swallowed == 0
        connection.request("GET", SMALL)
        wait_until(lambda: link.statistics().swallowed == 1)


def test_counting_begins_anew_beside_what_is_open(server: ApacheServer) -> None:
    settings = LinkSettings(0.01, swallow_every=3)
    with SlowLink(server.url, settings) as link, connection_over(link) as connection:
        get(connection)
        before = link.count_anew()
        get(connection)
        after = link.statistics()
        connection.request("GET", SMALL)
        wait_until(lambda: link.statistics().swallowed == 1)

    assert (before.opened, before.requests, before.open_peak) == (1, 1, 1)
    assert before.bytes_of_bodies == len(SMALL_BYTES)
    assert (after.opened, after.requests, after.open_now, after.open_peak) == (0, 1, 1, 1)
    assert after.seconds < before.seconds + 10


def test_what_is_no_request_is_reset(server: ApacheServer) -> None:
    with SlowLink(server.url, GOOD) as link, socket_over(link) as connected:
        connected.sendall(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
        with pytest.raises(ConnectionResetError):
            connected.recv(1)

        assert link.statistics().malformed == 1


def test_a_server_that_is_down_resets_its_clients(server: ApacheServer) -> None:
    with (
        ApacheServer(server.root) as stopped,
        SlowLink(stopped.url, LinkSettings(0.01)) as link,
        connection_over(link) as connection,
    ):
        stopped.stop()
        with pytest.raises(ConnectionResetError):
            get(connection)
        stopped.start()
        connection.close()

        assert get(connection) == SMALL_BYTES


def test_a_client_that_does_not_read_is_not_read_for(server: ApacheServer) -> None:
    with (
        SlowLink(server.url, LinkSettings(0.01, connection_rate=1_000_000_000)) as link,
        socket_over(link) as lazy,
        connection_over(link) as busy,
    ):
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        lazy.sendall(10 * REQUEST.replace(SMALL.encode(), BIG.encode()))
        get(busy, BIG)
        get(busy, BIG)
        found = link.statistics()

    # Of its 40 MB, what fits the sockets and half a round trip at this rate.
    assert found.bytes_down - 2 * len(BIG_BYTES) < 20_000_000


def test_urls_of_other_servers_are_refused(server: ApacheServer) -> None:
    with SlowLink(server.url) as link:
        assert link.url_for(server.url) == f"http://127.0.0.1:{link.port}{ARCHIVE_PATH}"
        with pytest.raises(ValueError, match="goes to"):
            link.url_for("http://127.0.0.1:1/")
    with pytest.raises(ValueError, match="not http"):
        SlowLink("https://127.0.0.1:1/")


def test_nothing_is_left_of_a_link(server: ApacheServer) -> None:
    with SlowLink(server.url) as link, socket_over(link) as connected:
        pid, port = link.pid, link.port
        link.__exit__()

        assert is_reset(connected)
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_link_ends_with_a_program_that_is_killed(server: ApacheServer) -> None:
    program = (
        "import sys, time\nfrom tests.support.slow_link import SlowLink\n"
        "with SlowLink(sys.argv[1]) as link:\n    print(link.pid, flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, server.url],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)

    wait_until(lambda: not Path(f"/proc/{pid}").exists())
