"""The disk store when the disk, the database or another program does its worst.

Whatever happens, no call raises or hangs, no wrong byte comes out, and the store comes back.
"""

from __future__ import annotations

import errno
import logging
import os
import pickle
import shutil
import socket
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.errors import CorruptBlockError
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, block_files, bytes_on_disk, key_of, make_file, pieces_at
from tests.cache.test_disk import Clock
from tests.support.disks import BLOCKS, faulty_disk
from tests.support.waiting import wait_until

LIMIT = 64 * MIB
FILE = make_file(size=400 * MIB)

pytestmark = pytest.mark.expects_warnings

Reopen = Callable[[], DiskBlockStore]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blocks"


@pytest.fixture
def reopen(folder: Path, clock: Clock, counters: Counters) -> Iterator[Reopen]:
    """Make another store of the same directory, as a later process would."""
    made: list[DiskBlockStore] = []

    def again() -> DiskBlockStore:
        for store in made:
            store.close()
        made.append(DiskBlockStore(folder, LIMIT, counters, clock=clock))
        return made[-1]

    yield again
    for store in made:
        store.close()


@pytest.fixture
def store(reopen: Reopen) -> DiskBlockStore:
    return reopen()


def put(store: DiskBlockStore, index: int, places: range | None = None) -> None:
    store.put(key_of(FILE, index), FILE, pieces_at(FILE, index, places))


def places_of(store: DiskBlockStore, index: int) -> int:
    block = store.open(key_of(FILE, index), FILE)
    return block.places if block is not None else 0


def works(store: DiskBlockStore, index: int = 77) -> bool:
    put(store, index)
    block = store.open(key_of(FILE, index), FILE)
    return block is not None and block.read(0, MIB) == b"".join(pieces_at(FILE, index).values())


def overwrite(path: Path, offset: int, data: bytes = b"damage") -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def database_of(folder: Path, generation: int = 1) -> Path:
    return folder / f"gen-{generation}" / "cache.db"


# Damaged blocks


def test_a_damaged_piece_is_reported_once_and_its_block_forgotten(
    store: DiskBlockStore, folder: Path, counters: Counters
) -> None:
    put(store, 0)
    (path,) = block_files(folder)
    overwrite(path, 4096 + 3 * PIECE_SIZE)
    block = store.open(key_of(FILE), FILE)

    assert block is not None
    assert block.read(0, 3 * PIECE_SIZE) == b"".join(pieces_at(FILE, 0, range(3)).values())
    with pytest.raises(CorruptBlockError):
        block.read(3 * PIECE_SIZE, 4 * PIECE_SIZE)
    put(store, 1)  # by the same thread, after the damaged one was forgotten
    assert places_of(store, 0) == 0
    assert not path.exists()
    assert counters["blocks_corrupt"] == 1


@pytest.mark.parametrize("offset", [0, 9, 12, 30, 3000, 4090])
def test_a_damaged_header_is_a_miss_and_its_block_forgotten(
    reopen: Reopen, folder: Path, counters: Counters, offset: int
) -> None:
    put(reopen(), 0)
    (path,) = block_files(folder)
    overwrite(path, offset)
    store = reopen()

    assert places_of(store, 0) == 0
    assert counters["blocks_corrupt"] == 1
    assert block_files(folder) == []
    assert store.usage().blocks == 0


def test_a_truncated_block_is_a_miss(reopen: Reopen, folder: Path) -> None:
    put(reopen(), 0)
    (path,) = block_files(folder)
    os.truncate(path, MIB)

    assert places_of(reopen(), 0) == 0


def test_a_block_in_the_place_of_another_is_a_miss(reopen: Reopen, folder: Path) -> None:
    store = reopen()
    put(store, 0)
    (first,) = block_files(folder)
    put(store, 1)
    (second,) = (path for path in block_files(folder) if path != first)
    shutil.copy(first, second)

    store = reopen()
    assert places_of(store, 1) == 0
    assert places_of(store, 0) == 0xFFFF


