"""Exact sizes of whole directories: never a wrong one, never one lost."""

from __future__ import annotations

import threading
import time

import pytest

from empiarfs.archive.client import ArchiveClient
from empiarfs.core.files import FileVersion
from empiarfs.core.listing import ListingItem
from empiarfs.errors import (
    ArchiveError,
    ForbiddenError,
    GaveUpError,
    InterruptedCallError,
    NotFoundError,
    OfflineError,
)
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.archive.conftest import MakeClient
from tests.support.broken_server import DEFAULT_MODIFIED_S, BrokenServer, Fault, Request
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import wait_until

Failures = dict[str, ArchiveError | GaveUpError]


class Directory:
    """Files that print alike and differ by a byte, so that a shift would show."""

    def __init__(self, server: BrokenServer, count: int, size: int = 60_000) -> None:
        self.sizes = {f"f{number:04}": size + number % 7 for number in range(count)}
        block = bytes(size + 7)
        for name, each in self.sizes.items():
            server.put(f"d/{name}", block[:each])
        self.answers: dict[str, FileVersion] = {}
        self.rows: tuple[ListingItem, ...] = ()

    def answered(self, name: str, version: FileVersion) -> None:
        assert name not in self.answers, "answered twice"
        self.answers[name] = version

    def ask(self, client: ArchiveClient, patience: Patience | None = None) -> Failures:
        if not self.rows:
            self.rows = client.listing("d", patience=Patience(10)).items
        return client.heads(
            "d", self.rows, patience=patience or Patience(30), answered=self.answered
        )

    def check(self, failures: Failures | None = None) -> None:
        for name, version in self.answers.items():
            assert version == FileVersion(self.sizes[name], DEFAULT_MODIFIED_S), name
        assert sorted([*self.answers, *(failures or {})]) == sorted(self.sizes)


def heads(server: BrokenServer) -> list[Request]:
    return [request for request in server.requests if request.method == "HEAD"]


@pytest.mark.parametrize("honours", [True, False], ids=["tags", "no tags"])
@pytest.mark.parametrize("count", [1, 17, 64, 300])
def test_every_row_is_answered_with_one_request_each(
    server: BrokenServer, client: ArchiveClient, count: int, honours: bool
) -> None:
    server.ranges_for_head = honours
    directory = Directory(server, count)

    assert directory.ask(client) == {}
    directory.check()
    assert len(heads(server)) == count


def test_sizes_of_all_kinds_are_exact(server: BrokenServer, client: ArchiveClient) -> None:
    directory = Directory(server, 0)
    for size in (0, 1, 2, 31, 32, 33, 972, 973, 1024, 9_999, 100_000):
        for copy in range(3):
            directory.sizes[f"s{size}-{copy}"] = size
            server.put(f"d/s{size}-{copy}", bytes(size))

    assert directory.ask(client) == {}
    directory.check()


def test_few_rows_take_one_connection_and_many_take_more(
    server: BrokenServer, make_client: MakeClient
) -> None:
    server.latency_s = 0.002
    few, many = make_client(server), make_client(server)
    Directory(server, 64).ask(few)
    few.close()
    assert server.connections == 1
    wait_until(lambda: server.open_connections == 0)
    Directory(server, 400).ask(many)

    assert 3 <= server.connections - 1 <= 7


