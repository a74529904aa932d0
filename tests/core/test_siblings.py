"""The attribute planner: how many sizes are asked for together, and how early."""

from __future__ import annotations

from empiarfs.core.siblings import FIRST, FIRST_LISTED, LARGEST, AttributeWindow


def walk(row_count: int, *, listed: bool = False) -> tuple[list[range], int]:
    """Return the batches for a program that wants every size in listing order.

    Also how often it had to wait. Batches come when the program waits, and by then all
    that were asked for have come.
    """
    window, known, waits = AttributeWindow(), 0, 0
    batches: list[range] = []
    for row in range(row_count):
        if row >= known and batches and row < batches[-1].stop:
            waits, known = waits + 1, batches[-1].stop
        if row < known:
            window, batch = window.after_hit(row, row_count)
        else:
            window, batch = window.after_miss(row, row_count, listed=listed)
            waits, known = waits + 1, batch.stop
        if batch:
            batches.append(batch)
    return batches, waits


def test_the_first_miss_asks_for_a_handful() -> None:
    _, batch = AttributeWindow().after_miss(500, 20_000, listed=False)

    assert batch == range(500, 500 + FIRST)


def test_single_files_cost_a_handful_each() -> None:
    window, asked = AttributeWindow(), 0
    for row in (500, 9_000, 17_000, 3_000, 12_000):
        window, batch = window.after_miss(row, 20_000, listed=False)
        asked += len(batch)

    assert asked == 5 * FIRST


def test_walking_20000_rows_takes_few_batches_and_leaves_none_out() -> None:
    batches, waits = walk(20_000)

    assert [row for batch in batches for row in batch] == list(range(20_000))
    assert len(batches) <= 11
    assert waits <= len(batches)
    assert max(map(len, batches)) == LARGEST


def test_the_next_batch_is_asked_for_in_the_middle_of_the_last() -> None:
    window, _ = AttributeWindow().after_miss(0, 20_000, listed=False)
    _, early = window.after_hit(FIRST // 2 - 1, 20_000)
    window, batch = window.after_hit(FIRST // 2, 20_000)
    _, again = window.after_hit(FIRST // 2 + 1, 20_000)

    assert (early, batch, again) == (range(0), range(FIRST, 5 * FIRST), range(0))


def test_the_second_size_after_a_listing_asks_for_thousands() -> None:
    window, first = AttributeWindow().after_miss(0, 2_000, listed=True)
    _, second = window.after_hit(1, 2_000)

    assert first == range(FIRST_LISTED)
    assert second == range(FIRST_LISTED, 2_000)


def test_who_opens_the_files_is_given_sizes_at_a_readers_pace() -> None:
    window, _ = AttributeWindow().after_miss(0, 2_000, listed=True)
    window = window.after_open()
    _, second = window.after_hit(1, 2_000)
    _, middle = window.after_hit(FIRST_LISTED // 2, 2_000)

    assert not second
    assert middle == range(FIRST_LISTED, 2 * FIRST_LISTED)


def test_one_size_after_a_listing_asks_for_a_few_dozen() -> None:
    window, batch = AttributeWindow().after_miss(700, 2_000, listed=True)
    _, more = window.after_hit(700, 2_000)

    assert len(batch) == FIRST_LISTED
    assert not more


def test_a_program_that_goes_by_inodes_gets_more_at_each_place() -> None:
    window, known, waits = AttributeWindow(), set[int](), 0
    for number in range(20_000):
        row = number * 7_919 % 20_000
        if row not in known:
            window, batch = window.after_miss(row, 20_000, listed=True)
            known.update(batch)
            waits += 1

    assert waits <= 80


def test_a_jump_starts_small_again() -> None:
    window, _ = AttributeWindow().after_miss(0, 20_000, listed=False)
    window, _ = window.after_miss(FIRST, 20_000, listed=False)
    _, batch = window.after_miss(9_000, 20_000, listed=False)

    assert len(batch) == FIRST


def test_a_batch_ends_with_the_listing() -> None:
    window, batch = AttributeWindow().after_miss(5, 6, listed=False)
    _, more = window.after_hit(5, 6)

    assert batch == range(5, 6)
    assert not more
