"""What isn't answered is asked for a second time, and whichever answer comes first counts."""

from __future__ import annotations

import threading
import time

import pytest

from empiarfs.archive.client import ArchiveClient
from empiarfs.archive.hedges import Hedges
from empiarfs.archive.later import Later
from empiarfs.archive.race import Entrant, race
from empiarfs.errors import GaveUpError, InterruptedCallError, NotFoundError, StalledError
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from tests.archive.conftest import MakeClient
from tests.support.broken_server import BrokenServer, Fault
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _files(server: BrokenServer) -> None:
    for number in range(5):
        server.put(f"d/f{number}", bytes(100 + number))


def test_a_listing_that_is_never_answered_costs_seconds_at_most(
    server: BrokenServer, client: ArchiveClient, counters: Counters
) -> None:
    server.fault("d/", Fault.silence(), times=1)
    began_s = time.monotonic()
    listing = client.listing("d", patience=Patience(60))

    assert len(listing.items) == 5
    assert time.monotonic() - began_s < 8  # the limit of a first answer is twelve
    assert counters["hedges"] == 1
    wait_until(lambda: server.open_connections <= 1)


def test_a_look_up_that_is_never_answered_is_made_again(
    server: BrokenServer, client: ArchiveClient, counters: Counters
) -> None:
    server.fault("d/f3", Fault.silence(), times=1)
    head = client.head("d/f3", patience=Patience(60))

    assert head.version is not None
    assert head.version.size == 103
    assert counters["hedges"] == 1


def test_the_second_answer_counts_as_the_first_would(
    server: BrokenServer, client: ArchiveClient
) -> None:
    server.fault("d/none", Fault.silence(), times=1)

    with pytest.raises(NotFoundError):
        client.head("d/none", patience=Patience(60))


def test_a_late_first_answer_wins_over_a_second_that_stalls(
    server: BrokenServer, client: ArchiveClient, counters: Counters
) -> None:
    server.fault("d/", Fault.delay(4.0), times=1)
    server.fault("d/", Fault.silence(), times=1)
    listing = client.listing("d", patience=Patience(60))

    assert len(listing.items) == 5
    assert counters["hedges"] == 1
    # The second is let go of at once, not after its twelve seconds.
    wait_until(lambda: server.open_connections <= 1, 3)


def test_when_both_stall_the_patience_ends_it(
    server: BrokenServer, make_client: MakeClient
) -> None:
    client = make_client(server)
    server.fault("d/", Fault.silence(), times=10)

    with pytest.raises(GaveUpError):
        client.listing("d", patience=Patience(5))
    wait_until(lambda: server.open_connections == 0, 3)


def test_a_quick_failure_is_not_waited_with(server: BrokenServer, client: ArchiveClient) -> None:
    watch = Stopwatch()
    with pytest.raises(NotFoundError):
        client.listing("gone", patience=Patience(60))

    assert watch.seconds() < 1


@pytest.mark.parametrize("second_is_over", [False, True])
def test_nobody_is_interrupted_by_a_second_answer_that_breaks_off(second_is_over: bool) -> None:
    is_first, first_was_stopped = True, threading.Event()

    def is_alone() -> bool:
        return all(t.name != "empiarfs-again" for t in threading.enumerate())

    def ask(patience: Patience, entrant: Entrant) -> None:
        nonlocal is_first
        if is_first:
            is_first = False
            wait_until(entrant.is_out)
            first_was_stopped.set()
            if second_is_over:
                wait_until(is_alone)
            raise InterruptedCallError("cancelled")
        entrant.answered()
        wait_until(first_was_stopped.is_set)
        raise StalledError("the answer broke off", url="http://archive.test/")

    with pytest.raises(StalledError, match="broke off"):
        race(ask, Patience(60), 0.01, Later(), Hedges(), lambda _: None)
