"""Hints of what will be read: they return at once, and the reads find the bytes."""

from __future__ import annotations

import random
import time

import pytest

import empiarfs
from empiarfs.errors import ConfigError
from empiarfs.python.session import default_session
from tests.python.conftest import STACK, STACK_SIZE, Served, use
from tests.support.broken_server import BrokenServer, Fault, Request
from tests.support.waiting import wait_until

PIECE = 64 * 1024


def all_is_done() -> bool:
    """Tell whether no hint is left to be carried out."""
    usage = default_session().live().parts.fetcher.usage()
    return not (
        usage["plans_waiting"] or usage["spans_waiting"] or usage["foreseen_bytes"]
        or usage["pending_bytes"]
    )  # fmt: skip


def is_for_many_bytes(request: Request) -> bool:
    """Tell whether it is for a range: sizes may be asked for by a byte."""
    first, _, last = request.headers.get("range", "").removeprefix("bytes=").partition("-")
    return first != last


@pytest.mark.apache
def test_reads_find_what_was_hinted_at(archive: Served) -> None:
    random_ = random.Random(1)
    places = [random_.randrange(STACK_SIZE - 10_000) for _ in range(40)]
    pieces = {at // PIECE for place in places for at in (place, place + 9_999)}
    with empiarfs.open(STACK) as file:
        before = archive.server.mark()
        empiarfs.prefetch((STACK, place, 10_000) for place in places)
        wait_until(
            lambda: archive.fetched_since(before) >= (len(pieces) - 1) * PIECE, every_s=0.05
        )
        wait_until(all_is_done)
        mark = archive.server.mark()
        found = [file.pread(10_000, place) for place in places]

    expected = archive.bytes_of(STACK)
    assert found == [expected[place : place + 10_000] for place in places]
    assert archive.server.requests_since(mark) == []


@pytest.mark.apache
def test_more_is_hinted_at_than_may_be_in_flight(archive: Served) -> None:
    before = archive.server.mark()
    empiarfs.prefetch([(STACK, 0, STACK_SIZE)] * 30)
    wait_until(lambda: archive.fetched_since(before) >= STACK_SIZE, every_s=0.05)
    wait_until(all_is_done)
    mark = archive.server.mark()
    with empiarfs.open(STACK) as file:
        assert file.read() == archive.bytes_of(STACK)

    assert archive.server.requests_since(mark) == []


def test_of_many_small_hints_none_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 600
    content = random.Random(1).randbytes(2 * count * PIECE)
    # Across the edge between two pieces, of which both have to be fetched.
    places = [2 * number * PIECE + PIECE - 50 for number in range(count)]
    with BrokenServer({"10934/data/x.mrc": content}) as server:
        use(monkeypatch, server.url)
        empiarfs.prefetch(("10934/data/x.mrc", place, 100) for place in places)
        counters = default_session().live().parts.counters
        wait_until(lambda: counters["prefetched_bytes"] >= len(content))
        wait_until(all_is_done)
        asked = len(server.requests)
        with empiarfs.open("10934/data/x.mrc") as file:
            found = [file.pread(100, place) for place in places]
        empiarfs.close()

        assert found == [content[place : place + 100] for place in places]
        assert len(server.requests) == asked


def test_the_first_of_several_large_hints_is_fetched_before_the_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = 56 * 1024 * 1024
    names = ["10934/data/a.mrc", "10934/data/b.mrc", "10934/data/c.mrc"]
    with BrokenServer(dict.fromkeys(names, bytes(size)), latency_s=0.05) as server:
        use(monkeypatch, server.url)
        # So that no request overtakes another.
        empiarfs.configure(max_connections=1)
        for name in names:  # so that none waits for its size
            empiarfs.open(name).close()
        empiarfs.prefetch((name, 0, size) for name in names)
        counters = default_session().live().parts.counters
        wait_until(lambda: counters["prefetched_bytes"] >= len(names) * size)
        empiarfs.close()
        asked = [each.path for each in server.requests if is_for_many_bytes(each)]

    assert asked == sorted(asked)
    assert set(asked) == set(names)


def test_a_hint_waits_for_nothing_and_fails_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    with BrokenServer({"10934/data/x.mrc": bytes(1000)}) as server:
        use(monkeypatch, server.url)
        server.fault(lambda request: True, Fault.silence(), times=100)
        began_s = time.monotonic()
        empiarfs.prefetch([("10934/data/x.mrc", 0, 10), ("10934/data/nothing.mrc", 5, 10)])
        wait_until(lambda: server.requests)
        assert time.monotonic() - began_s < 5
        empiarfs.close()
        server.release()


@pytest.mark.apache
def test_a_hint_past_the_end_or_of_nothing_is_none(archive: Served) -> None:
    empiarfs.prefetch([(STACK, STACK_SIZE - 10, 1000), (STACK, 10 * STACK_SIZE, 5), (STACK, 0, 0)])
    empiarfs.prefetch([])

    with pytest.raises(ValueError, match="not a byte range"):
        empiarfs.prefetch([(STACK, -5, 3)])
    with pytest.raises(ConfigError):
        empiarfs.prefetch([("nothing", 0, 3)])
