"""The planner of one directory: files opened and read in, files to fetch ahead out."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.listing import ListingItem
from empiarfs.core.manners import Footprint
from empiarfs.core.neighbours import Budget, Foreseen, Neighbours, NeighboursConfig
from empiarfs.core.orders import Names
from empiarfs.core.ranges import ByteRange
from empiarfs.core.sizes import size_text

PIECE = 65_536
MB = 1_000_000


class Directory:
    """A directory, and a program that opens its files; collects what is planned.

    A file counts as hungry, as long as it wasn't planned before it was opened.
    """

    def __init__(
        self,
        count: int = 300,
        size: int = 50 * MB,
        *,
        listed: Iterable[str] | None = None,
        config: NeighboursConfig | None = None,
    ) -> None:
        self.files = list(listed or (f"m{number:04d}.mrc" for number in range(count)))
        self.size = size
        items = tuple(ListingItem(name, False, size_text(size), "") for name in self.files)
        self.names = Names(items, {name: row for row, name in enumerate(self.files)})
        self.budget = Budget(config)
        self.planner = Neighbours(self.budget, config)
        self.wished: list[str] = []
        self.given_up: list[str] = []
        self.always_hungry = False

    def open(self, name: str) -> tuple[Foreseen, Footprint]:
        footprint = Footprint(self.size)
        footprint.was_hungry = self.always_hungry or name not in self.wished
        foreseen = self.planner.opened(name, footprint, self.names)
        self.wished += [wish.name for wish in foreseen.wishes]
        self.given_up += foreseen.given_up
        return foreseen, footprint

    def read(self, name: str, *parts: tuple[int, int]) -> Foreseen:
        """Open a file, read parts of it and close it."""
        foreseen, footprint = self.open(name)
        for start, stop in parts or [(0, 4096)]:
            footprint.add(ByteRange(start, stop).clamp(self.size))
        footprint.is_over = True
        self.budget.note_read(sum(stop - start for start, stop in parts or [(0, 4096)]))
        return foreseen

    def outstanding(self, opened: Iterable[str]) -> set[str]:
        return set(self.wished) - set(self.given_up) - set(opened)


def test_nothing_is_planned_before_two_neighbours_were_read() -> None:
    directory = Directory()

    assert directory.read("m0010.mrc") == Foreseen()
    assert directory.read("m0011.mrc") == Foreseen()


def test_the_third_neighbour_brings_itself_and_four_after_it() -> None:
    directory = Directory()
    directory.read("m0010.mrc")
    directory.read("m0011.mrc")
    foreseen = directory.read("m0012.mrc")

    assert [wish.name for wish in foreseen.wishes] == [f"m{n:04d}.mrc" for n in range(12, 17)]
    assert list(foreseen.wishes[1].ranges(50 * MB)) == [ByteRange(0, PIECE)]
    assert foreseen.expected is not None
    assert foreseen.expected.head == PIECE


def test_more_are_planned_while_the_reader_has_to_wait() -> None:
    directory = Directory()
    directory.always_hungry = True
    for name in directory.files[:40]:
        directory.read(name)

    assert len(directory.outstanding(directory.files[:40])) == NeighboursConfig().files
    assert len(directory.wished) == len(set(directory.wished))


def test_no_more_are_planned_for_a_reader_that_never_waits() -> None:
    directory = Directory()
    for name in directory.files[:40]:
        directory.read(name)

    assert 4 <= len(directory.outstanding(directory.files[:40])) <= 8


def test_files_on_disk_are_not_gone_ahead_of() -> None:
    directory = Directory()
    directory.wished = list(directory.files)  # so that none of them is hungry
    before = len(directory.wished)
    for name in directory.files[:20]:
        directory.read(name)

    assert len(directory.wished) == before


def test_whole_files_are_planned_whole() -> None:
    directory = Directory(size=66_560)
    for name in directory.files[:2]:
        directory.read(name, (0, 66_560))
    foreseen = directory.read("m0002.mrc", (0, 66_560))

    assert [list(wish.ranges(66_560)) for wish in foreseen.wishes] == [[ByteRange(0, 66_560)]] * 5


def test_the_same_ranges_are_planned_from_the_start_and_from_the_end() -> None:
    parts = [(0, 4_096), (20 * MB, 20 * MB + 4_096), (50 * MB - 800, 50 * MB)]
    directory = Directory()
    for name in directory.files[:2]:
        directory.read(name, *parts)
    foreseen = directory.read("m0002.mrc", *parts)

    planned = list(foreseen.wishes[1].ranges(60 * MB))
    assert planned[0] == ByteRange(0, PIECE)
    assert planned[1].start <= 20 * MB < planned[1].stop
    assert planned[2].stop == 60 * MB


def test_neighbours_read_differently_bring_nothing() -> None:
    directory = Directory()
    directory.read("m0000.mrc", (0, 4_096))
    directory.read("m0001.mrc", (30 * MB, 31 * MB))
    directory.read("m0002.mrc", (5 * MB, 5 * MB + 1))

    assert directory.wished == []


def test_files_that_were_only_opened_bring_nothing() -> None:
    directory = Directory()
    for name in directory.files[:10]:
        _, footprint = directory.open(name)
        footprint.is_over = True

    assert directory.wished == []


def test_a_program_that_jumps_about_brings_nothing() -> None:
    directory = Directory()
    for name in random.Random(5).sample(directory.files, 100):
        directory.read(name)

    assert len(directory.wished) <= 10


def test_a_walk_that_turns_random_is_given_up() -> None:
    directory = Directory()
    directory.always_hungry = True
    walked = [f"m{number:04d}.mrc" for number in range(10)]
    jumps = random.Random(5).sample(directory.files[40:], 12)
    for name in walked:
        directory.read(name)
    in_walk = set(directory.wished)
    for name in jumps:
        directory.read(name)

    assert len(in_walk) <= 10 + 2 * 10
    assert directory.outstanding([*walked, *jumps]) == set()
    assert directory.budget.vain > 0


def test_files_read_otherwise_than_planned_end_the_walk() -> None:
    directory = Directory()
    for name in directory.files[:6]:
        directory.read(name)
    for name in directory.files[6:12]:
        directory.read(name, (10 * MB, 11 * MB))
    before = set(directory.wished)
    foreseen = directory.read(directory.files[12], (10 * MB, 11 * MB))

    assert directory.files[20] not in before
    assert all(wish.ranges(50 * MB) for wish in foreseen.wishes)
    later = [w for w in foreseen.wishes if next(w.ranges(50 * MB)).start == 0]
    assert later == []


def test_a_walk_goes_on_over_a_file_that_is_left_out() -> None:
    directory = Directory()
    for number in (0, 1, 2, 4, 5, 6, 8, 9, 10):
        directory.read(f"m{number:04d}.mrc")

    assert "m0012.mrc" in directory.wished


def test_files_opened_a_few_at_a_time_in_any_order_make_one_walk() -> None:
    directory = Directory(size=66_560)
    for start in range(0, 40, 4):
        footprints = []
        for number in (0, 2, 1, 3):
            _, footprint = directory.open(directory.files[start + number])
            footprint.add(ByteRange(0, 66_560))
            footprints.append(footprint)
        for footprint in footprints:
            footprint.is_over = True

    assert set(directory.files[8:44]) <= set(directory.wished)
    assert directory.given_up == []


def test_each_file_may_be_opened_twice() -> None:
    directory = Directory()
    for name in directory.files[:20]:
        _, footprint = directory.open(name)
        footprint.add(ByteRange(0, 16_384))
        footprint.is_over = True
        directory.planner.opened(name, footprint, directory.names)

    assert set(directory.files[3:20]) <= set(directory.wished)
    assert directory.given_up == []


def test_movies_are_walked_through_without_what_lies_beside_them() -> None:
    listed = [f"m{number:03d}.mrc{more}" for number in range(40) for more in ("", ".mdoc")]
    directory = Directory(listed=listed)
    for number in range(10):
        directory.read(f"m{number:03d}.mrc")

    assert {name.endswith(".mrc") for name in directory.wished} == {True}


def test_two_kinds_of_files_in_turn_make_two_walks() -> None:
    listed = [f"m{number:03d}.mrc{more}" for number in range(40) for more in ("", ".mdoc")]
    directory = Directory(listed=listed)
    for name in listed[:20]:
        directory.read(name)

    assert {"m011.mrc", "m011.mrc.mdoc"} <= set(directory.wished)
    assert directory.given_up == []


def test_natural_order_is_followed() -> None:
    listed = sorted(f"frame_{number}.tif" for number in range(1, 200))
    directory = Directory(listed=listed)
    for number in range(7, 20):
        directory.read(f"frame_{number}.tif")

    assert directory.wished[:6] == [f"frame_{number}.tif" for number in range(9, 15)]
    assert directory.given_up == []


def test_every_tenth_file_is_a_walk() -> None:
    directory = Directory()
    for number in range(0, 100, 10):
        directory.read(f"m{number:04d}.mrc")

    assert directory.wished[:5] == [f"m{number:04d}.mrc" for number in range(20, 70, 10)]
    assert directory.given_up == []


def test_a_walk_backwards_is_one() -> None:
    directory = Directory()
    for number in range(200, 190, -1):
        directory.read(f"m{number:04d}.mrc")

    assert "m0188.mrc" in directory.wished


def test_a_walk_ends_with_the_directory() -> None:
    directory = Directory(count=6)
    for name in directory.files:
        directory.read(name)

    assert set(directory.wished) == set(directory.files[2:])


# -- big files -----------------------------------------------------------------------------


def test_of_big_files_the_next_is_planned_when_the_end_is_near() -> None:
    directory = Directory(size=500 * MB)
    for name in directory.files[:3]:
        directory.read(name, (0, 500 * MB))
    assert directory.wished == ["m0002.mrc"]  # its own beginning
    wishes = directory.planner.ending("m0002.mrc", directory.names, most=8 * MB)

    assert [(wish.name, list(wish.ranges(500 * MB))) for wish in wishes] == [
        ("m0003.mrc", [ByteRange(0, 8 * MB)])
    ]
    assert directory.planner.ending("m0002.mrc", directory.names, most=8 * MB) == ()


def test_a_big_file_knows_what_of_it_was_planned() -> None:
    directory = Directory(size=500 * MB)
    for name in directory.files[:3]:
        directory.read(name, (0, 500 * MB))
    directory.planner.ending("m0002.mrc", directory.names, most=8 * MB)
    foreseen, _ = directory.open("m0003.mrc")

    assert foreseen.planned is not None
    assert list(foreseen.planned.ranges(500 * MB)) == [ByteRange(0, 8 * MB)]
    assert foreseen.expected is not None
    assert foreseen.expected.is_whole


def test_the_end_of_a_file_that_nobody_walks_past_brings_nothing() -> None:
    directory = Directory(size=500 * MB)
    directory.read("m0000.mrc", (0, 500 * MB))

    assert directory.planner.ending("m0000.mrc", directory.names, most=8 * MB) == ()


def test_the_bytes_planned_are_bounded() -> None:
    directory = Directory(size=5 * MB)
    directory.always_hungry = True
    for number, name in enumerate(directory.files[:30]):
        directory.read(name, (0, 5 * MB))
        outstanding = directory.outstanding(directory.files[: number + 1])

        assert len(outstanding) * 5 * MB <= NeighboursConfig().maximum


# -- what was in vain ----------------------------------------------------------------------


def stop_after(count: int, directory: Directory) -> None:
    """Read some neighbours, and then others far away."""
    for start in range(0, 250, 25):
        for name in directory.files[start : start + count]:
            directory.read(name, (0, 3 * MB))


def test_sweeps_that_stop_half_way_cost_no_more_than_the_budget() -> None:
    directory = Directory()
    for _ in range(8):
        stop_after(4, directory)

    config, read = NeighboursConfig(), 8 * 10 * 4 * 3 * MB
    vain = len(directory.given_up) * 3 * MB
    assert vain > config.vain
    assert vain <= config.vain_share * read + config.maximum


def test_reading_what_was_planned_makes_up_for_what_was_in_vain() -> None:
    budget = Budget()
    budget.note_vain(20 * MB)
    assert not budget.is_left
    budget.note_read(200 * MB)

    assert budget.is_left


def test_what_lies_long_back_counts_less() -> None:
    budget = Budget()
    budget.note_vain(100 * MB)
    for _ in range(100):
        budget.note_read(100 * MB)

    assert budget.vain <= MB


def test_what_is_forgotten_was_in_vain() -> None:
    directory = Directory()
    for name in directory.files[:5]:
        directory.read(name)
    outstanding = directory.outstanding(directory.files[:5])

    assert set(directory.planner.end()) == outstanding
    assert directory.budget.vain == len(outstanding) * PIECE


@given(steps=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 4)), max_size=80))
def test_whatever_is_opened_plans_are_bounded_and_for_files_that_exist(
    steps: list[tuple[int, int]],
) -> None:
    directory = Directory(count=61, size=3 * MB)
    opened: list[str] = []
    for row, manner in steps:
        name = directory.files[row]
        parts = [[(0, 4_096)], [(0, 3 * MB)], [(MB, 2 * MB)], [(3 * MB - 9, 3 * MB)], []][manner]
        _, footprint = directory.open(name)
        for start, stop in parts:
            footprint.add(ByteRange(start, stop))
        footprint.is_over = True
        opened.append(name)

    assert set(directory.wished) <= set(directory.files)
    config = NeighboursConfig()
    bound = (config.files + 1) * config.walks
    assert len(directory.outstanding(opened)) <= bound
