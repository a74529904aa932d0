"""The fetcher and the reader on an archive in memory."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from empiarfs import threads
from empiarfs.cache.store import BlockPut, BlockStore, MemoryBlockStore
from empiarfs.core.blocks import BLOCK_SIZE, PIECE_SIZE
from empiarfs.core.files import BlockKey, RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.core.waits import Account
from empiarfs.errors import (
    BadResponseError,
    FileChangedError,
    ForbiddenError,
    GaveUpError,
    InterruptedCallError,
    NotFoundError,
    StalledError,
    UnavailableError,
)
from empiarfs.fetcher import Fetcher, FetcherConfig
from empiarfs.fetcher.spans import Span
from empiarfs.patience import Patience
from empiarfs.reader import Reader
from empiarfs.stats import Counters
from tests.support.fake_archive import FakeArchive
from tests.support.waiting import wait_until

PATH = "10934/data/x.mrc"
CONTENT = bytes(i * 7 % 251 for i in range(3 * BLOCK_SIZE + 1000))
SECOND = 30.0


class Rig:
    """A fetcher on an archive in memory."""

    def __init__(self, store: BlockStore | None = None, config: FetcherConfig | None = None):
        self.archive = FakeArchive({PATH: CONTENT})
        self.store = store or MemoryBlockStore(64 * 1024 * 1024)
        self.counters = Counters()
        self.fetcher = Fetcher(self.archive.as_client(), self.store, self.counters, config)
        self.file = self.archive.remote(PATH)

    def read(self, start: int, stop: int, seconds: float = SECOND) -> bytes:
        data, _ = self.fetcher.read(self.file, ByteRange(start, stop), Patience(seconds))
        return data

    def bytes_asked_for(self) -> int:
        return sum(stop - start for _, start, stop in self.archive.ranges)


@pytest.fixture
def make_rig() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(*args: object, **kwargs: object) -> Rig:
        rigs.append(Rig(*args, **kwargs))  # type: ignore[arg-type]  # passed on as they are
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.archive.gate.set()
        rig.fetcher.close()
        rig.store.close()


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, 1),
        (0, PIECE_SIZE),
        (PIECE_SIZE - 1, PIECE_SIZE + 1),
        (5, 3 * PIECE_SIZE + 7),
        (BLOCK_SIZE - 10, BLOCK_SIZE + 10),
        (0, len(CONTENT)),
        (len(CONTENT) - 1, len(CONTENT)),
    ],
)
def test_a_read_brings_exactly_its_bytes_cold_and_warm(
    make_rig: Callable[..., Rig], start: int, stop: int
) -> None:
    rig = make_rig()

    assert rig.read(start, stop) == CONTENT[start:stop]
    assert rig.read(start, stop) == CONTENT[start:stop]


def test_a_small_read_asks_for_its_piece_and_no_more(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.read(PIECE_SIZE + 5, PIECE_SIZE + 9)

    assert rig.archive.ranges == [(PATH, PIECE_SIZE, 2 * PIECE_SIZE)]


def test_adjacent_missing_pieces_share_one_request(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.read(0, 10 * PIECE_SIZE)

    assert rig.archive.ranges == [(PATH, 0, 10 * PIECE_SIZE)]


def test_what_is_there_is_not_asked_for_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.read(2 * PIECE_SIZE, 3 * PIECE_SIZE)
    rig.read(0, 5 * PIECE_SIZE)

    assert sorted(rig.archive.ranges[1:]) == [
        (PATH, 0, 2 * PIECE_SIZE),
        (PATH, 3 * PIECE_SIZE, 5 * PIECE_SIZE),
    ]


def test_another_fetcher_finds_the_bytes_in_the_store(make_rig: Callable[..., Rig]) -> None:
    store = MemoryBlockStore(64 * 1024 * 1024)
    first = make_rig(store)
    first.read(0, len(CONTENT))
    first.fetcher.flush()
    second = make_rig(store)

    assert second.read(0, len(CONTENT)) == CONTENT
    assert second.archive.ranges == []
    assert second.counters["disk_bytes"] == len(CONTENT)


def test_twenty_readers_of_one_piece_cause_one_fetch(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.gate.clear()
    found: list[bytes] = []
    readers = [
        threading.Thread(target=lambda: found.append(rig.read(10, 90_000))) for _ in range(20)
    ]
    for reader in readers:
        reader.start()
    rig.archive.gate.set()
    for reader in readers:
        reader.join(SECOND)

    assert found == [CONTENT[10:90_000]] * 20
    assert rig.bytes_asked_for() == 2 * PIECE_SIZE


def test_a_broken_transfer_goes_on_behind_what_came(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.failures = [StalledError("silence", url="u")]

    assert rig.read(0, 8 * PIECE_SIZE) == CONTENT[: 8 * PIECE_SIZE]
    assert rig.archive.ranges == [
        (PATH, 0, 8 * PIECE_SIZE),
        (PATH, 4 * PIECE_SIZE, 8 * PIECE_SIZE),
    ]
    assert rig.counters["retries"] == 1


def test_a_read_tells_where_its_bytes_were_and_what_it_waited_for(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig()
    rig.archive.failures = [StalledError("silence", url="u"), UnavailableError("down", url="u")]
    fetched, again = Account(), Account()

    def read(account: Account) -> None:
        patience = Patience(SECOND, account=account)
        assert rig.fetcher.read(rig.file, ByteRange(100, 3 * PIECE_SIZE), patience)[0]

    rig.archive.gate.clear()
    reader = threading.Thread(target=read, args=(fetched,))
    reader.start()
    # What fails before it waits isn't its.
    wait_until(lambda: fetched.course is not None, SECOND)
    rig.archive.gate.set()
    reader.join()
    read(again)

    size = 3 * PIECE_SIZE - 100
    assert (fetched.archive, fetched.memory, fetched.disk) == (size, 0, 0)
    assert fetched.faults == {"StalledError": 1, "UnavailableError": 1}
    assert fetched.waited["pause"] > 0
    assert fetched.course is None
    assert (again.archive, again.memory, again.waited) == (0, size, {})


def test_a_read_of_what_is_stored_tells_that_it_is(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.read(0, BLOCK_SIZE)
    assert rig.fetcher.flush()
    later, account = Rig(rig.store), Account()
    try:
        later.fetcher.read(
            later.file,
            ByteRange(BLOCK_SIZE - PIECE_SIZE, BLOCK_SIZE + 10),
            Patience(SECOND, account=account),
        )
    finally:
        later.fetcher.close()

    assert (account.memory, account.disk, account.archive) == (0, PIECE_SIZE, 10)


def test_a_reader_outlasts_many_failures(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.failures = [StalledError("silence", url="u")] * 20

    assert rig.read(0, 100) == CONTENT[:100]


def test_a_reader_gives_up_when_its_patience_is_over(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.failures = [UnavailableError("down", url="u")] * 1000

    with pytest.raises(GaveUpError, match=r"0\.3 s: down"):
        rig.read(0, 100, seconds=0.3)


def test_what_is_not_answered_is_asked_for_a_second_time(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.swallowed = 1

    assert rig.read(0, 100) == CONTENT[:100]
    assert rig.archive.ranges == [(PATH, 0, PIECE_SIZE)] * 2
    assert rig.counters["hedges"] == 1
    assert rig.counters["retries"] == 0


def test_a_second_request_counts_before_its_thread_runs(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the span would be queued anew beside it, and later be taken with nothing left."""
    rig = make_rig()
    rig.archive.swallowed = 1
    start = threads.start

    def start_late(
        name: str, target: Callable[..., object], *args: Any
    ) -> threading.Thread | None:
        def late() -> None:
            # Only now does the first request fail, and is over before the second one begins.
            rig.archive.silence_over.set()
            wait_until(lambda: rig.fetcher._queue.idle_takers() == 1, 10.0)
            target(*args)

        return start(name, late) if name == "hedge" else start(name, target, *args)

    monkeypatch.setattr(threads, "start", start_late)

    assert rig.read(0, 100) == CONTENT[:100]
    assert rig.archive.ranges == [(PATH, 0, PIECE_SIZE)] * 2
    assert rig.counters["retries"] == 0


