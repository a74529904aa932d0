"""The read-ahead planner: recorded sequences of reads in, plans out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.ranges import ByteRange
from empiarfs.core.readahead import ReadAhead, ReadAheadConfig

SMALL = ReadAheadConfig(slack=10, initial=100, maximum=400, streams=2)
SIZE = 10_000


def plans(
    reads: list[tuple[int, int]], *, starved: bool = False, size: int = SIZE
) -> list[tuple[int, int]]:
    """Return what is planned after each read, as (start, stop); (0, 0) for nothing.

    The first two reads of the handle starve, as they do in a file that isn't cached;
    `starved` says whether the others do too.
    """
    state = ReadAhead()
    found = []
    for number, (offset, length) in enumerate(reads):
        wanted = ByteRange(offset, offset + length).clamp(size)
        hungry = starved or number < 2
        state, plan = state.after(wanted, starved=hungry, file_size=size, config=SMALL)
        found.append((plan.start, plan.stop) if plan else (0, 0))
    return found


def test_one_read_proves_no_sequence() -> None:
    assert plans([(0, 20)]) == [(0, 0)]


def test_a_second_read_in_sequence_plans_the_first_window() -> None:
    assert plans([(0, 20), (20, 20)]) == [(0, 0), (40, 140)]


def test_scattered_reads_plan_nothing() -> None:
    assert plans([(0, 4), (5000, 4), (900, 4), (7000, 4)]) == [(0, 0)] * 4


def test_the_window_doubles_while_the_reader_starves() -> None:
    found = plans([(offset, 20) for offset in range(0, 160, 20)], starved=True)

    assert found[1] == (40, 140)
    assert found[2] == (140, 60 + 200)
    assert found[3] == (260, 80 + 400)
    assert found[4][1] - 100 <= 400


def test_the_window_stays_while_the_reader_finds_its_bytes() -> None:
    found = plans([(offset, 20) for offset in range(0, 400, 20)])

    reached = max(stop for _, stop in found)
    assert reached <= 400 + 100


def test_a_reader_that_never_starves_is_not_looked_ahead_for() -> None:
    state = ReadAhead()
    for offset in range(0, 400, 20):
        read = ByteRange(offset, offset + 20)
        state, plan = state.after(read, starved=False, file_size=SIZE, config=SMALL)
        assert not plan


def test_a_plan_is_handed_out_in_steps_of_a_quarter_window() -> None:
    found = plans([(offset, 5) for offset in range(0, 100, 5)])

    sizes = [stop - start for start, stop in found if stop]
    assert sizes[0] == 100
    assert min(sizes[1:]) >= 25


def test_pieces_of_one_read_out_of_order_are_no_seek() -> None:
    found = plans([(0, 10), (20, 10), (10, 10), (30, 10)])

    assert found[1] != (0, 0)
    assert all(start >= 30 for start, stop in found if stop)


def test_two_readers_of_one_handle_each_have_their_window() -> None:
    found = plans([(0, 20), (5000, 20), (20, 20), (5020, 20)], starved=True)

    assert found == [(0, 0), (0, 0), (40, 140), (5040, 5140)]


def test_nothing_is_planned_beyond_the_end() -> None:
    assert plans([(0, 20), (20, 20)], size=90) == [(0, 0), (40, 90)]
    assert plans([(0, 20), (20, 20)], size=40) == [(0, 0), (0, 0)]


@given(
    reads=st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 300)), max_size=60),
    starved=st.booleans(),
)
def test_plans_lie_in_the_file_and_within_a_window_of_the_read(
    reads: list[tuple[int, int]], starved: bool
) -> None:
    for (offset, length), (start, stop) in zip(reads, plans(reads, starved=starved), strict=True):
        assert 0 <= start <= stop <= SIZE
        if stop:
            end = min(offset + length, SIZE)
            assert stop <= max(end, offset + SMALL.slack + 300) + SMALL.maximum + SMALL.slack
