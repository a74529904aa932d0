"""What happens to connections between requests, and under pressure."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.archive.client import ArchiveClient, ClientConfig
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import EmpiarFSError, InterruptedCallError, StalledError
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.archive.conftest import MakeClient
from tests.support.broken_server import BrokenServer, Fault
from tests.support.ranges import read, remote_file
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]
SIZE = 1000


@pytest.fixture(autouse=True)
def _files(server: BrokenServer) -> None:
    for number in range(30):
        server.put(f"f{number}", bytes([number]) * SIZE)


def read_file(client: ArchiveClient, number: int, *, urgent: bool = True) -> None:
    data = read(client, remote_file(client, f"f{number}", SIZE), urgent=urgent)
    assert data == bytes([number]) * SIZE


class Readers:
    """Threads that read one file each, and how they ended."""

    def __init__(self) -> None:
        self.errors: list[type[BaseException]] = []
        self._threads: list[threading.Thread] = []

    def start(self, client: ArchiveClient, number: int, *, urgent: bool) -> None:
        thread = threading.Thread(target=self._run, args=(client, number, urgent))
        self._threads.append(thread)
        thread.start()

    def _run(self, client: ArchiveClient, number: int, urgent: bool) -> None:
        try:
            read_file(client, number, urgent=urgent)
        except EmpiarFSError as exc:
            self.errors.append(type(exc))

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def test_no_thread_and_no_socket_before_the_first_use(
    server: BrokenServer, make_client: MakeClient
) -> None:
    before = threading.active_count()
    client = make_client(server)

    assert threading.active_count() == before
    assert client.connections_in_use == server.connections == 0


def test_at_most_two_idle_connections_are_kept(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.latency_s = 0.05
    readers = Readers()
    for number in range(8):
        readers.start(client, number, urgent=True)
    readers.join()

    assert readers.errors == []
    assert server.peak_connections > 2
    wait_until(lambda: server.open_connections == client.connections_in_use == 2)


@pytest.mark.slow
def test_idle_connections_are_closed_before_the_archive_does(
    server: BrokenServer, client: ArchiveClient
) -> None:
    read_file(client, 1)
    began_s = time.monotonic()
    wait_until(lambda: server.open_connections == client.connections_in_use == 0)

    # Not by a reset, and not by the server, which would have waited for longer.
    assert server.endings == ["end"]
    assert time.monotonic() - began_s > 3


def test_an_archive_that_keeps_connections_only_briefly_is_believed(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.keep_alive_s = 1.0
    read_file(client, 1)

    wait_until(lambda: client.connections_in_use == 0, 0.9)


def test_the_limit_holds_whatever_is_asked(server: BrokenServer, make_client: MakeClient) -> None:
    server.latency_s = 0.01
    client = make_client(server, max_connections=3)
    readers = Readers()
    for number in range(20):
        readers.start(client, number, urgent=number % 2 == 0)
    readers.join()

    assert set(readers.errors) <= {InterruptedCallError}
    assert server.peak_connections <= 3


def test_an_urgent_request_takes_the_line_of_the_youngest_foreseen_one(
    server: BrokenServer, make_client: MakeClient, counters: Counters
) -> None:
    client = make_client(server, max_connections=3)
    server.fault(lambda request: request.path in ("f0", "f1", "f2"), Fault.silence(), times=3)
    readers, foreseen = Readers(), Readers()
    foreseen.start(client, 0, urgent=False)
    wait_until(lambda: len(server.requests) == 1)
    for number in (1, 2):
        readers.start(client, number, urgent=True)
    wait_until(lambda: len(server.requests) == 3)
    watch = Stopwatch()
    read_file(client, 3)

    assert watch.seconds() < 1
    foreseen.join()
    assert foreseen.errors == [InterruptedCallError]
    assert readers.errors == []
    client.close()
    readers.join()
    assert counters["stalls"] == 0


def test_prepared_connections_carry_what_is_asked_next(
    server: BrokenServer, make_client: MakeClient
) -> None:
    client = make_client(server)
    client.prepare(4)
    wait_until(lambda: server.open_connections == 4)
    server.latency_s = 0.05
    readers = Readers()
    for number in range(4):
        readers.start(client, number, urgent=True)
    readers.join()

    assert readers.errors == []
    assert server.connections == 4
    client.prepare(2)
    assert server.connections == 4


def test_prepared_connections_that_nobody_uses_are_closed_soon(
    server: BrokenServer, client: ArchiveClient
) -> None:
    client.prepare(5)
    wait_until(lambda: server.open_connections == 5)
    wait_until(lambda: server.open_connections <= 2, 3)

    assert client.connections_in_use <= 2


def test_one_connection_carries_listings_and_pipelined_sizes_by_turns(
    server: BrokenServer, make_client: MakeClient
) -> None:
    client = make_client(server, max_connections=1)
    for _ in range(3):
        rows = client.listing("", patience=Patience(5)).items
        answers: dict[str, object] = {}
        failures = client.heads("", rows, patience=Patience(5), answered=answers.__setitem__)
        assert not failures
        assert len(answers) == 30
        read_file(client, 7)

    assert server.peak_connections == 1
    assert server.connections == 1


def test_a_machine_that_slept_drops_its_connections_at_once(
    server: BrokenServer, prefix: str, counters: Counters
) -> None:
    slept = [0.0]
    config = ClientConfig(server.url, slot_prefix=prefix)
    client = ArchiveClient(config, counters, slept_s=lambda: slept[0])
    server.fault("f1", Fault.silence())
    errors: list[type[BaseException]] = []

    def run() -> None:
        try:
            read_file(client, 1)
        except EmpiarFSError as exc:
            errors.append(type(exc))

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: server.requests)
    slept[0] = 3600.0
    thread.join(3)

    assert errors == [StalledError]
    read_file(client, 1)
    client.close()


def test_a_closed_client_gives_back_slots_that_cool_down(
    server: BrokenServer, make_client: MakeClient
) -> None:
    client = make_client(server, first_byte_s=0.1)
    server.fault("f1", Fault.silence())
    with pytest.raises(EmpiarFSError):
        read_file(client, 1)
    assert client.connections_in_use == 1
    client.close()

    assert client.connections_in_use == 0


_READER = """
    import sys, threading
    from empiarfs.archive.client import ArchiveClient, ClientConfig, ClientConfig
    from empiarfs.stats import Counters
    from tests.support.ranges import read, remote_file
    url, prefix, count = sys.argv[1:]
    client = ArchiveClient(ClientConfig(url, max_connections=4, slot_prefix=prefix), Counters())
    def run(first):
        for number in range(int(count)):
            data = read(client, remote_file(client, f"f{first}", 1000), seconds=60)
            assert data == bytes([first]) * 1000
    threads = [threading.Thread(target=run, args=(n,)) for n in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    client.close()
    print("done")
"""


@pytest.fixture
def processes(server: BrokenServer, prefix: str) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-c", textwrap.dedent(_READER), server.url, prefix, "40"]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
        for _ in range(3)
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_three_busy_processes_share_four_connections_and_all_finish(
    server: BrokenServer, processes: list[subprocess.Popen[str]]
) -> None:
    server.latency_s = 0.005
    outputs = [process.communicate(timeout=60)[0] for process in processes]

    assert outputs == ["done\n"] * 3
    assert server.peak_connections <= 4
    assert len(server.requests) >= 3 * 6 * 40


@pytest.mark.slow
def test_a_single_look_gets_through_beside_a_process_that_is_always_busy(
    server: BrokenServer, make_client: MakeClient
) -> None:
    busy, other = make_client(server, max_connections=2), make_client(server, max_connections=2)
    server.latency_s = 0.005
    stop = threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            read_file(busy, 1)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: len(server.requests) > 20)
        watch = Stopwatch()
        for _ in range(3):
            read_file(other, 2)
        took_s = watch.seconds()
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert took_s < 1.5
    assert server.peak_connections <= 2


def test_a_range_is_read_by_a_generator_that_stops_early(
    server: BrokenServer, client: ArchiveClient
) -> None:
    class Stop(Exception):
        pass

    def buffers() -> Iterator[memoryview]:
        yield memoryview(bytearray(100))
        raise Stop

    with pytest.raises(Stop):
        client.read_range(
            remote_file(client, "f1", SIZE),
            ByteRange(0, SIZE),
            buffers(),
            urgent=True,
            patience=Patience(5),
        )
    read_file(client, 1)
    assert client.connections_in_use == 1
