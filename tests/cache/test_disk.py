"""The disk store when all is well: what it shares, replaces, remembers and counts."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.open_blocks import tier_size
from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, block_files, bytes_on_disk, key_of, make_file, pieces_at
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import wait_until

LIMIT = 64 * MIB
FILE = make_file(size=400 * MIB)


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[DiskBlockStore]:
    made = DiskBlockStore(tmp_path, LIMIT, Counters(), clock=clock)
    yield made
    made.close()


def put(store: DiskBlockStore, index: int, places: range | None = None) -> None:
    store.put(key_of(FILE, index), FILE, pieces_at(FILE, index, places))


def places_of(store: DiskBlockStore, index: int) -> int:
    block = store.open(key_of(FILE, index), FILE)
    return block.places if block is not None else 0


def open_blocks(tmp_path: Path) -> list[str]:
    """Return the block files that this process has open.

    Only these: threads of the store open the database when they first need it.
    """
    paths = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [path for path in paths if Path(path).parent.parent == tmp_path / "gen-1"]


def cache_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if "cache-" in thread.name}


def test_making_a_store_starts_nothing_and_opens_nothing(tmp_path: Path) -> None:
    before = cache_threads()
    store = DiskBlockStore(tmp_path / "blocks", LIMIT, Counters())

    assert cache_threads() == before
    assert not (tmp_path / "blocks").exists()
    store.close()


def test_closing_ends_the_threads_and_frees_the_descriptors(tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    store = DiskBlockStore(tmp_path, LIMIT, Counters())
    put(store, 0)
    assert places_of(store, 0) == 0xFFFF
    store.close()

    assert cache_threads() == set()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_blocks_are_there_after_a_restart(store: DiskBlockStore, tmp_path: Path) -> None:
    put(store, 3)
    store.close()
    later = DiskBlockStore(tmp_path, LIMIT, Counters())
    block = later.open(key_of(FILE, 3), FILE)
    later.close()

    assert block is not None
    assert block.read(0, MIB) == b"".join(pieces_at(FILE, 3).values())


def test_two_stores_share_one_directory(store: DiskBlockStore, tmp_path: Path) -> None:
    other = DiskBlockStore(tmp_path, LIMIT, Counters())
    put(store, 0)
    put(other, 1)

    assert places_of(other, 0) == places_of(store, 1) == 0xFFFF
    other.close()


def test_files_are_for_their_owner_and_in_one_level_of_folders(
    store: DiskBlockStore, tmp_path: Path
) -> None:
    put(store, 0)
    (path,) = block_files(tmp_path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.parent.parent.name == "gen-1"
    assert len(path.parent.name) == 2


def test_a_lone_header_piece_takes_68_kib(store: DiskBlockStore, tmp_path: Path) -> None:
    put(store, 0, range(1))

    assert [path.stat().st_size for path in block_files(tmp_path)] == [68 * 1024]


def test_adding_pieces_leaves_one_file(store: DiskBlockStore, tmp_path: Path) -> None:
    for place in range(4):
        put(store, 0, range(place, place + 1))

    assert places_of(store, 0) == 0b1111
    assert len(block_files(tmp_path)) == 1


def test_pieces_stored_already_are_not_written_again(
    store: DiskBlockStore, tmp_path: Path
) -> None:
    put(store, 0)
    before = block_files(tmp_path)
    put(store, 0, range(3, 5))

    assert block_files(tmp_path) == before


def test_two_processes_that_put_one_block_at_once_leave_one_file(tmp_path: Path) -> None:
    stores = [DiskBlockStore(tmp_path, LIMIT, Counters()) for _ in range(4)]
    for index in range(12):
        threads = [
            threading.Thread(target=put, args=(store, index, range(number, 16)))
            for number, store in enumerate(stores)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(block_files(tmp_path)) == 12
    reader = DiskBlockStore(tmp_path, LIMIT, Counters())
    for index in range(12):
        block = reader.open(key_of(FILE, index), FILE)
        assert block is not None
        assert block.read(3 * PIECE_SIZE, MIB) == b"".join(
            pieces_at(FILE, index, range(3, 16)).values()
        )
    for store in [*stores, reader]:
        store.close()


def test_what_another_process_added_is_seen_after_some_seconds(
    store: DiskBlockStore, tmp_path: Path, clock: Clock
) -> None:
    put(store, 0, range(1))
    assert places_of(store, 0) == 1
    other = DiskBlockStore(tmp_path, LIMIT, Counters())
    put(other, 0)
    other.close()

    clock.now += 6.0
    assert places_of(store, 0) == 0xFFFF


def test_an_open_block_is_found_again_without_the_database(
    store: DiskBlockStore, tmp_path: Path
) -> None:
    put(store, 0)
    assert places_of(store, 0) == 0xFFFF
    for path in block_files(tmp_path):
        path.unlink()

    assert places_of(store, 0) == 0xFFFF


def test_only_so_many_blocks_are_kept_open(store: DiskBlockStore, tmp_path: Path) -> None:
    for index in range(12):
        put(store, index)
    assert all(places_of(store, index) for index in range(12))

    assert tier_size(LIMIT) == 3
    # They are closed by another thread.
    wait_until(lambda: len(open_blocks(tmp_path)) == 3)


def test_an_evicted_block_can_be_read_while_it_is_held(
    store: DiskBlockStore, tmp_path: Path
) -> None:
    # Not the very first one: a row is chosen in proportion to the gap before it.
    for index in range(1, 22):
        put(store, index)
    held = store.open(key_of(FILE, 21), FILE)
    assert held is not None
    for index in range(22, 399):
        put(store, index)
        if not Path(held.path).exists():
            break

    assert places_of(store, 21) == 0
    assert held.read(0, MIB) == b"".join(pieces_at(FILE, 21).values())


def test_one_pass_over_a_big_file_does_not_flush_the_headers(store: DiskBlockStore) -> None:
    movies = [make_file(f"10002/{number}.mrc", 50 * MIB) for number in range(50)]
    for movie in movies:
        store.put(key_of(movie), movie, pieces_at(movie, 0, range(1)))
    for index in range(1, 300):
        put(store, index)

    kept = [movie for movie in movies if store.peek(key_of(movie))]
    assert len(kept) == 50


def test_what_happens_to_blocks_is_counted(tmp_path: Path) -> None:
    counters = Counters()
    store = DiskBlockStore(tmp_path, LIMIT, counters)
    for index in range(80):
        put(store, index)
    blocks = store.usage().blocks
    store.close()

    assert counters["blocks_stored"] == 80
    assert counters["blocks_evicted"] == 80 - blocks > 0
    assert counters["blocks_dropped"] == counters["blocks_corrupt"] == 0


def test_usage_is_what_a_walk_finds(store: DiskBlockStore, tmp_path: Path, clock: Clock) -> None:
    for index in range(20):
        put(store, index)
    clock.now += 2.0
    usage = store.usage()

    assert usage.limit == LIMIT
    assert usage.blocks == 20
    assert usage.unwell is None
    assert abs(usage.used - bytes_on_disk(tmp_path)) < MIB // 4


def test_usage_is_measured_once_a_second(store: DiskBlockStore, clock: Clock) -> None:
    put(store, 0)
    assert store.usage().blocks == 1
    put(store, 1)
    assert store.usage().blocks == 1
    clock.now += 1.1
    assert store.usage().blocks == 2


def test_a_path_that_is_too_long_for_the_format_is_dropped(tmp_path: Path) -> None:
    counters = Counters()
    store = DiskBlockStore(tmp_path, LIMIT, counters)
    endless = make_file(path="d/" * 40_000 + "x")
    store.put(key_of(endless), endless, pieces_at(endless, 0))
    put(store, 0)
    store.close()

    assert counters["blocks_dropped"] == counters["blocks_stored"] == 1


def test_a_store_of_many_blocks_is_open_at_once(store: DiskBlockStore, tmp_path: Path) -> None:
    put(store, 0)
    store.close()
    with sqlite3.connect(tmp_path / "gen-1" / "cache.db") as database:
        rows = (
            (f"{number:032x}.1", 1, 1.0, 1.0, f"00/{number:032x}.1-{number:012x}", 2, 4096)
            for number in range(20_000)
        )
        database.executemany(
            "INSERT INTO Cache (key, raw, store_time, access_time, filename, mode, size)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    database.close()

    watch = Stopwatch()
    later = DiskBlockStore(tmp_path, 1024 * MIB, Counters())
    block = later.open(key_of(FILE), FILE)
    taken_s = watch.seconds()
    blocks = later.usage().blocks
    later.close()

    assert block is not None
    assert blocks == 20_001
    # 10 ms here, as for an empty one; a scan of the files alone would be 20,000 stats.
    assert taken_s < 0.5


def test_nothing_is_mapped_into_memory_that_others_could_truncate(
    store: DiskBlockStore, tmp_path: Path
) -> None:
    put(store, 0)
    assert places_of(store, 0)

    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_what_two_put_into_one_block_at_once_is_stored_both(tmp_path: Path) -> None:
    stores = [DiskBlockStore(tmp_path, LIMIT, Counters()) for _ in range(2)]
    turns, together = 60, threading.Barrier(2)
    for store in stores:
        put(store, turns, range(3))  # what is made at first use isn't what is tried here

    def put_each(number: int) -> None:
        for index in range(turns):
            together.wait(60.0)
            put(stores[number], index, range(number, number + 1))

    threads = [threading.Thread(target=put_each, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.look_again()

    assert [places_of(stores[0], index) for index in range(turns)] == [0b11] * turns
    assert [places_of(stores[1], index) for index in range(turns)] == [0b11] * turns
    assert len(block_files(tmp_path)) == turns + 1
    for store in stores:
        store.close()


def test_what_others_add_to_a_block_is_seen_when_it_is_looked_for_again(
    store: DiskBlockStore, tmp_path: Path
) -> None:
    put(store, 0, range(1))
    assert places_of(store, 0) == 0b1
    other = DiskBlockStore(tmp_path, LIMIT, Counters())
    put(other, 0, range(1, 2))
    other.close()
    before = places_of(store, 0)
    store.look_again()

    assert (before, places_of(store, 0)) == (0b1, 0b11)
