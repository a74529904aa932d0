"""The attribute planner: how many sizes are asked for together."""

from __future__ import annotations

from empiarfs.core.siblings import FIRST, LARGEST, AttributeWindow


def walk(row_count: int) -> list[range]:
    """Return the batches of a program that wants every size in listing order."""
    window, row, batches = AttributeWindow(), 0, []
    while row < row_count:
        window, batch = window.after_miss(row, row_count)
        batches.append(batch)
        row = batch.stop
    return batches


def test_the_first_miss_asks_for_a_handful() -> None:
    _, batch = AttributeWindow().after_miss(500, 20_000)

    assert batch == range(500, 500 + FIRST)


def test_walking_20000_rows_takes_few_batches_and_leaves_none_out() -> None:
    batches = walk(20_000)

    assert [row for batch in batches for row in batch] == list(range(20_000))
    assert len(batches) <= 10
    assert max(map(len, batches)) == LARGEST


def test_a_jump_starts_small_again() -> None:
    window, _ = AttributeWindow().after_miss(0, 20_000)
    window, _ = window.after_miss(FIRST, 20_000)
    _, batch = window.after_miss(9_000, 20_000)

    assert len(batch) == FIRST


def test_a_batch_ends_with_the_listing() -> None:
    _, batch = AttributeWindow().after_miss(5, 6)

    assert batch == range(5, 6)