def test_a_block_of_another_version_in_its_place_is_a_miss(reopen: Reopen, folder: Path) -> None:
    other = make_file(size=FILE.size, modified_s=99)
    store = reopen()
    put(store, 0)
    (first,) = block_files(folder)
    store.put(key_of(other), other, pieces_at(other, 0))
    (second,) = (path for path in block_files(folder) if path != first)
    second.replace(first)

    assert places_of(reopen(), 0) == 0


def test_damaged_pieces_are_left_out_when_others_are_added(
    reopen: Reopen, folder: Path, counters: Counters
) -> None:
    put(reopen(), 0, range(2))
    (path,) = block_files(folder)
    overwrite(path, 4096)
    store = reopen()
    put(store, 0, range(2, 3))

    assert places_of(store, 0) == 0b110
    assert counters["blocks_corrupt"] == 1
    assert len(block_files(folder)) == 1


def test_a_damaged_piece_is_mended_when_it_is_put_again(reopen: Reopen, folder: Path) -> None:
    put(reopen(), 0)
    (path,) = block_files(folder)
    overwrite(path, 4096)
    store = reopen()
    with pytest.raises(CorruptBlockError):
        store.open(key_of(FILE), FILE).read(0, 5)  # type: ignore[union-attr]

    assert works(store, 0)


def test_many_damaged_blocks_do_not_flood_the_log(
    reopen: Reopen, folder: Path, counters: Counters, expects_warnings: list[logging.LogRecord]
) -> None:
    store = reopen()
    for index in range(20):
        put(store, index)
    for path in block_files(folder):
        overwrite(path, 0)
    store = reopen()
    assert [places_of(store, index) for index in range(20)] == [0] * 20

    assert counters["blocks_corrupt"] == 20
    assert len(expects_warnings) == 1


def test_a_file_that_was_deleted_is_a_miss(reopen: Reopen, folder: Path) -> None:
    put(reopen(), 0)
    for path in block_files(folder):
        path.unlink()
    store = reopen()

    assert places_of(store, 0) == 0
    assert works(store, 0)


# Rows that we didn't write


