"""What fits under a limit, which blocks are spared, and that chance is even."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from empiarfs.cache.eviction import (
    MIN_LIMIT,
    SHARES,
    SMALL_SIZE,
    Pool,
    capacity,
    choose,
    pool_of,
    pools_to_choose_from,
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


@pytest.mark.parametrize(
    ("index", "stored", "pool"),
    [
        (0, 68 * 1024, Pool.SMALL),
        (0, SMALL_SIZE, Pool.SMALL),
        (0, SMALL_SIZE + 1, Pool.FIRST),
        (1, 68 * 1024, Pool.REST),
        (8, 68 * 1024, Pool.REST),
        (9, 68 * 1024, Pool.SMALL),
        (9, MAX_STORED_SIZE, Pool.REST),
    ],
)
def test_ends_of_files_have_shares_of_their_own(index: int, stored: int, pool: Pool) -> None:
    assert pool_of(index, 10 * MIB, stored) == pool


def test_a_pool_gives_victims_only_beyond_its_share() -> None:
    share = int(SHARES[Pool.SMALL] * 1000)

    within = pools_to_choose_from({Pool.REST: 500, Pool.SMALL: share}, 1000)
    beyond = pools_to_choose_from({Pool.REST: 500, Pool.SMALL: share + 1}, 1000)

    assert within == [Pool.REST]
    assert beyond == [Pool.REST, Pool.SMALL]


def test_the_shares_give_way_where_there_is_nothing_else() -> None:
    assert pools_to_choose_from({Pool.SMALL: 10, Pool.FIRST: 1}, 1000) == [Pool.SMALL, Pool.FIRST]


def test_every_block_is_as_likely_as_any_other() -> None:
    random = Random(1)

    chosen = Counter(choose({Pool.REST: 2, Pool.FIRST: 3}, random) for _ in range(10_000))

    places = [(Pool.REST, 1), (Pool.REST, 2), (Pool.FIRST, 1), (Pool.FIRST, 2), (Pool.FIRST, 3)]
    assert sorted(chosen) == sorted(places)
    assert min(chosen.values()) > 1_850
    assert max(chosen.values()) < 2_150
