"""The read-ahead planner: reads in, plans out; recorded ones and made-up ones.

The recorded ones run through `SimulatedReader`, which says what they cost the archive and
how often the reader waits.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.ranges import ByteRange
from empiarfs.core.readahead import Expectation, ReadAhead, ReadAheadConfig
from tests.support.read_simulator import SimulatedReader, recording

KiB, MiB = 1024, 1024 * 1024
# What a link of 120 MB/s with 40 ms needs.
CONFIG = ReadAheadConfig(maximum=16 * MiB)
SIZE = 10_000_000
PAGE = 4 * KiB
REQUEST = 128 * KiB


def plans(
    reads: list[tuple[int, int]], *, starved: bool = True, size: int = SIZE
) -> list[tuple[int, int]]:
    """Return what is planned at each read, put together; (0, 0) for nothing."""
    planner = ReadAhead(size, CONFIG)
    found = []
    for offset, length in reads:
        wanted = ByteRange(offset, offset + length).clamp(size)
        ranges = planner.asked(wanted)
        if starved:
            ranges += planner.starved(wanted)
        starts, stops = [r.start for r in ranges], [r.stop for r in ranges]
        found.append((min(starts, default=0), max(stops, default=0)))
    return found


def in_sequence(count: int, start: int = 0, size: int = REQUEST) -> list[tuple[int, int]]:
    return [(start + number * size, size) for number in range(count)]


def simulated(name: str) -> SimulatedReader:
    """Return the reader that has done what was recorded."""
    found = recording(name)
    reader = SimulatedReader(found.file_size, CONFIG)
    for reads in found.handles:
        reader.run(reads)
    return reader


# -- one run -------------------------------------------------------------------------------


def test_two_reads_prove_no_sequence() -> None:
    assert plans(in_sequence(2, start=PAGE)) == [(0, 0), (0, 0)]


def test_a_third_read_in_sequence_plans_less_than_was_read() -> None:
    *_, (start, stop) = plans(in_sequence(3, start=PAGE))

    assert start == PAGE + 3 * REQUEST
    assert REQUEST <= stop - start <= 3 * REQUEST


def test_a_reader_that_never_starves_is_not_looked_ahead_for() -> None:
    assert plans(in_sequence(50), starved=False) == [(0, 0)] * 50


def test_scattered_reads_plan_nothing() -> None:
    reads = [(5, 400), (5_000_000, 400), (900_000, 400), (7_300_000, 400), (2_000_000, 400)]

    assert plans(reads) == [(0, 0)] * 5


def test_nothing_is_planned_beyond_the_end() -> None:
    found = plans(in_sequence(4), size=5 * REQUEST - 7)

    assert max(stop for _, stop in found) == 5 * REQUEST - 7


def test_a_program_that_announces_a_sequence_is_believed_at_its_first_read() -> None:
    assert plans([(0, 256 * KiB)]) == [(256 * KiB, 256 * KiB + 2 * MiB)]
    assert plans([(MiB, 256 * KiB)]) == [(0, 0)]


def test_a_large_first_read_brings_what_the_kernel_asks_for_next() -> None:
    found = plans(in_sequence(3))

    assert found[0] == (REQUEST, 3 * REQUEST)
    assert found[2][1] >= 9 * REQUEST
    assert plans([(0, 16 * KiB)]) == [(0, 0)]


def test_the_window_never_exceeds_the_maximum() -> None:
    planner = ReadAhead(1 << 40, ReadAheadConfig(maximum=2 * MiB))
    for offset, size in in_sequence(200):
        wanted = ByteRange(offset, offset + size)
        ranges = (*planner.asked(wanted), *planner.starved(wanted))

        assert all(part.stop <= wanted.stop + 2 * MiB for part in ranges)
        assert planner.window <= 2 * MiB


def test_a_window_is_asked_for_in_several_ranges() -> None:
    reader = SimulatedReader(1 << 40, CONFIG).run(in_sequence(400))

    sizes = [len(part) for ranges in reader.plans[200:] for part in ranges]
    assert set(sizes) == {MiB}


def test_the_reads_of_a_run_may_come_out_of_order() -> None:
    one, two, three, four = in_sequence(4, start=MiB)
    found = plans([one, three, two, four])

    assert found[:2] == [(0, 0), (0, 0)]
    assert found[2][0] == MiB + 3 * REQUEST


def test_early_reads_of_a_run_that_is_read_ahead_of_are_no_seek() -> None:
    reads = in_sequence(12, start=MiB)
    reads[8], reads[9] = reads[9], reads[8]
    reader = SimulatedReader(64 * MiB, CONFIG).run(reads)

    assert reader.waste <= 1.1


def test_two_readers_of_one_handle_each_have_their_run() -> None:
    both = zip(in_sequence(4, start=MiB), in_sequence(4, start=5 * MiB), strict=True)
    found = plans([read for pair in both for read in pair])

    assert found[4][0] == MiB + 3 * REQUEST
    assert found[5][0] == 5 * MiB + 3 * REQUEST


def test_a_reader_backwards_is_read_ahead_of_downwards() -> None:
    found = plans([(5_000_000 - number * REQUEST, REQUEST) for number in range(4)])

    assert found[:2] == [(0, 0), (0, 0)]
    assert found[2][1] == 5_000_000 - 2 * REQUEST
    assert found[3][1] <= found[2][0]


def test_nothing_is_planned_before_the_start_of_the_file() -> None:
    found = plans([((5 - number) * REQUEST, REQUEST) for number in range(6)])

    assert found[2] == (0, 3 * REQUEST) or found[2][0] >= 0
    assert found[5] == (0, 0)


# -- runs that resemble each other ---------------------------------------------------------


def frames(starts: list[int], size: int) -> list[tuple[int, int]]:
    """Return the kernel's reads of frames, whole requests each."""
    return [read for start in starts for read in in_sequence(-(-size // REQUEST), start)]


def test_a_run_is_not_read_past_the_length_of_the_one_before() -> None:
    found = plans(frames([MiB, 5 * MiB], 8 * REQUEST))

    assert max(stop for _, stop in found[8:]) == 5 * MiB + 8 * REQUEST


def test_the_rest_of_that_length_is_planned_at_the_third_read() -> None:
    found = plans(frames([MiB, 5 * MiB], 7 * REQUEST))

    assert found[7:9] == [(0, 0), (0, 0)]
    assert found[9] == (5 * MiB + 3 * REQUEST, 5 * MiB + 7 * REQUEST)


def test_after_a_large_frame_the_next_is_planned_at_its_first_large_read() -> None:
    found = plans(frames([MiB, 5 * MiB], 8 * REQUEST))
    small = plans([*frames([MiB], 8 * REQUEST), (5 * MiB, PAGE)])

    assert found[8] == (5 * MiB + REQUEST, 5 * MiB + 8 * REQUEST)
    assert small[8] == (0, 0)


def test_a_run_that_goes_on_past_that_is_read_ahead_of_again() -> None:
    reads = frames([MiB], 8 * REQUEST) + in_sequence(24, start=5 * MiB)
    found = plans(reads, size=64 * MiB)

    assert found[-1][1] > 5 * MiB + 24 * REQUEST


def test_after_two_runs_of_one_length_the_next_is_planned_at_its_first_read() -> None:
    found = plans(frames([MiB, 5 * MiB, 17 * MiB // 2], 8 * REQUEST), size=64 * MiB)

    assert found[16] == (17 * MiB // 2 + REQUEST, 17 * MiB // 2 + 8 * REQUEST)


def test_frames_at_a_constant_distance_are_foreseen() -> None:
    found = plans(frames([MiB, 5 * MiB, 9 * MiB], 8 * REQUEST), size=64 * MiB)

    assert found[16] == (9 * MiB + REQUEST, 17 * MiB + 8 * REQUEST)


def test_so_are_frames_backwards() -> None:
    found = plans(frames([30 * MiB, 26 * MiB, 22 * MiB], 8 * REQUEST), size=64 * MiB)

    assert found[16] == (14 * MiB, 22 * MiB + 8 * REQUEST)


def test_frames_read_in_two_places_are_two_series() -> None:
    starts = [MiB + number * 4 * MiB for number in range(6)]
    reads = [read for s in starts for read in [(s, PAGE), *in_sequence(8, s + 2 * MiB)]]
    reader = SimulatedReader(64 * MiB, CONFIG).run(reads)

    # All but the first frames are there when they are read.
    late = len(frames(starts[:3], 9 * REQUEST))
    assert reader.time < late
    assert all(ranges == () or ranges[0].start > 12 * MiB for ranges in reader.plans[30:])


def test_a_series_that_ends_is_forgotten() -> None:
    scattered = [(n * n * 700_001 % 60_000_000 // PAGE * PAGE, PAGE) for n in range(30, 50)]
    reads = frames([MiB, 5 * MiB, 9 * MiB, 13 * MiB], PAGE) + scattered
    found = plans(reads, size=64 * MiB)

    assert found[-8:] == [(0, 0)] * 8


def test_frames_that_are_on_disk_are_not_foreseen() -> None:
    reads = frames([MiB, 5 * MiB, 9 * MiB, 13 * MiB], 8 * REQUEST)

    assert plans(reads, starved=False) == [(0, 0)] * 32


def test_what_is_read_again_and_has_to_be_fetched_again_is_read_ahead_of() -> None:
    planner = ReadAhead(64 * MiB, CONFIG)
    for offset, size in in_sequence(100):
        planner.asked(ByteRange(offset, offset + size))
    planned = 0
    for offset, size in in_sequence(20):
        wanted = ByteRange(offset, offset + size)
        planned += sum(map(len, (*planner.asked(wanted), *planner.starved(wanted))))

    assert planned >= 15 * REQUEST


def test_another_handle_goes_on_with_what_was_learnt_of_the_file() -> None:
    planner = ReadAhead(64 * MiB, CONFIG)
    for start in (MiB, 7 * MiB):
        for offset, size in in_sequence(8, start):
            planner.asked(ByteRange(offset, offset + size))
            planner.starved(ByteRange(offset, offset + size))
        planner.reopened(None)
    wanted = ByteRange(20 * MiB, 20 * MiB + REQUEST)
    ranges = (*planner.asked(wanted), *planner.starved(wanted))

    assert (ranges[0].start, ranges[-1].stop) == (20 * MiB + REQUEST, 20 * MiB + 8 * REQUEST)


# -- what neighbours tell ------------------------------------------------------------------


def test_a_head_that_neighbours_were_read_to_is_not_read_past() -> None:
    reader = SimulatedReader(64 * MiB, CONFIG, expected=Expectation(stop=6 * REQUEST))
    reader.run(in_sequence(6))

    assert reader.fetched_bytes == 6 * REQUEST


def test_a_file_to_be_read_whole_begins_with_its_neighbours_window() -> None:
    expected = Expectation(planned_to=4 * MiB, window=8 * MiB)
    planner = ReadAhead(64 * MiB, CONFIG, expected)
    ranges = planner.asked(ByteRange(0, REQUEST))

    assert ranges[0].start == 4 * MiB
    assert ranges[-1].stop == 8 * MiB + REQUEST


# -- recorded programs ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "most_waste"),
    [
        # These end in the middle of their files, where as much again is on its way.
        ("cat", 1.1),
        ("dd_1M", 1.1),
        ("mrcfile_open", 1.1),
        ("tifffile_pages", 1.1),
        ("md5sum", 0.0),
        ("tifffile_strips", 0.0),
        ("cat_read_ahead_1M", 0.0),
        ("tifffile_directories", 0.2),
        ("pread_every_tenth_4MB", 0.6),
        ("pread_random_4MB", 0.2),
        ("mmap_random_faults", 0.0),
        ("pread_random_4KiB", 0.0),
        ("tail", 0.0),
        ("zip_member", 0.6),
        ("three_threads", 1.5),
    ],
)
def test_a_program_costs_little_more_than_it_reads(name: str, most_waste: float) -> None:
    assert simulated(name).waste <= most_waste


@pytest.mark.parametrize(
    ("name", "most_time"),
    [
        ("cat", 7),  # 3.3 at the link's rate
        ("dd_1M", 9),  # 2.6; 97 without any planning
        ("md5sum", 10),  # 3.3
        ("pread_every_tenth_4MB", 26),  # 10.6; 384 without
        ("pread_random_4MB", 44),  # 10.6
        ("tifffile_directories", 7),  # 40 without
        ("pread_stride_16KiB", 7),  # 40 without
        ("pread_backwards_4KiB", 8),
        ("mmap_backwards", 8),  # 48 without
        ("relion_particles", 2),
    ],
)
def test_a_program_waits_few_round_trips(name: str, most_time: float) -> None:
    assert simulated(name).time <= most_time + 1


def test_the_first_frame_through_mmap_costs_at_most_2_5_mb() -> None:
    reads = recording("mrcfile_mmap_frames_1MB").reads
    reader = SimulatedReader(60_001_024, CONFIG).run(reads[:11])

    assert reader.fetched_bytes <= 2.5e6


def test_further_frames_through_mmap_cost_at_most_1_5_mb_each() -> None:
    for name in ("mrcfile_mmap_frames_1MB", "mrcfile_mmap_every_tenth_1MB"):
        reads = recording(name).reads
        reader = SimulatedReader(60_001_024, CONFIG).run(reads[:11])
        first = reader.fetched_bytes
        reader.run(reads[11:])
        further = (len(reads) - 11) // 10

        assert (reader.fetched_bytes - first) / further <= 1.5e6


def test_scattered_reads_and_faults_cost_their_pieces() -> None:
    assert simulated("pread_random_4KiB").fetched_bytes / 100 <= 96 * KiB
    assert simulated("mmap_random_faults").fetched_bytes / 98 <= 250 * KiB
    assert simulated("mmap_clustered_faults").fetched_bytes / 25 <= 250 * KiB


def test_every_tenth_frame_of_4_mb_fills_the_link() -> None:
    reads = frames([1024 // PAGE * PAGE + n * 40_000_000 for n in range(50)], 4_000_000 + REQUEST)
    reader = SimulatedReader(2_000_001_024, CONFIG).run(reads)

    assert 50 * 4e6 / (reader.time * reader.rate) >= 0.7
    assert reader.waste <= 0.15


def test_a_stream_fills_the_link() -> None:
    reader = SimulatedReader(2_000_000_000, CONFIG).run(in_sequence(400_000_000 // REQUEST))

    assert 400e6 / (reader.time * reader.rate) >= 0.9
    assert reader.waste <= 0.05


# -- always --------------------------------------------------------------------------------

_OFFSETS = st.one_of(
    st.integers(0, SIZE - 1), st.integers(0, SIZE // REQUEST).map(lambda n: n * REQUEST)
)


@given(
    reads=st.lists(st.tuples(_OFFSETS, st.integers(1, 2 * REQUEST)), max_size=60),
    hungry=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_plans_lie_in_the_file_and_are_bounded(
    reads: list[tuple[int, int]], hungry: list[bool]
) -> None:
    planner = ReadAhead(SIZE, CONFIG)
    read_bytes = planned_bytes = 0
    for (offset, length), starves in zip(reads, hungry, strict=False):
        wanted = ByteRange(offset, min(offset + length, SIZE)).clamp(SIZE)
        if not wanted:
            continue
        ranges = planner.asked(wanted)
        if starves:
            ranges += planner.starved(wanted)
        read_bytes += len(wanted)
        planned_bytes += sum(map(len, ranges))

        assert all(0 <= part.start < part.stop <= SIZE for part in ranges)
    # Nothing is planned twice by one run, and no more than was read in the same way.
    assert planned_bytes <= 4 * read_bytes + 8 * REQUEST