class Trap:
    """What unpickling would run."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("unpickled",)


def test_a_pickled_value_is_never_loaded(
    reopen: Reopen, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    put(reopen(), 0)
    with sqlite3.connect(database_of(folder)) as database:
        database.execute("UPDATE Cache SET mode = 4, value = ?", (pickle.dumps(Trap()),))
    database.close()
    store = reopen()

    assert places_of(store, 0) == 0
    assert not (tmp_path / "unpickled").exists()
    assert works(store, 0)


@pytest.mark.parametrize("name", ["../../precious", "/etc/hostname", "", "ab/x", "slot-0"])
def test_a_row_that_names_another_file_harms_nothing(
    reopen: Reopen, folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "precious").write_text("kept")
    store = reopen()
    put(store, 0)
    with sqlite3.connect(database_of(folder)) as database:
        database.execute("UPDATE Cache SET filename = ?", (name,))
    database.close()
    store = reopen()

    assert places_of(store, 0) == 0
    for index in range(100):  # evicts all
        put(store, index)
    assert (tmp_path / "precious").read_text() == "kept"
    assert works(store)


# Databases


def test_a_damaged_database_is_left_for_a_new_generation(reopen: Reopen, folder: Path) -> None:
    put(reopen(), 0)
    reopen().close()
    overwrite(database_of(folder), 0, b"garbage " * 1024)
    store = reopen()

    assert places_of(store, 0) == 0
    assert works(store)
    assert (folder / "current").read_text() == "gen-2\n"


def test_a_foreign_database_is_left_for_a_new_generation(reopen: Reopen, folder: Path) -> None:
    put(reopen(), 0)
    reopen().close()
    for path in folder.glob("gen-1/cache.db*"):
        path.unlink()
    with sqlite3.connect(database_of(folder)) as database:
        database.execute("CREATE TABLE Cache (mine TEXT)")
    database.close()

    assert works(reopen())
    assert (folder / "current").read_text() == "gen-2\n"


def test_an_empty_database_beside_blocks_counts_as_damaged(reopen: Reopen, folder: Path) -> None:
    put(reopen(), 0)
    reopen().close()
    for path in folder.glob("gen-1/cache.db*"):
        path.unlink()

    assert works(reopen())
    assert (folder / "current").read_text() == "gen-2\n"


def test_a_database_damaged_under_our_hands_costs_some_seconds(
    store: DiskBlockStore, folder: Path, clock: Clock
) -> None:
    for index in range(5):
        put(store, index)
    os.truncate(database_of(folder), 100)
    (folder / "gen-1" / "cache.db-wal").write_bytes(b"x" * 100_000)
    for index in range(20):
        put(store, index)
        store.peek(key_of(FILE, index + 500))
    clock.now += 11.0
    store.peek(key_of(FILE, 5))
    clock.now += 11.0

    assert works(store)
    assert store.usage().unwell is None


def test_other_processes_follow_to_the_new_generation(
    store: DiskBlockStore, folder: Path, clock: Clock
) -> None:
    put(store, 0)
    assert works(store)
    other = DiskBlockStore(folder, LIMIT, Counters(), clock=clock)
    assert works(other)
    (folder / "gen-2").mkdir(mode=0o700)
    (folder / "current.new").write_text("gen-2\n")
    (folder / "current.new").replace(folder / "current")
    clock.now += 2.0

    assert works(store, 200)
    block = other.open(key_of(FILE, 200), FILE)
    other.close()
    assert block is not None
    assert "gen-2" in block.path


def test_old_generations_are_removed_by_the_sweep(
    reopen: Reopen, folder: Path, clock: Clock
) -> None:
    store = reopen()
    for index in range(10):
        put(store, index)
    store.close()
    overwrite(database_of(folder), 0, b"garbage " * 1024)
    assert works(reopen())

    store = reopen()
    assert store.sweep() is not None

    assert not (folder / "gen-1").exists()
    assert bytes_on_disk(folder) < 4 * MIB
    assert works(store, 3)


def test_a_locked_database_costs_new_blocks_and_nothing_else(
    store: DiskBlockStore, folder: Path, clock: Clock, counters: Counters
) -> None:
    put(store, 0)
    lock = sqlite3.connect(database_of(folder), isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    put(store, 1)

    assert counters["blocks_dropped"] == 1
    assert places_of(store, 0) == 0xFFFF
    assert places_of(store, 1) == 0
    lock.execute("ROLLBACK")
    lock.close()
    assert works(store, 1)
    assert len(block_files(folder)) == 2
    assert (folder / "current").read_text() == "gen-1\n"


def test_a_database_that_stays_locked_at_the_start_is_given_up_after_two_minutes(
    reopen: Reopen, folder: Path, clock: Clock
) -> None:
    put(reopen(), 0)
    reopen().close()
    lock = sqlite3.connect(database_of(folder), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    store = reopen()

    assert places_of(store, 0) == 0
    clock.now += 121.0
    assert works(store)
    lock.close()


# Disks


def temporary_disk(disk: Path, options: str) -> Iterator[Path]:
    """A disk in memory, which the test may fill and make read-only."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a disk")
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a tmpfs here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MiB."""
    yield from temporary_disk(tmp_path / "disk", "size=12m,mode=700")


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all of a disk's room but some bytes, as another program would."""
    status = os.statvfs(disk)
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - leave)
    return ballast


def test_a_disk_smaller_than_the_limit_holds_what_it_can(
    small_disk: Path, clock: Clock, counters: Counters, expects_warnings: list[logging.LogRecord]
) -> None:
    store = DiskBlockStore(small_disk / "blocks", LIMIT, counters, clock=clock)
    for index in range(30):
        put(store, index)

    assert counters["blocks_dropped"] == 0
    assert places_of(store, 29) == 0xFFFF
    assert 4 <= store.usage().blocks < 12
    assert len(block_files(small_disk / "blocks")) == store.usage().blocks
    assert {path.stat().st_size for path in block_files(small_disk / "blocks")} == {4096 + MIB}
    assert expects_warnings == []
    store.close()


