"""Fetching ahead of programs that go through a directory, on an archive in memory.

What is counted are the archive's requests and bytes: for programs that go on, that stop
half-way and that turn out to jump about.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from empiarfs.cache.store import MemoryBlockStore
from empiarfs.catalog import Catalog
from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.core.neighbours import NeighboursConfig
from empiarfs.errors import UnavailableError
from empiarfs.fetcher import Fetcher
from empiarfs.patience import Patience
from empiarfs.stats import Counters
from empiarfs.tree import Tree
from empiarfs.vfs import FileSystem
from tests.support.fake_archive import BASE_URL, FakeArchive
from tests.support.waiting import wait_until

COUNT = 120
FILE_SIZE = 1_000_000
CONTENT = bytes(i * 13 % 251 for i in range(FILE_SIZE))
NAMES = [f"m{number:03d}.mrc" for number in range(COUNT)]


def patience() -> Patience:
    return Patience(30.0)


class Rig:
    """A file system on an archive with a directory of many files, and a program."""

    def __init__(self, folder: Path, content: bytes, config: NeighboursConfig | None) -> None:
        self.content = content
        self.archive = FakeArchive({f"d/{name}": content for name in NAMES})
        self.counters = Counters()
        client = self.archive.as_client()
        self.store = MemoryBlockStore(256 * 1024 * 1024)
        self.catalog = Catalog(folder / "c.sqlite", archive_url=BASE_URL, counters=self.counters)
        tree = Tree(client, self.catalog, self.counters)
        self.fetcher = Fetcher(client, self.store, self.counters)
        self.files = FileSystem(
            client, tree, self.fetcher, self.store, self.counters, neighbours=config
        )

    def read(self, name: str, offset: int = 0, size: int = 16_384) -> None:
        """Look a file up, open it, read a part of it and close it, as a program does."""
        path = f"d/{name}"
        assert self.files.attributes(path, patience()).size == len(self.content)
        handle = self.files.open(path, patience()).handle
        data = self.files.read(handle, offset, size, patience())
        assert data == self.content[offset : offset + size]
        self.files.release(handle)

    def settle(self) -> None:
        """Wait until everything foreseen has come."""
        wait_until(self._is_settled)

    def _is_settled(self) -> bool:
        # In the order in which a plan goes through these.
        awaited = self.files.status()["foresight"]
        assert isinstance(awaited, dict)
        usage = self.fetcher.usage()
        return not (
            awaited["files_awaited"]
            or usage["plans_waiting"]
            or usage["spans_waiting"]
            or usage["pieces_in_flight"]
        )

    @property
    def files_asked_for(self) -> set[str]:
        return {path.removeprefix("d/") for path, _, _ in self.archive.ranges}

    @property
    def bytes_asked_for(self) -> int:
        return sum(stop - start for _, start, stop in self.archive.ranges)

    def close(self) -> None:
        self.archive.gate.set()
        self.fetcher.close()
        self.store.close()
        self.catalog.close()


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(content: bytes = CONTENT, config: NeighboursConfig | None = None) -> Rig:
        rigs.append(Rig(tmp_path, content, config))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


def test_headers_are_there_before_their_files_are_opened(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    for name in NAMES[:3]:
        rig.read(name)
    rig.settle()

    assert NAMES[3] in rig.files_asked_for
    rig.archive.gate.clear()  # what is needed from here on must be there
    rig.read(NAMES[3])


def test_each_file_of_a_walk_is_asked_for_once_and_for_its_header_only(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig()
    for name in NAMES:
        rig.read(name)
        rig.settle()

    assert sorted(rig.archive.ranges) == [(f"d/{name}", 0, PIECE_SIZE) for name in NAMES]
    assert len(rig.archive.probed) == COUNT
    assert rig.counters["foreseen_unused_bytes"] == 0


def test_whole_files_of_a_walk_are_asked_for_once(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(CONTENT[:66_560])
    for name in NAMES:
        rig.read(name, 0, 69_632)

    assert rig.bytes_asked_for == COUNT * 66_560
    # The archive in memory answers at once, so that the reader often comes first.
    assert rig.counters["prefetched_bytes"] >= COUNT // 3 * 66_560


def test_frames_in_the_middle_are_foreseen_too(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    for name in NAMES[:6]:
        rig.read(name, 500_000, 16_384)
    rig.settle()

    assert NAMES[7] in rig.files_asked_for
    assert {start for _, start, _ in rig.archive.ranges} == {500_000 // PIECE_SIZE * PIECE_SIZE}


def test_a_sweep_that_stops_half_way_leaves_little_behind(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    for name in NAMES[:40]:
        rig.read(name)
    rig.settle()

    unused = rig.counters["foreseen_unused_bytes"]
    assert unused == rig.bytes_asked_for - 40 * PIECE_SIZE
    assert unused <= NeighboursConfig().files * PIECE_SIZE


def test_a_program_that_turns_random_after_ten_files_costs_little(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig()
    for name in NAMES[:10]:
        rig.read(name)
    rig.settle()
    before = rig.bytes_asked_for
    chosen = random.Random(3).sample(NAMES[40:], 20)
    for name in chosen:
        rig.read(name)
    rig.settle()

    assert before <= (10 + NeighboursConfig().files) * PIECE_SIZE
    assert rig.bytes_asked_for - before <= 1.5 * len(chosen) * PIECE_SIZE


def test_random_files_cost_what_they_are_read(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    chosen = random.Random(4).sample(NAMES, 15)
    for name in chosen:
        rig.read(name)
    rig.settle()

    assert rig.bytes_asked_for <= 1.4 * len(chosen) * PIECE_SIZE


def test_nothing_is_foreseen_once_too_much_was_in_vain(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(config=NeighboursConfig(vain=2 * PIECE_SIZE, vain_share=0.0))
    for start in range(0, 100, 20):
        for name in NAMES[start : start + 4]:
            rig.read(name)
    rig.settle()

    assert rig.bytes_asked_for <= (20 + 2 * NeighboursConfig().first + 2) * PIECE_SIZE


def test_the_sizes_of_files_ahead_are_asked_for_together(make_rig: Callable[..., Rig]) -> None:
    # In natural order the files ahead aren't those that follow in the listing.
    rig = make_rig()
    rig.archive.files = {f"d/f_{number}.mrc": CONTENT for number in range(1, 200)}
    for number in range(5, 30):
        rig.read(f"f_{number}.mrc")
        rig.settle()

    assert len(set(rig.archive.probed)) == len(rig.archive.probed)
    assert len(rig.archive.batches) <= 10
    assert "f_30.mrc" in rig.files_asked_for


def test_a_file_ahead_that_cannot_be_had_fails_only_its_own_reader(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig()
    for name in NAMES[:2]:
        rig.read(name)
    rig.settle()
    rig.archive.failures = [None, *[UnavailableError("down", url="u")] * 3]
    rig.read(NAMES[2])
    rig.settle()
    rig.archive.failures = []
    for name in NAMES[3:12]:
        rig.read(name)


def test_a_second_pass_over_what_is_cached_asks_for_nothing(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    for name in NAMES:
        rig.read(name)
    rig.settle()
    asked = len(rig.archive.ranges)
    for name in NAMES:
        rig.read(name)
    rig.settle()

    assert len(rig.archive.ranges) == asked


def test_a_stack_opened_anew_for_each_image_is_read_ahead_of(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    reads = 0
    for number in range(12):
        offset = 16_384 + number * 49_152
        path = f"d/{NAMES[0]}"
        handle = rig.files.open(path, patience()).handle
        for part in range(3):
            rig.files.read(handle, offset + part * 16_384, 16_384, patience())
            reads += 1
        rig.files.release(handle)

    assert rig.counters["prefetched_bytes"] > 0
    assert len(rig.archive.ranges) < reads
