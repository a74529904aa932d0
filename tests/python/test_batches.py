"""Epochs and batches of shuffled images: who gets which, in which order."""

from __future__ import annotations

import pickle
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import empiarfs
from empiarfs.python.batches import Batch


def shuffled(lengths: list[int], batch_size: int, **options: Any) -> empiarfs.ShuffledBatches:
    return empiarfs.ShuffledBatches(SimpleNamespace(lengths=lengths), batch_size, **options)


def source_of(lengths: list[int], index: int) -> int:
    return sum(end <= index for end in accumulate(lengths))


@given(
    lengths=st.lists(st.integers(0, 20), max_size=5),
    size=st.integers(1, 8),
    ranks=st.integers(1, 3),
    of_each=st.none() | st.integers(1, 25),
    drop_last=st.booleans(),
)
def test_ranks_have_as_many_batches_of_images_of_their_own(
    lengths: list[int], size: int, ranks: int, of_each: int | None, drop_last: bool
) -> None:
    options = {"of_each": of_each, "drop_last": drop_last, "ranks": ranks}
    each = [shuffled(lengths, size, rank=rank, **options) for rank in range(ranks)]
    epochs = [list(batches) for batches in each]
    found = [index for epoch in epochs for batch in epoch for index in batch]

    assert {len(batches) for batches in each} == {len(epoch) for epoch in epochs}
    assert len(set(map(len, epochs))) == 1
    assert len(set(found)) == len(found)
    assert set(found) <= set(range(sum(lengths)))
    wanted = [min(length, of_each or length) for length in lengths]
    taken = [source_of(lengths, index) for index in found]
    assert all(taken.count(source) <= most for source, most in enumerate(wanted))
    # What is left out are batches that not all ranks could have, and a last one at most.
    assert sum(wanted) - len(found) < size * (ranks - 1) + (size if drop_last else 1)


def test_an_epoch_follows_from_its_number_and_the_seed() -> None:
    batches = shuffled([50, 50], 10, seed=4)
    first, second = list(batches), list(batches)
    again = shuffled([50, 50], 10, seed=4)
    again.set_epoch(1)

    assert first != second
    assert batches.epoch == 2
    assert list(again) == second
    assert list(shuffled([50, 50], 10, seed=5)) != first


def test_other_images_of_a_large_source_are_taken_in_each_epoch() -> None:
    batches = shuffled([1000, 3], 5, of_each=10)
    epochs = [[index for batch in batches for index in batch] for _ in range(3)]

    assert [len(epoch) for epoch in epochs] == [13, 13, 13]
    assert all({1000, 1001, 1002} < set(epoch) for epoch in epochs)
    assert len({index for epoch in epochs for index in epoch}) > 20


def test_each_batch_says_what_comes_after_it() -> None:
    epoch = list(shuffled([30], 4, ahead=3, rank=1, ranks=2))

    assert [batch.number for batch in epoch] == [0, 1, 2, 3]
    for batch in epoch:
        assert list(batch.later) == epoch[batch.number + 1 : batch.number + 4]
    assert list(epoch[0].next_for(2)) == [(2, epoch[2])]
    assert list(epoch[0].next_for(4)) == []


def test_a_batch_goes_along_with_what_it_says() -> None:
    batch = Batch([3, 1], seed=1, epoch=2, number=3, later=[[4, 5]])
    there = pickle.loads(pickle.dumps(batch))

    assert there == [3, 1]
    assert (there.seed, there.epoch, there.number, there.later) == (1, 2, 3, [[4, 5]])


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"of_each": 0}, {"seed": -1}, {"ahead": -1}, {"rank": 2, "ranks": 2}],
)
def test_what_can_not_be_is_a_value_error(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"are 1 at least|no rank"):
        shuffled([10], **{"batch_size": 2} | options)
    with pytest.raises(ValueError, match="from 0"):
        shuffled([10], 2).set_epoch(-1)