def test_what_is_only_foreseen_is_not_asked_for_twice(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.swallowed = 1
    rig.fetcher.prefetch(rig.file, ByteRange(0, PIECE_SIZE))
    while not rig.archive.ranges:
        pass
    rig.read(BLOCK_SIZE, BLOCK_SIZE + 1)

    assert rig.counters["hedges"] == 0
    # Once somebody waits for it, it is.
    assert rig.read(0, 100) == CONTENT[:100]
    assert rig.counters["hedges"] == 1


def test_a_dead_archive_is_not_asked_twice_for_everything(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.swallowed = 1000
    for block in range(3):
        with pytest.raises(GaveUpError):
            rig.read(block * BLOCK_SIZE, block * BLOCK_SIZE + 1, seconds=0.6)

    assert rig.counters["hedges"] <= 4


def test_what_failed_is_refused_at_once_and_healed_by_success(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig()
    rig.archive.gate.clear()
    with pytest.raises(GaveUpError):
        rig.read(0, 100, seconds=0.1)
    rig.archive.gate.set()
    # The span went on without its reader; anything that arrives clears the memory of failure,
    # but for what failed just now: the kernel repeats that.
    rig.read(BLOCK_SIZE, BLOCK_SIZE + 1)

    def is_healed() -> bool:
        with contextlib.suppress(GaveUpError):
            return rig.read(0, 100) == CONTENT[:100]
        return False

    wait_until(is_healed)


@pytest.mark.parametrize(
    "error", [ForbiddenError("403", url="u"), FileChangedError("v2", url="u")]
)
def test_a_final_answer_ends_the_read_at_once(
    make_rig: Callable[..., Rig], error: ForbiddenError | FileChangedError
) -> None:
    rig = make_rig()
    rig.archive.failures = [error]

    with pytest.raises(type(error)):
        rig.read(0, 100)
    assert len(rig.archive.ranges) == 1


@pytest.mark.parametrize("error", [NotFoundError("404", url="u"), FileChangedError("v2", url="u")])
def test_what_ends_a_handle_is_not_held_against_the_next_one(
    make_rig: Callable[..., Rig], error: NotFoundError | FileChangedError
) -> None:
    rig = make_rig()
    rig.archive.failures = [error]
    with pytest.raises(type(error)):
        rig.read(0, 100)

    assert rig.read(0, 100) == CONTENT[:100]


def test_answers_that_do_not_fit_are_waited_out(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.failures = [BadResponseError("a log-in page", url="u")] * 4

    assert rig.read(0, 100) == CONTENT[:100]


def test_an_answer_that_never_fits_ends_the_read_with_its_patience(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig()
    rig.archive.failures = [BadResponseError("a log-in page", url="u")] * 100

    with pytest.raises(GaveUpError, match="a log-in page"):
        rig.read(0, 100, seconds=1.0)


def test_closing_fails_those_who_wait(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.gate.clear()
    caught: list[BaseException] = []

    def read() -> None:
        try:
            rig.read(0, 100)
        except InterruptedCallError as exc:
            caught.append(exc)

    reader = threading.Thread(target=read)
    reader.start()
    while not rig.archive.ranges:
        pass
    rig.fetcher.close()
    reader.join(SECOND)

    assert len(caught) == 1


def test_an_interrupted_reader_leaves_at_once(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    rig.archive.gate.clear()
    patience = Patience(SECOND, interrupted=lambda: bool(rig.archive.ranges))

    with pytest.raises(InterruptedCallError):
        rig.fetcher.read(rig.file, ByteRange(0, 10), patience)


def test_memory_in_flight_and_recent_stays_within_its_bounds(
    make_rig: Callable[..., Rig],
) -> None:
    config = FetcherConfig(memory=4 * PIECE_SIZE)
    rig = make_rig(config=config)
    for start in range(0, len(CONTENT), 100_000):
        rig.read(start, min(start + 100_000, len(CONTENT)))

    usage = rig.fetcher.usage()
    assert usage["memory_bytes"] <= 4 * PIECE_SIZE
    assert usage["pieces_in_flight"] == 0
    assert usage["foreseen_bytes"] == usage["wanted_bytes"] == 0


class HeldStore(MemoryBlockStore):
    """A store on a disk that takes nothing until its gate is opened."""

    def __init__(self) -> None:
        super().__init__(64 * 1024 * 1024)
        self.gate = threading.Event()

    def put_many(self, blocks: Sequence[BlockPut]) -> None:
        assert self.gate.wait(SECOND)
        super().put_many(blocks)


def test_what_waits_for_a_disk_leaves_less_room_for_foresight(
    make_rig: Callable[..., Rig],
) -> None:
    store = HeldStore()
    bounds = FetcherConfig(in_flight=4 * PIECE_SIZE, foreseen=4 * PIECE_SIZE)
    rig = make_rig(store=store, config=bounds)
    try:
        rig.read(0, 3 * PIECE_SIZE)
        assert rig.fetcher.usage()["pending_bytes"] == 3 * PIECE_SIZE
        rig.archive.gate.clear()
        rig.fetcher.prefetch(rig.file, ByteRange(8 * PIECE_SIZE, 16 * PIECE_SIZE))

        wait_until(lambda: not rig.fetcher.usage()["plans_waiting"])
        assert rig.fetcher.usage()["foreseen_bytes"] == PIECE_SIZE
    finally:
        rig.archive.gate.set()
        store.gate.set()
    wait_until(lambda: rig.fetcher.usage()["pending_bytes"] == 0)


class HangingStore(MemoryBlockStore):
    """A store whose disk doesn't tell what it has until its gate is opened."""

    def __init__(self) -> None:
        super().__init__(64 * 1024 * 1024)
        self.gate = threading.Event()

    def peek(self, key: BlockKey) -> int:
        assert self.gate.wait(SECOND)
        return super().peek(key)


def test_there_is_no_room_where_a_plan_would_push_out_another(
    make_rig: Callable[..., Rig],
) -> None:
    store = HangingStore()
    rig = make_rig(store=store)
    try:
        added = 0
        while rig.fetcher.room > 0 and added < 1000:
            rig.fetcher.prefetch(rig.file, ByteRange(0, 1))
            added += 1

        assert 100 < added == rig.fetcher.usage()["plans_waiting"] < 200
    finally:
        store.gate.set()
    wait_until(lambda: rig.fetcher.room > 0)


def test_what_is_warmed_counts_as_foreseen_and_comes_whole(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(config=FetcherConfig(in_flight=4 * PIECE_SIZE, foreseen=2 * PIECE_SIZE))
    rig.read(3 * PIECE_SIZE, 4 * PIECE_SIZE)
    wanted = ByteRange(0, len(CONTENT))

    missing = len(CONTENT) - PIECE_SIZE
    assert rig.fetcher.warm(rig.file, wanted, Patience(SECOND)) == missing
    # Whatever is foreseen leaves the last connections to those who wait.
    assert rig.counters["prefetched_bytes"] == missing
    assert rig.fetcher.warm(rig.file, wanted, Patience(SECOND)) == 0
    assert rig.read(0, len(CONTENT)) == CONTENT
    assert rig.bytes_asked_for() == len(CONTENT)


def test_a_sequential_reader_is_read_ahead_of(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    reader = Reader(rig.file, rig.fetcher)
    found = b""
    for offset in range(0, len(CONTENT), PIECE_SIZE):
        found += reader.read(offset, PIECE_SIZE, Patience(SECOND))
        # On a busy machine the reader could be the faster one, and ask for all by himself.
        wait_until(lambda: rig.fetcher.usage()["plans_waiting"] == 0)
    reader.close()

    assert found == CONTENT
    assert rig.bytes_asked_for() == len(CONTENT)
    assert rig.counters["prefetched_bytes"] > BLOCK_SIZE


def test_scattered_reads_fetch_their_pieces_only(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    reader = Reader(rig.file, rig.fetcher)
    for offset in (0, 2 * BLOCK_SIZE + 5, len(CONTENT) - 10):
        assert reader.read(offset, 4, Patience(SECOND)) == CONTENT[offset : offset + 4]

    assert rig.bytes_asked_for() <= 3 * PIECE_SIZE
    assert rig.counters["prefetched_bytes"] == 0


def test_a_reader_past_the_end_gets_nothing(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    reader = Reader(rig.file, rig.fetcher)

    assert reader.read(len(CONTENT), 100, Patience(SECOND)) == b""
    assert reader.read(len(CONTENT) - 3, 100, Patience(SECOND)) == CONTENT[-3:]


def test_foreseen_work_is_dropped_when_its_reader_closes(make_rig: Callable[..., Rig]) -> None:
    config = FetcherConfig(max_connections=3, reserved_connections=2, largest_span=PIECE_SIZE)
    rig = make_rig(config=config)
    rig.archive.gate.clear()
    rig.fetcher.prefetch(rig.file, ByteRange(0, len(CONTENT)))
    while not rig.archive.ranges:
        pass
    rig.fetcher.drop_foreseen(rig.file)
    rig.archive.gate.set()

    assert rig.read(len(CONTENT) - 5, len(CONTENT)) == CONTENT[-5:]
    assert rig.bytes_asked_for() < len(CONTENT) // 2


def test_a_wanted_piece_overtakes_what_was_foreseen(make_rig: Callable[..., Rig]) -> None:
    config = FetcherConfig(max_connections=2, reserved_connections=1, largest_span=PIECE_SIZE)
    rig = make_rig(config=config)
    rig.archive.gate.clear()
    rig.fetcher.prefetch(rig.file, ByteRange(0, len(CONTENT)))
    while not rig.archive.ranges:
        pass
    found: list[bytes] = []
    last = len(CONTENT) - 1
    reader = threading.Thread(target=lambda: found.append(rig.read(last, last + 1)))
    reader.start()
    while len(rig.archive.ranges) < 2:
        pass
    rig.archive.gate.set()
    reader.join(SECOND)

    assert found == [CONTENT[-1:]]
    assert rig.archive.ranges[1][2] == len(CONTENT)


def spans_of(file: RemoteFile) -> list[Span]:
    return [each for each in gc.get_objects() if type(each) is Span and each.file is file]


def test_what_was_read_is_freed_without_the_collector(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(config=FetcherConfig(memory=PIECE_SIZE))
    gc.collect()
    gc.disable()
    try:
        rig.read(0, len(CONTENT))
        rig.fetcher.flush()
        rig.read(0, 1)
        # The threads that fetched may still be about to let go.
        wait_until(lambda: not spans_of(rig.file))
    finally:
        gc.enable()
