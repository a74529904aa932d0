"""The limit holds on disk, measured by a walk over the directory while others write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from empiarfs.cache.block_disk import new_filename
from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.eviction import MIN_LIMIT
from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.errors import ConfigError, CorruptBlockError
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, block_files, bytes_on_disk, key_of, make_file, pieces_at
from tests.cache.writer import FILE_COUNT, written_file


def writer(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.cache.writer", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wrong_blocks(store: DiskBlockStore) -> list[str]:
    """Read all that is stored; return what isn't what was written."""
    wrong = []
    for number in range(FILE_COUNT):
        file = written_file(number)
        for index in range(-(-file.size // MIB)):
            block = store.open(key_of(file, index), file)
            for place, data in pieces_at(file, index).items() if block else ():
                start = place * PIECE_SIZE
                if block is None or not block.places >> place & 1:
                    continue
                try:
                    same = block.read(start, start + len(data)) == data
                except CorruptBlockError:
                    same = False
                if not same:
                    wrong.append(f"{file.path} {index} {place}")
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("limit", [MIN_LIMIT, 40 * MIB], ids=["least", "40M"])
def test_three_processes_with_mixed_sizes_stay_below_the_limit(tmp_path: Path, limit: int) -> None:
    writers = [writer("fill", tmp_path, limit, seed, 400) for seed in range(3)]
    highest = 0
    while any(process.poll() is None for process in writers):
        highest = max(highest, bytes_on_disk(tmp_path))
    results = [process.communicate()[0].split() for process in writers]

    assert highest <= limit
    assert highest > limit // 2
    stored, evicted, dropped = (sum(int(row[n]) for row in results) for n in range(3))
    assert stored > 150
    assert evicted > 50
    assert dropped < 100
    counters = Counters()
    store = DiskBlockStore(tmp_path, limit, counters)
    assert wrong_blocks(store) == []
    assert len(block_files(tmp_path)) == store.usage().blocks
    store.close()


@pytest.mark.slow
def test_many_small_blocks_and_then_big_ones_stay_below_the_limit(tmp_path: Path) -> None:
    store = DiskBlockStore(tmp_path, MIN_LIMIT, Counters())
    highest = 0
    for number in range(1300):
        small = make_file(f"10002/{number}", size=100)
        store.put(key_of(small), small, pieces_at(small, 0))
        if number % 100 == 0:
            highest = max(highest, bytes_on_disk(tmp_path))
    big = make_file(size=30 * MIB)
    for index in range(30):
        store.put(key_of(big, index), big, pieces_at(big, index))
        highest = max(highest, bytes_on_disk(tmp_path))

    usage = store.usage()
    store.close()
    assert MIN_LIMIT // 2 < highest <= MIN_LIMIT
    assert usage.unwell is None
    assert abs(usage.used - bytes_on_disk(tmp_path)) < MIB


@pytest.mark.slow
def test_killed_writers_leave_no_wrong_byte_and_little_behind(tmp_path: Path) -> None:
    process = writer("crash", tmp_path, MIN_LIMIT, 30)
    highest = 0
    while process.poll() is None:
        highest = max(highest, bytes_on_disk(tmp_path))
    assert process.wait() == 0
    process.communicate()

    store = DiskBlockStore(tmp_path, MIN_LIMIT, Counters())
    assert wrong_blocks(store) == []
    assert highest <= MIN_LIMIT
    assert len(block_files(tmp_path)) > 20
    assert store.sweep(age_s=-1) is not None
    assert wrong_blocks(store) == []
    assert len(block_files(tmp_path)) == store.usage().blocks
    store.close()


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    file = make_file(size=100 * MIB)
    store = DiskBlockStore(tmp_path, MIN_LIMIT, Counters())
    store.put(key_of(file, 0), file, pieces_at(file, 0))
    store.close()
    (known,) = block_files(tmp_path)
    names = [new_filename(key_of(file, 0).short) for _ in range(2)]
    for name in names:
        (tmp_path / "gen-1" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "gen-1" / name).write_bytes(b"half written")
    noted = [key_of(file, 0).short, *names, f"{known.parent.name}/{known.name}"]
    (tmp_path / "gen-1" / "slot-0").write_text(" ".join(noted) + "\n")

    store = DiskBlockStore(tmp_path, MIN_LIMIT, Counters())
    store.put(key_of(file, 1), file, pieces_at(file, 1))

    assert store.peek(key_of(file, 0)) == store.peek(key_of(file, 1)) == 0xFFFF
    assert len(block_files(tmp_path)) == 2
    store.close()


def test_a_limit_that_cannot_work_is_refused_with_the_least(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="16M"):
        DiskBlockStore(tmp_path, MIN_LIMIT - 1, Counters())


def test_a_limit_changed_in_the_directory_holds_for_those_that_run(tmp_path: Path) -> None:
    now = 0.0
    store = DiskBlockStore(tmp_path, 64 * MIB, Counters(), clock=lambda: now)
    file = make_file(size=100 * MIB)
    for index in range(40):
        store.put(key_of(file, index), file, pieces_at(file, index))
    assert bytes_on_disk(tmp_path) > 40 * MIB

    (tmp_path / "limit").write_text(f"{MIN_LIMIT} smaller now\n")
    now += 2.0
    store.put(key_of(file, 50), file, pieces_at(file, 50))

    assert store.usage().limit == MIN_LIMIT
    assert bytes_on_disk(tmp_path) <= MIN_LIMIT
    store.close()