def test_several_requests_are_in_flight_on_a_connection(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.latency_s = 0.02
    directory = Directory(server, 32)
    directory.ask(client)
    arrivals = [request.received_s for request in heads(server)]

    # One at a time, each would arrive a round trip after the one before.
    assert arrivals[-1] - arrivals[0] < 15 * 0.02
    assert {request.headers["range"] for request in heads(server)} >= {"bytes=1-1", "bytes=9-9"}


@pytest.mark.parametrize("honours", [True, False], ids=["tags", "no tags"])
@pytest.mark.parametrize("place", [0, 1, 7, 15, 16, 30])
def test_one_dropped_answer_makes_no_size_wrong(
    server: BrokenServer, client: ArchiveClient, place: int, honours: bool, counters: Counters
) -> None:
    server.ranges_for_head = honours
    directory = Directory(server, 40)
    server.fault(f"d/f{place:04}", Fault.drop_answer())

    assert directory.ask(client) == {}
    directory.check()
    assert counters["bad_responses"] + counters["stalls"] >= 1


@pytest.mark.parametrize("place", [0, 7, 15, 30])
def test_answers_out_of_step_make_no_size_wrong(
    server: BrokenServer, client: ArchiveClient, place: int
) -> None:
    directory = Directory(server, 40)
    server.fault(f"d/f{place:04}", Fault.out_of_step())

    assert directory.ask(client) == {}
    directory.check()


def test_a_server_that_always_mixes_answers_up_is_asked_one_by_one(
    server: BrokenServer, client: ArchiveClient
) -> None:
    directory = Directory(server, 60)
    numbers: dict[int, int] = {}

    def third_of_its_connection(request: Request) -> bool:
        if request.method == "HEAD" and "range" in request.headers:
            numbers[request.connection] = numbers.get(request.connection, 0) + 1
            return numbers[request.connection] % 3 == 0
        return False

    server.fault(third_of_its_connection, Fault.drop_answer(), times=1000)

    assert directory.ask(client) == {}
    directory.check()


def test_swallowed_requests_are_asked_again_elsewhere(
    server: BrokenServer, client: ArchiveClient, counters: Counters
) -> None:
    directory = Directory(server, 200)
    for number in range(10, 200, 33):
        server.fault(f"d/f{number:04}", Fault.silence())

    assert directory.ask(client) == {}
    directory.check()
    assert 1 <= counters["stalls"] <= 6
    assert counters["retries"] >= counters["stalls"]
    wait_until(lambda: server.endings.count("reset") >= counters["stalls"])


def test_a_stall_is_noticed_long_before_the_limit_of_a_range(
    server: BrokenServer, client: ArchiveClient
) -> None:
    directory = Directory(server, 60)
    server.fault("d/f0030", Fault.silence())
    watch = Stopwatch()
    directory.ask(client)

    assert watch.seconds() < 2


def test_a_row_that_always_stalls_fails_alone(
    server: BrokenServer, make_client: MakeClient
) -> None:
    client = make_client(server, first_byte_s=0.3)
    directory = Directory(server, 20)
    server.fault("d/f0005", Fault.silence(), times=1000)
    failures = directory.ask(client, Patience(4))

    assert list(failures) == ["f0005"]
    assert isinstance(failures["f0005"], GaveUpError)
    directory.check(failures)


def test_a_closed_connection_costs_no_row(server: BrokenServer, client: ArchiveClient) -> None:
    server.max_requests = 7
    directory = Directory(server, 50)
    server.fault("d/f0020", Fault.close())
    server.fault("d/f0030", Fault.reset("headers"))

    assert directory.ask(client) == {}
    directory.check()


@pytest.mark.parametrize("honours", [True, False], ids=["tags", "no tags"])
def test_a_server_that_closes_without_saying_so_is_endured(
    server: BrokenServer, client: ArchiveClient, honours: bool
) -> None:
    server.ranges_for_head = honours
    server.keeps_alive_header = False
    server.max_requests = 10
    directory = Directory(server, 45)

    assert directory.ask(client) == {}
    directory.check()


@pytest.mark.parametrize(
    ("status", "expected"), [(404, NotFoundError), (403, ForbiddenError), (410, NotFoundError)]
)
def test_a_row_that_is_gone_or_forbidden_is_named(
    server: BrokenServer, client: ArchiveClient, status: int, expected: type[ArchiveError]
) -> None:
    directory = Directory(server, 20)
    server.fault("d/f0007", Fault.answer(status), times=9)
    failures = directory.ask(client)

    assert {name: type(error) for name, error in failures.items()} == {"f0007": expected}
    directory.check(failures)


def test_a_refusal_in_the_middle_is_honoured_and_survived(
    server: BrokenServer, client: ArchiveClient
) -> None:
    directory = Directory(server, 20)
    server.fault("d/f0007", Fault.busy(503, "1"))

    assert directory.ask(client) == {}
    directory.check()


def test_a_file_that_changed_since_the_listing_gets_its_new_size(
    server: BrokenServer, client: ArchiveClient
) -> None:
    directory = Directory(server, 20)
    directory.rows = client.listing("d", patience=Patience(10)).items
    directory.sizes["f0007"] = 5
    server.put("d/f0007", b"small")

    assert directory.ask(client) == {}
    directory.check()


def test_a_file_that_became_a_directory_is_named(
    server: BrokenServer, client: ArchiveClient
) -> None:
    directory = Directory(server, 5)
    directory.rows = client.listing("d", patience=Patience(10)).items
    del server.files["d/f0002"]
    server.put("d/f0002/x", b"x")
    failures = directory.ask(client)

    assert list(failures) == ["f0002"]
    directory.check(failures)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.garbage(),
        Fault.html_page(200),
        Fault.answer(200, ("Content-Length", "60000")),
        Fault.with_headers(("Content-Encoding", "gzip")),
        Fault.content_range("bytes 3-3/12345"),
    ],
    ids=lambda fault: fault.kind,
)
def test_wrong_answers_make_no_size_wrong(
    server: BrokenServer, client: ArchiveClient, fault: Fault
) -> None:
    directory = Directory(server, 40)

    def is_pipelined(request: Request) -> bool:
        # What is asked for on its own has no second opinion.
        return request.path in ("d/f0003", "d/f0020", "d/f0033") and "range" in request.headers

    server.fault(is_pipelined, fault, times=3)

    assert directory.ask(client) == {}
    directory.check()