def test_a_disk_filled_by_others_drops_blocks_and_is_used_again_when_there_is_room(
    small_disk: Path, clock: Clock, counters: Counters, expects_warnings: list[logging.LogRecord]
) -> None:
    store = DiskBlockStore(small_disk / "blocks", LIMIT, counters, clock=clock)
    put(store, 0)
    for path in block_files(small_disk / "blocks"):
        path.unlink()
    store._tier.clear()
    ballast = fill(small_disk)
    for index in range(1, 20):
        put(store, index)
        clock.now += 4.0

    assert counters["blocks_dropped"] == 19
    assert "room" in str(store.usage().unwell)
    assert len(expects_warnings) == 1
    assert block_files(small_disk / "blocks") == []

    ballast.unlink()
    clock.now += 11.0
    assert works(store)
    assert store.usage().unwell is None
    store.close()


def test_blocks_make_way_for_what_others_put_on_the_disk(
    small_disk: Path, clock: Clock, counters: Counters
) -> None:
    store = DiskBlockStore(small_disk / "blocks", LIMIT, counters, clock=clock, min_free=0.25)
    for index in range(20):
        put(store, index)
    free = os.statvfs(small_disk).f_bavail * 4096
    assert 3 * MIB <= free < 6 * MIB

    fill(small_disk, leave=MIB)
    store._tend()

    free = os.statvfs(small_disk).f_bavail * 4096
    assert 3 * MIB <= free < 6 * MIB
    assert store.usage().unwell is None
    assert works(store, 3)
    assert os.statvfs(small_disk).f_bavail * 4096 >= 3 * MIB
    store.close()


