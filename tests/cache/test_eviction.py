"""What fits under a limit, and that random victims suit data that is read in circles."""

from __future__ import annotations

from random import Random

import pytest

from empiarfs.cache.eviction import (
    FIRST_SHARE,
    MIN_LIMIT,
    Candidate,
    capacity,
    is_spared,
    random_row,
    slot_count,
    stored_size,
    wal_pages,
)
from empiarfs.core.block_format import MAX_STORED_SIZE

MIB = 1024 * 1024


@pytest.mark.parametrize(("size", "taken"), [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)])
def test_files_take_whole_pages(size: int, taken: int) -> None:
    assert stored_size(size) == taken


@pytest.mark.parametrize("limit", [MIN_LIMIT, 64 * MIB, 1024 * MIB, 100 * 1024 * MIB])
def test_what_is_set_aside_scales_with_the_limit(limit: int) -> None:
    fits = capacity(limit, overhead=0)

    assert limit * 0.7 < fits < limit - slot_count(limit) * MAX_STORED_SIZE
    assert 1 <= slot_count(limit) <= 8
    assert 64 <= wal_pages(limit) <= 1000


def test_overhead_leaves_less_room_for_blocks() -> None:
    assert capacity(64 * MIB, 10 * MIB) == capacity(64 * MIB, 20 * MIB) + 10 * MIB
    assert capacity(MIN_LIMIT, 2 * MIN_LIMIT) == 0


def test_first_blocks_are_spared_while_they_take_little() -> None:
    first, later = Candidate(1, "ab.0", ""), Candidate(2, "ab.10", "")
    share = int(FIRST_SHARE * 1000)

    assert is_spared(first, share - 1, 1000)
    assert not is_spared(first, share, 1000)
    assert not is_spared(later, 0, 1000)


def test_data_a_bit_larger_than_the_cache_read_in_circles_hits_mostly() -> None:
    room, data, random = 500, 600, Random(1)
    rows: dict[int, int] = {}  # row number to block, ascending as rows are appended
    held: set[int] = set()
    hits = 0
    for step in range(data * 12):
        block = step % data
        if block in held:
            hits += step >= data * 6
            continue
        if len(rows) == room:
            start = random_row(min(rows), max(rows), random)
            victim = min(row for row in rows if row >= start)
            held.remove(rows.pop(victim))
        rows[max(rows, default=0) + 1] = block
        held.add(block)

    # 69 % with victims chosen evenly, 0 % with the least recently used.
    assert hits / (data * 6) > 0.6