def test_when_the_patience_ends_the_rest_is_named(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.latency_s = 0.25
    directory = Directory(server, 60)
    directory.rows = client.listing("d", patience=Patience(10)).items
    failures = directory.ask(client, Patience(0.4))

    assert 0 < len(failures) < 60
    assert all(isinstance(error, GaveUpError) for error in failures.values())
    directory.check(failures)


def test_when_the_archive_is_gone_all_rows_are_named_quickly(
    server: BrokenServer, client: ArchiveClient
) -> None:
    directory = Directory(server, 200)
    directory.rows = client.listing("d", patience=Patience(10)).items
    server.stop()
    began_s = time.monotonic()
    failures = directory.ask(client, Patience(90))

    assert time.monotonic() - began_s < 8
    assert len(failures) == 200
    assert all(isinstance(error, OfflineError) for error in failures.values())


@pytest.mark.parametrize("count", [10, 300])
def test_an_interrupted_caller_is_let_go(
    server: BrokenServer, client: ArchiveClient, count: int
) -> None:
    directory = Directory(server, count)
    directory.rows = client.listing("d", patience=Patience(10)).items
    server.fault(lambda request: request.method == "HEAD", Fault.silence(), times=10_000)
    watch = Stopwatch()
    with pytest.raises(InterruptedCallError):
        directory.ask(client, Patience(60, lambda: len(heads(server)) > 0))

    assert watch.seconds() < 2
    wait_until(lambda: "empiarfs-sizes" not in [each.name for each in threading.enumerate()])


def test_an_error_of_the_callback_reaches_the_caller(
    server: BrokenServer, client: ArchiveClient
) -> None:
    directory = Directory(server, 300)
    directory.answers["f0200"] = FileVersion(0, None)

    with pytest.raises(AssertionError, match="answered twice"):
        directory.ask(client)


def test_no_rows_need_no_request(server: BrokenServer, client: ArchiveClient) -> None:
    assert client.heads("d", [], patience=Patience(1), answered=lambda *_: None) == {}
    assert server.connections == 0


def test_helpers_leave_the_reserved_slots_alone(
    server: BrokenServer, make_client: MakeClient
) -> None:
    client = make_client(server, max_connections=4)
    server.latency_s = 0.003
    directory = Directory(server, 400)
    directory.ask(client)
    directory.check()

    assert server.peak_connections <= 4


def test_one_slot_is_enough(server: BrokenServer, make_client: MakeClient) -> None:
    client = make_client(server, max_connections=1)
    directory = Directory(server, 150)
    server.fault("d/f0100", Fault.silence())

    assert directory.ask(client) == {}
    directory.check()
    assert server.peak_connections == 1