def test_a_disk_that_others_leave_no_share_of_is_not_written(
    small_disk: Path, clock: Clock, counters: Counters, expects_warnings: list[logging.LogRecord]
) -> None:
    store = DiskBlockStore(small_disk / "blocks", LIMIT, counters, clock=clock, min_free=0.5)
    put(store, 0)
    ballast = fill(small_disk, leave=2 * MIB)
    for index in range(5):
        put(store, index)

    assert block_files(small_disk / "blocks") == []
    assert "50 %" in str(store.usage().unwell)
    assert len(expects_warnings) == 1
    ballast.unlink()
    clock.now += 11.0
    assert works(store)
    store.close()


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for 350 files, of which 256 are folders in the end."""
    yield from temporary_disk(tmp_path / "disk", "size=64m,nr_inodes=350,mode=700")


def test_a_disk_without_inodes_holds_as_many_blocks_as_it_can(
    few_inodes: Path, clock: Clock, counters: Counters, expects_warnings: list[logging.LogRecord]
) -> None:
    store = DiskBlockStore(few_inodes / "blocks", LIMIT, counters, clock=clock)
    for number in range(400):
        small = make_file(f"10002/{number}", size=100)
        store.put(key_of(small), small, pieces_at(small, 0))

    assert counters["blocks_dropped"] < 10
    assert store.peek(key_of(small)) == 1
    assert 40 < store.usage().blocks < 350
    assert len(expects_warnings) <= 1
    store.close()


def test_a_disk_that_becomes_read_only_still_serves_what_is_there(
    small_disk: Path, clock: Clock, counters: Counters
) -> None:
    store = DiskBlockStore(small_disk / "blocks", LIMIT, counters, clock=clock)
    put(store, 0)
    assert places_of(store, 0)
    # A descriptor open for writing keeps the disk from being remounted.
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    store = DiskBlockStore(small_disk / "blocks", LIMIT, counters, clock=clock)
    put(store, 1)

    assert counters["blocks_dropped"] == 1
    assert store.usage().unwell is not None
    assert places_of(store, 1) == 0

    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    clock.now += 11.0
    assert places_of(store, 0) == 0xFFFF
    assert works(store, 1)
    store.close()


def test_a_directory_that_is_removed_is_made_again(
    store: DiskBlockStore, folder: Path, clock: Clock
) -> None:
    put(store, 0)
    put(store, 1)
    assert places_of(store, 0)
    shutil.rmtree(folder)
    put(store, 2)
    assert places_of(store, 1) == 0
    clock.now += 11.0

    assert works(store)
    assert store.usage().unwell is None
    assert folder.is_dir()


def test_a_directory_that_went_with_its_disk_is_not_made_elsewhere(
    small_disk: Path, clock: Clock, counters: Counters
) -> None:
    store = DiskBlockStore(small_disk / "blocks", LIMIT, counters, clock=clock)
    assert works(store)
    subprocess.run(["umount", "--lazy", small_disk], check=True)
    try:
        clock.now += 11.0
        put(store, 5)
        assert store.peek(key_of(FILE, 6)) == 0

        assert list(small_disk.iterdir()) == []
        assert "gone" in str(store.usage().unwell)
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "none", small_disk], check=True)
    store.close()


def test_a_directory_is_used_again_when_its_disk_is_back(
    small_disk: Path, clock: Clock, counters: Counters
) -> None:
    store = DiskBlockStore(small_disk / "cache/blocks", LIMIT, counters, clock=clock)
    assert works(store)
    subprocess.run(["umount", "--lazy", small_disk], check=True)
    clock.now += 11.0
    put(store, 5)
    assert "gone" in str(store.usage().unwell)
    # Another device by number, as a btrfs is after each mount.
    subprocess.run(["mount", "-t", "tmpfs", "none", small_disk], check=True)
    clock.now += 11.0

    assert works(store)
    clock.now += 11.0
    assert places_of(store, 77)
    assert store.usage().unwell is None
    assert stat.S_IMODE((small_disk / "cache").stat().st_mode) == 0o700
    store.close()


def test_a_directory_that_cannot_be_made_costs_the_cache_only(
    tmp_path: Path, counters: Counters
) -> None:
    (tmp_path / "file").write_text("in the way")
    store = DiskBlockStore(tmp_path / "file" / "blocks", LIMIT, counters)
    put(store, 0)

    assert store.open(key_of(FILE), FILE) is None
    assert store.usage().unwell is not None
    assert counters["blocks_dropped"] == 1
    store.close()


# Other releases


def test_the_cache_of_a_newer_release_is_left_alone(
    reopen: Reopen, folder: Path, expects_warnings: list[logging.LogRecord]
) -> None:
    store = reopen()
    for index in range(3):
        put(store, index)
    store.close()
    with sqlite3.connect(database_of(folder)) as database:
        database.execute("PRAGMA user_version = 1000")
    database.close()
    before = {path: path.read_bytes() for path in block_files(folder)}
    store = reopen()
    put(store, 7)

    assert places_of(store, 0) == 0
    assert "newer release" in str(store.usage().unwell)
    assert (folder / "current").read_text() == "gen-1\n"
    assert {path: path.read_bytes() for path in block_files(folder)} == before
    assert len(expects_warnings) <= 2


def test_the_cache_of_an_older_release_makes_way(reopen: Reopen, folder: Path) -> None:
    put(reopen(), 0)
    reopen().close()
    with sqlite3.connect(database_of(folder)) as database:
        database.execute("PRAGMA user_version = 1")
    database.close()

    assert works(reopen())
    assert (folder / "current").read_text() == "gen-2\n"


@pytest.mark.parametrize("kind", ["socket", "directory", "pipe"])
def test_what_is_no_file_in_the_place_of_a_block_costs_that_block_only(
    reopen: Reopen, folder: Path, counters: Counters, kind: str
) -> None:
    store = reopen()
    put(store, 0)
    (path,) = block_files(folder)
    put(store, 1)
    path.unlink()
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(f"/proc/self/fd/{os.open(path.parent, os.O_RDONLY)}/{path.name}")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    store = reopen()

    assert places_of(store, 0) == 0
    assert places_of(store, 1) == 0xFFFF
    assert store.usage().unwell is None
    assert counters["blocks_corrupt"] == 1
    assert works(store, 0)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_block_that_can_not_be_opened_is_fetched_again(
    tmp_path: Path, counters: Counters, clock: Clock, number: int
) -> None:
    with faulty_disk(tmp_path) as disk:
        store = DiskBlockStore(disk.path / "blocks", LIMIT, counters, clock=clock)
        wait_until(lambda: works(store, 0), 60)
        store._tier.clear()
        disk.fail({"open": number}, BLOCKS)
        wait_until(lambda: places_of(store, 0) == 0 and counters["blocks_corrupt"], 60)
        assert (os.strerror(number) in str(store.usage().unwell)) == (number == errno.EIO)
        disk.work()
        clock.now += 11.0

        wait_until(lambda: works(store, 0), 60)
        assert counters["blocks_corrupt"] == 1
        store.close()
