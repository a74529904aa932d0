"""What is known of entries, for callers who don't wait for the disk: when it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.catalog.entry_store import EntryStore
from empiarfs.entries import Entries
from empiarfs.entries.asking import MAX_AGE_S
from empiarfs.errors import (
    CacheError,
    GaveUpError,
    InterruptedCallError,
    NotFoundError,
    UnreachableError,
)
from empiarfs.notes.descriptions import Descriptions
from empiarfs.patience import Patience
from tests.support.entry_api import sample_entries
from tests.support.entry_source import Clock, Source
from tests.support.waiting import wait_until

UNKNOWN = 10017


def patience() -> Patience:
    return Patience(10.0)


@pytest.fixture
def source() -> Source:
    return Source(sample_entries())


@pytest.fixture
def wall() -> Clock:
    return Clock()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def entries(tmp_path: Path, source: Source, wall: Clock) -> Iterator[Entries]:
    store = EntryStore(tmp_path / "entries.db", api_url="http://x/")
    yield Entries(store, lambda: source, wall)
    store.close()


@pytest.fixture
def known(entries: Entries, wall: Clock, clock: Clock) -> Iterator[Descriptions]:
    made = Descriptions(entries, now=wall, clock=clock)
    yield made
    made.close()


def test_an_entry_is_asked_for_once(known: Descriptions, source: Source, clock: Clock) -> None:
    titles = {known.entry(10934, patience()).known.entry.title for _ in range(20)}
    clock.now_s += 400.0  # forgotten in memory, and there in the store
    titles.add(known.entry(10934, patience()).known.entry.title)

    assert len(titles) == 1
    assert source.asked == ["one 10934"]


def test_what_is_not_there_is_asked_for_every_five_minutes(
    known: Descriptions, source: Source, clock: Clock
) -> None:
    for _ in range(20):
        with pytest.raises(NotFoundError):
            known.entry(UNKNOWN, patience())
    assert source.asked == ["one 10017"]
    clock.now_s += 301.0

    with pytest.raises(NotFoundError):
        known.entry(UNKNOWN, patience())
    assert len(source.asked) == 2


def test_silence_is_never_absence_and_heals(
    known: Descriptions, source: Source, clock: Clock
) -> None:
    source.fails_after = 0
    for _ in range(20):
        with pytest.raises(UnreachableError):
            known.entry(10934, patience())
    source.fails_after = None
    with pytest.raises(UnreachableError):
        known.entry(10934, patience())
    clock.now_s += 31.0

    assert known.entry(10934, patience()).known.entry.number == 10934
    assert source.asked == ["one 10934"]


def test_what_is_old_is_given_where_nothing_newer_can_be_had(
    known: Descriptions, source: Source, wall: Clock, clock: Clock
) -> None:
    for number in (10934, 11419):
        known.entry(number, patience())
    wall.now_s += MAX_AGE_S + 1
    clock.now_s += 400.0
    source.fails_after = len(source.asked)

    assert "no connection" in str(known.entry(10934, patience()).problem)
    # Whoever comes next doesn't wait for EMPIAR again.
    source.silent = threading.Event()
    assert "no connection" in str(known.entry(11419, patience()).problem)


def test_what_is_stored_waits_for_nobody_who_asks(
    known: Descriptions, entries: Entries, source: Source
) -> None:
    entries.entry(11419, patience=patience())
    source.silent = threading.Event()
    asking = threading.Thread(target=lambda: known.entry(10934, patience()), name="asking")
    asking.start()
    wait_until(lambda: "one 10934" in source.asked, 5)

    assert known.entry(11419, patience()).known.entry.number == 11419
    assert known.shelves(patience()).how_many.known == 1
    source.silent.set()
    asking.join()


def test_many_who_look_at_once_make_one_question_at_a_time(
    known: Descriptions, source: Source
) -> None:
    source.silent = threading.Event()
    numbers = (10934, 10988, 11419, 11561)
    threads = [
        threading.Thread(target=known.entry, args=(number, patience()), name="asking")
        for number in numbers * 5
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(source.asked) == 1, 5)
    assert known.shelves(patience()).how_many.known == 0
    assert len(source.asked) == 1
    source.silent.set()
    for thread in threads:
        thread.join()

    assert sorted(source.asked) == [f"one {number}" for number in numbers]


def test_a_caller_waits_as_long_as_it_likes(known: Descriptions, source: Source) -> None:
    source.silent = threading.Event()

    with pytest.raises(GaveUpError):
        known.entry(10934, Patience(0.05))
    with pytest.raises(InterruptedCallError):
        known.entry(10934, Patience(10.0, lambda: True))
    source.silent.set()
    assert known.entry(10934, patience()).known.entry.number == 10934
    assert source.asked == ["one 10934"]


def test_shelves_come_from_the_store_alone(
    known: Descriptions, entries: Entries, source: Source, clock: Clock
) -> None:
    assert known.shelves(patience()).links["by-emdb"] == {}
    entries.entry(10934, patience=patience())
    asked = len(source.asked)
    clock.now_s += 61.0

    shelves = known.shelves(patience())
    assert shelves.links["by-emdb"] == {"EMD-12602": 10934}
    assert shelves.links["by-doi"] == {
        "10.6019": {"EMPIAR-10934": 10934},
        "10.1038": {"s41467-021-26251-6": 10934},
    }
    assert shelves.modified_s == 1_700_000_000.0
    assert len(source.asked) == asked


@pytest.mark.expects_warnings
def test_a_store_that_can_not_be_read_is_an_error(tmp_path: Path, clock: Clock) -> None:
    store = EntryStore(tmp_path / "gone" / "entries.db", api_url="http://x/")
    known = Descriptions(Entries(store, None), clock=clock)

    with pytest.raises(CacheError):
        known.shelves(patience())
    known.close()
    with pytest.raises(CacheError):
        known.shelves(patience())
