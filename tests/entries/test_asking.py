"""When entries are believed, when asked for, and how all of them are gathered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from empiarfs.catalog.entry_store import EntryStore
from empiarfs.core.entries.acquisition import Acquisition
from empiarfs.core.entries.from_json import entry_from_fields
from empiarfs.core.entries.query import Query
from empiarfs.entries import Entries
from empiarfs.entries.asking import MAX_AGE_S
from empiarfs.entries.gathering import GathererConfig
from empiarfs.errors import (
    NotFoundError,
    OfflineError,
    UnreachableError,
)
from empiarfs.patience import Patience
from tests.support.entry_api import SAMPLES, many_entries
from tests.support.entry_source import Clock, Source

HEADER = (SAMPLES / "emd-12602_COMPOSED.xml").read_bytes()
QUICK = GathererConfig(batch=20, pause_s=0.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EntryStore]:
    store = EntryStore(tmp_path / "entries.db", api_url="http://x/")
    yield store
    store.close()


@pytest.fixture
def source() -> Source:
    return Source(many_entries(90))


@pytest.fixture
def entries(store: EntryStore, source: Source, clock: Clock) -> Entries:
    return Entries(store, lambda: source, clock)


def patience() -> Patience:
    return Patience(5.0)


def test_a_young_entry_is_not_asked_for_again(
    entries: Entries, source: Source, clock: Clock
) -> None:
    first = entries.entry(10002, patience=patience())
    clock.now_s += MAX_AGE_S - 1
    assert entries.entry(10002, patience=patience()) == first
    assert source.asked == ["one 10002"]

    clock.now_s += 1
    assert entries.entry(10002, patience=patience()).known.fetched_s == clock.now_s
    assert len(source.asked) == 2


def test_an_old_entry_is_given_with_the_reason_if_nobody_answers(
    entries: Entries, source: Source, clock: Clock
) -> None:
    first = entries.entry(10002, patience=patience())
    clock.now_s += 10 * MAX_AGE_S
    source.fails_after = 0

    answer = entries.entry(10002, patience=patience())

    assert answer.known == first.known
    assert answer.problem is not None
    assert "no connection" in answer.problem


def test_an_entry_from_the_future_is_not_believed_for_ever(
    entries: Entries, source: Source, clock: Clock
) -> None:
    entries.entry(10002, patience=patience())
    clock.now_s -= 86400

    entries.entry(10002, patience=patience())
    assert len(source.asked) == 2


def test_what_is_neither_stored_nor_to_be_had_is_an_error(
    entries: Entries, source: Source, store: EntryStore
) -> None:
    with pytest.raises(NotFoundError):
        entries.entry(99999, patience=patience())
    source.fails_after = 0
    with pytest.raises(UnreachableError):
        entries.entry(10002, patience=patience())
    with pytest.raises(OfflineError):
        Entries(store, None).entry(10002, patience=patience())


def test_how_a_map_was_recorded_is_asked_for_once(
    entries: Entries, source: Source, store: EntryStore, clock: Clock
) -> None:
    entry = entry_from_fields(10934, {"cross_references": ["EMD-12602", "EMD-9999"]})
    told = Acquisition("EMD-12602", 300.0, 2.7, 46.6, "FEI TITAN KRIOS", "GATAN K3 (6k x 4k)")

    assert entries.acquisitions(entry, patience=patience()) == [told]
    assert entries.acquisitions(entry, patience=patience()) == [told]
    assert source.asked == ["EMD-12602", "EMD-9999", "EMD-9999"]
    clock.now_s += 10 * MAX_AGE_S
    assert Entries(store, None, clock).acquisitions(entry, patience=patience()) == [told]


def test_all_entries_are_gathered_in_batches_and_then_known(
    entries: Entries, source: Source, store: EntryStore
) -> None:
    told: list[tuple[int, int | None]] = []
    gathered = entries.gather(lambda *how_far: told.append(how_far), config=QUICK)

    assert (gathered.fetched, gathered.broken, gathered.problem) == (90, [], None)
    assert store.count() == 90
    assert source.asked == ["numbers", "10002+21", "10024+21", "10046+21", "10068+21", "10090+10"]
    assert told == [(0, 90), (20, 90), (40, 90), (60, 90), (80, 90), (90, 90)]
    assert len(entries.search(Query(words=("molecule",)), 100)) == 90

    source.asked.clear()
    assert entries.gather(config=QUICK).fetched == 0
    assert source.asked == []


def test_what_was_broken_off_is_gone_on_with(
    entries: Entries, source: Source, store: EntryStore
) -> None:
    source.fails_after = 3
    gathered = entries.gather(config=QUICK)
    assert gathered.problem is not None
    assert store.count() == 40

    source.fails_after = None
    source.asked.clear()
    assert entries.gather(config=QUICK).fetched == 50
    assert source.asked[0] == "10046+21"


def test_who_did_not_answer_is_left_alone_for_ten_minutes(
    entries: Entries, source: Source, clock: Clock
) -> None:
    source.fails_after = 0
    entries.gather(config=QUICK)
    assert entries.failed_ago_s() is None, "nothing is known, so it is worth another try"

    source.fails_after = 3
    entries.gather(config=QUICK)
    clock.now_s += 599
    assert entries.failed_ago_s() == 599
    clock.now_s += 1
    assert entries.failed_ago_s() is None


def test_an_interrupted_batch_loses_only_itself(
    entries: Entries, source: Source, store: EntryStore
) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done >= 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entries.gather(interrupt, config=QUICK)

    assert store.count() == 40


def test_new_entries_are_gathered_and_old_ones_refreshed(
    entries: Entries, source: Source, clock: Clock
) -> None:
    entries.gather(config=QUICK)
    clock.now_s += 2 * 86400
    source.entries_held[12000] = source.entries_held[10002]
    source.asked.clear()
    assert entries.gather(config=QUICK).fetched == 1
    assert source.asked == ["numbers", "12000+1"]

    clock.now_s += MAX_AGE_S - 3600
    assert entries.gather(config=QUICK).fetched == 90


def test_an_entry_whose_description_is_broken_is_left_out(
    entries: Entries, source: Source, store: EntryStore
) -> None:
    source.broken = {10050}

    gathered = entries.gather(config=QUICK)

    assert gathered.broken == [10050]
    assert (gathered.fetched, store.count()) == (89, 89)


def test_an_api_that_is_broken_altogether_is_not_asked_for_each_entry(
    entries: Entries, source: Source
) -> None:
    source.broken = set(source.entries_held)

    gathered = entries.gather(config=QUICK)

    assert gathered.problem is not None
    assert len(source.asked) < 15


def test_without_the_archives_list_numbers_are_tried(
    entries: Entries, source: Source, store: EntryStore
) -> None:
    source.lists = False

    gathered = entries.gather(config=GathererConfig(batch=100, pause_s=0.0))

    assert gathered.problem is None
    assert store.count() == 90
    # Five hundreds in a row without an entry end it.
    assert source.asked[1:] == [f"{10000 + 100 * n}+100" for n in range(6)]
    assert not entries.is_due()
