"""What every block store promises, tried on each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.store import BlockStore, MemoryBlockStore
from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, key_of, make_file, pieces_at
from tests.support.log_guard import ExpectLog

LIMIT = 32 * MIB


def memory_store(folder: Path) -> BlockStore:
    return MemoryBlockStore(LIMIT)


def disk_store(folder: Path) -> BlockStore:
    return DiskBlockStore(folder / "blocks", LIMIT, Counters())


@pytest.fixture(params=[memory_store, disk_store], ids=["memory", "disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockStore]:
    factory: Callable[[Path], BlockStore] = request.param
    made = factory(tmp_path)
    yield made
    made.close()


def test_an_empty_store_has_nothing(store: BlockStore) -> None:
    file = make_file()

    assert store.open(key_of(file), file) is None
    assert store.peek(key_of(file)) == 0
    assert store.usage().blocks == 0


def test_a_block_comes_back_unchanged(store: BlockStore) -> None:
    file = make_file()
    store.put(key_of(file, 2), file, pieces_at(file, 2))

    block = store.open(key_of(file, 2), file)

    assert block is not None
    assert block.places == 0xFFFF
    assert block.read(0, MIB) == b"".join(pieces_at(file, 2).values())


def test_any_range_of_what_is_held_can_be_read(store: BlockStore) -> None:
    file = make_file()
    whole = b"".join(pieces_at(file, 0).values())
    store.put(key_of(file), file, pieces_at(file, 0))
    block = store.open(key_of(file), file)

    assert block is not None
    for start, stop in [(0, 0), (0, 1), (65_535, 65_537), (65_536, 196_608), (MIB - 1, MIB)]:
        assert block.read(start, stop) == whole[start:stop]


def test_a_piece_that_is_not_held_cannot_be_read(store: BlockStore) -> None:
    file = make_file()
    store.put(key_of(file), file, pieces_at(file, 0, range(2, 4)))
    block = store.open(key_of(file), file)

    assert block is not None
    assert block.places == 0b1100
    assert block.read(2 * PIECE_SIZE, 4 * PIECE_SIZE) == b"".join(
        pieces_at(file, 0, range(2, 4)).values()
    )
    with pytest.raises(ValueError, match="held"):
        block.read(2 * PIECE_SIZE - 1, 3 * PIECE_SIZE)
    with pytest.raises(ValueError, match="held"):
        block.read(3 * PIECE_SIZE, 4 * PIECE_SIZE + 1)


def test_the_short_last_piece_of_a_file_can_be_stored(store: BlockStore) -> None:
    file = make_file(size=MIB + PIECE_SIZE + 5)
    store.put(key_of(file, 1), file, pieces_at(file, 1))
    block = store.open(key_of(file, 1), file)

    assert block is not None
    assert block.places == 0b11
    assert len(block.read(0, PIECE_SIZE + 5)) == PIECE_SIZE + 5
    with pytest.raises(ValueError, match="end of the file"):
        block.read(0, PIECE_SIZE + 6)


def test_pieces_are_added_to_those_stored_already(store: BlockStore) -> None:
    file = make_file()
    store.put(key_of(file), file, pieces_at(file, 0, range(1)))
    store.put(key_of(file), file, pieces_at(file, 0, range(7, 9)))
    block = store.open(key_of(file), file)

    assert block is not None
    assert block.places == store.peek(key_of(file)) == 0b1_1000_0001
    assert block.read(0, PIECE_SIZE) == pieces_at(file, 0)[0]
    assert block.read(8 * PIECE_SIZE, 9 * PIECE_SIZE) == pieces_at(file, 0)[8]
    assert store.usage().blocks == 1


def test_a_block_opened_earlier_stays_as_it_was(store: BlockStore) -> None:
    file = make_file()
    store.put(key_of(file), file, pieces_at(file, 0, range(1)))
    block = store.open(key_of(file), file)
    store.put(key_of(file), file, pieces_at(file, 0))

    assert block is not None
    assert block.places == 1
    assert block.read(0, PIECE_SIZE) == pieces_at(file, 0)[0]


def test_a_new_version_of_a_file_misses(store: BlockStore) -> None:
    old, new = make_file(modified_s=1), make_file(modified_s=2)
    store.put(key_of(old), old, pieces_at(old, 0))

    assert store.open(key_of(new), new) is None


def test_every_kind_of_buffer_can_be_stored(store: BlockStore) -> None:
    file = make_file()
    pieces = pieces_at(file, 0)
    span = bytearray(pieces[1] + pieces[2])
    view = memoryview(span)
    store.put(
        key_of(file),
        file,
        {0: pieces[0], 1: bytearray(pieces[1]), 2: view[PIECE_SIZE:]},
    )
    span[:] = bytes(len(span))  # the buffer is used anew
    block = store.open(key_of(file), file)

    assert block is not None
    assert block.read(0, 3 * PIECE_SIZE) == pieces[0] + pieces[1] + pieces[2]


@pytest.mark.parametrize(
    "pieces", [{0: b"short"}, {16: bytes(PIECE_SIZE)}, {-1: bytes(PIECE_SIZE)}]
)
def test_what_cannot_be_a_piece_is_not_kept(
    store: BlockStore, pieces: dict[int, bytes], expect_log: ExpectLog
) -> None:
    expect_log("ERROR .* bytes for place .*10002/data/a.mrc")
    file = make_file()
    store.put(key_of(file), file, pieces)

    assert store.open(key_of(file), file) is None


def test_nothing_is_not_kept(store: BlockStore) -> None:
    file = make_file()
    store.put(key_of(file), file, {})

    assert store.open(key_of(file), file) is None


def test_the_limit_holds_and_something_stays(store: BlockStore) -> None:
    file = make_file(size=100 * MIB)
    for index in range(60):
        store.put(key_of(file, index), file, pieces_at(file, index))
        assert store.usage().used <= LIMIT

    kept = [index for index in range(60) if store.open(key_of(file, index), file)]
    assert 15 <= len(kept) <= 32
    assert max(kept) > 50


def test_names_of_any_bytes_can_be_stored(store: BlockStore) -> None:
    file = make_file(path="10002/\udcff\udc80 ü/" + "long name " * 20 + "/x")
    store.put(key_of(file), file, pieces_at(file, 0))

    assert store.open(key_of(file), file) is not None


def test_many_threads_may_use_it_at_once(store: BlockStore) -> None:
    file = make_file(size=16 * MIB)
    wrong: list[object] = []

    def work(number: int) -> None:
        for step in range(24):
            index = (number + step) % 8
            store.put(key_of(file, index), file, pieces_at(file, index, range(step % 16, 16)))
            block = store.open(key_of(file, index), file)
            if block is None or block.read(15 * PIECE_SIZE, MIB) != pieces_at(file, index)[15]:
                wrong.append((index, block))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert store.usage().blocks == 8


def test_after_close_it_is_empty_and_quiet(tmp_path: Path) -> None:
    file = make_file()
    store = disk_store(tmp_path)
    store.put(key_of(file), file, pieces_at(file, 0))
    block = store.open(key_of(file), file)
    store.close()
    store.put(key_of(file, 1), file, pieces_at(file, 1))

    assert store.open(key_of(file), file) is None
    assert block is not None
    assert block.read(0, PIECE_SIZE) == pieces_at(file, 0)[0]
