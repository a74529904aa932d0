"""Write-behind, with a store that waits at a gate, and a clock that stands."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

import pytest

from empiarfs.cache.store import (
    BlockPut,
    CacheUsage,
    MemoryBlockStore,
    ReadableBuffer,
    StoredBlock,
)
from empiarfs.cache.writebehind import WriteBehind
from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.core.files import BlockKey, RemoteFile
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, key_of, make_file, piece_bytes
from tests.support.log_guard import ExpectLog
from tests.support.waiting import wait_until

FILE = make_file(size=20 * MIB)
WAIT_S = 10.0


class GatedStore:
    """A store in memory whose `put` waits for the gate, and which remembers its calls."""

    def __init__(self) -> None:
        self.kept = MemoryBlockStore(64 * MIB)
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Semaphore(0)
        self.calls: list[tuple[int, tuple[int, ...]]] = []
        self.batches: list[int] = []
        self.error: Exception | None = None

    def open(self, key: BlockKey, file: RemoteFile) -> StoredBlock | None:
        return self.kept.open(key, file)

    def peek(self, key: BlockKey) -> int:
        return self.kept.peek(key)

    def put(self, key: BlockKey, file: RemoteFile, pieces: Mapping[int, ReadableBuffer]) -> None:
        self.calls.append((key.index, tuple(pieces)))
        self.arrived.release()
        assert self.gate.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        self.kept.put(key, file, pieces)

    def put_many(self, blocks: Sequence[BlockPut]) -> None:
        self.batches.append(len(blocks))
        for block in blocks:
            self.put(block.key, block.file, block.pieces)

    def usage(self) -> CacheUsage:
        return self.kept.usage()

    def close(self) -> None:
        self.gate.set()


@pytest.fixture
def store() -> Iterator[GatedStore]:
    made = GatedStore()
    yield made
    made.close()


def behind(store: GatedStore, **options: float) -> WriteBehind:
    return WriteBehind(
        store,
        limit=int(options.get("limit", 32 * MIB)),
        delay_s=options.get("delay_s", 1e6),
        room_timeout_s=options.get("room_timeout_s", WAIT_S),
        counters=Counters(),
    )


def add(writer: WriteBehind, *pieces: int) -> None:
    for piece in pieces:
        writer.add(FILE, range(piece, piece + 1), [piece_bytes(FILE, piece)])


def test_a_whole_block_is_stored_at_once_and_by_one_put(store: GatedStore) -> None:
    writer = behind(store)
    add(writer, *range(16, 32))

    assert store.arrived.acquire(timeout=WAIT_S)
    assert store.calls == [(1, tuple(range(16)))]
    writer.close()
    assert store.peek(key_of(FILE, 1)) == 0xFFFF


def test_the_last_block_of_a_file_is_whole_with_fewer_pieces(store: GatedStore) -> None:
    writer = behind(store)
    short = make_file(size=PIECE_SIZE + 1)
    for piece in range(2):
        writer.add(short, range(piece, piece + 1), [piece_bytes(short, piece)])

    assert store.arrived.acquire(timeout=WAIT_S)
    assert store.calls == [(0, (0, 1))]
    writer.close()


def test_a_block_that_stays_incomplete_is_stored_after_the_delay(store: GatedStore) -> None:
    writer = behind(store, delay_s=0.01)
    add(writer, 3)

    assert store.arrived.acquire(timeout=WAIT_S)
    assert store.calls == [(0, (3,))]
    writer.close()


def test_near_the_bound_the_oldest_blocks_make_room_before_anybody_waits(
    store: GatedStore,
) -> None:
    writer = behind(store, limit=16 * PIECE_SIZE)
    add(writer, *range(0, 11 * 16, 16))
    assert store.calls == []
    add(writer, 11 * 16)

    wait_until(lambda: writer.size == 4 * PIECE_SIZE)
    assert [index for index, _ in store.calls] == list(range(8))
    writer.close()


def test_blocks_that_are_due_are_stored_together_and_others_wait(store: GatedStore) -> None:
    now_s = [0.0]
    writer = WriteBehind(store, delay_s=1.0, clock=lambda: now_s[0])
    add(writer, *range(0, 5 * 16, 16))
    now_s[0] = 1.5
    add(writer, 5 * 16)

    wait_until(lambda: writer.size == PIECE_SIZE)
    assert store.batches == [5]
    writer.close()
    assert store.batches == [5, 1]


def test_an_incomplete_block_waits(store: GatedStore) -> None:
    writer = behind(store)
    add(writer, 0, 1)
    add(writer, *range(16, 32))

    assert store.arrived.acquire(timeout=WAIT_S)
    assert [index for index, _ in store.calls] == [1]
    writer.close()
    assert [index for index, _ in store.calls] == [1, 0]


def test_pieces_are_found_until_they_are_stored(store: GatedStore) -> None:
    writer = behind(store)
    store.gate.clear()
    add(writer, *range(16), 20)
    assert store.arrived.acquire(timeout=WAIT_S)

    assert writer.get(FILE, 7) == piece_bytes(FILE, 7)
    assert writer.get(FILE, 20) == piece_bytes(FILE, 20)
    assert writer.get(FILE, 21) is None
    assert writer.get(make_file(modified_s=99), 7) is None
    assert store.peek(key_of(FILE)) == 0

    store.gate.set()
    assert writer.flush(WAIT_S)
    assert writer.get(FILE, 7) is None
    assert store.peek(key_of(FILE)) == 0xFFFF
    assert writer.size == 0
    writer.close()


def test_pieces_that_come_while_their_block_is_written_are_stored_too(store: GatedStore) -> None:
    writer = behind(store, delay_s=0.0)
    store.gate.clear()
    add(writer, 0)
    assert store.arrived.acquire(timeout=WAIT_S)
    add(writer, 1)

    assert writer.get(FILE, 0) == piece_bytes(FILE, 0)
    assert writer.get(FILE, 1) == piece_bytes(FILE, 1)
    store.gate.set()
    writer.close()
    assert store.peek(key_of(FILE)) == 0b11


def test_whoever_adds_waits_for_room(store: GatedStore) -> None:
    writer = behind(store, limit=2 * MIB)
    store.gate.clear()
    add(writer, *range(32))
    waiter = threading.Thread(target=add, args=(writer, 32))
    waiter.start()
    assert store.arrived.acquire(timeout=WAIT_S)

    assert writer.size == 2 * MIB
    assert writer.get(FILE, 32) is None
    store.gate.set()
    waiter.join(WAIT_S)
    writer.close()
    assert store.peek(key_of(FILE, 2)) == 1


def test_a_piece_that_finds_no_room_in_time_is_dropped_and_counted(store: GatedStore) -> None:
    counters = Counters()
    writer = WriteBehind(store, limit=MIB, counters=counters, room_timeout_s=0.01)
    store.gate.clear()
    add(writer, *range(17))

    assert counters["blocks_dropped"] == 1
    assert writer.get(FILE, 16) is None
    store.gate.set()
    writer.close()


def test_a_full_buffer_of_incomplete_blocks_is_stored_before_the_delay(store: GatedStore) -> None:
    writer = behind(store, limit=2 * PIECE_SIZE)
    add(writer, 0, 16, 32)

    assert writer.flush(WAIT_S)
    assert {index for index, _ in store.calls} == {0, 1, 2}
    writer.close()


def test_a_piece_added_twice_counts_once(store: GatedStore) -> None:
    writer = behind(store)
    add(writer, 5, 5)

    assert writer.size == PIECE_SIZE
    writer.close()
    assert store.calls == [(0, (5,))]


def test_a_piece_of_the_wrong_size_is_refused(store: GatedStore, expect_log: ExpectLog) -> None:
    expect_log(r"ERROR .*\[5\] bytes for pieces range\(0, 1\)")
    writer = behind(store)
    writer.add(FILE, range(1), [b"short"])

    assert writer.get(FILE, 0) is None
    writer.close()


def test_a_store_that_raises_does_not_stop_it(store: GatedStore, expect_log: ExpectLog) -> None:
    expect_log("ERROR .*storing 1 blocks .*no store should")
    writer = behind(store)
    store.error = RuntimeError("no store should")
    add(writer, *range(16))
    assert writer.flush(WAIT_S)
    store.error = None
    add(writer, *range(16, 32))
    writer.close()

    assert store.peek(key_of(FILE, 1)) == 0xFFFF


def test_flush_gives_up_when_the_store_hangs(store: GatedStore) -> None:
    writer = behind(store)
    store.gate.clear()
    add(writer, 0)

    assert not writer.flush(0.01)
    store.gate.set()
    writer.close()


def test_after_close_nothing_is_kept(store: GatedStore) -> None:
    writer = behind(store)
    add(writer, 0)
    writer.close()
    add(writer, 1)

    assert writer.get(FILE, 1) is None
    assert store.calls == [(0, (0,))]


def test_whole_blocks_that_wait_are_stored_together(store: GatedStore) -> None:
    store.gate.clear()
    writer = behind(store)
    for piece in range(4 * 16):
        writer.add(FILE, range(piece, piece + 1), [piece_bytes(FILE, piece)])
    assert store.arrived.acquire(timeout=WAIT_S)
    store.gate.set()

    assert writer.flush(WAIT_S)
    assert [index for index, _ in store.calls] == [0, 1, 2, 3]
    writer.close()
