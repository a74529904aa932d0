"""Readers of stored blocks never wait for a disk that hangs; here a volume that is frozen."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from empiarfs.cache.careful import CarefulReads
from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.file_systems import is_in_memory
from empiarfs.cache.threads import TooSlowError
from empiarfs.errors import CacheError
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, block_files, key_of, make_file, pieces_at
from tests.cache.test_disk import Clock
from tests.support.campaign import is_whole
from tests.support.disks import FaultyDisk, LoopDisk, faulty_disk, loop_disk
from tests.support.waiting import wait_until

FILE = make_file(size=60 * MIB)
LIMIT = 64 * MIB
# A call that waits for the disk gives up after 1.5 s; the machine may be busy.
SOON_S = 10.0


@pytest.fixture
def reads() -> Iterator[CarefulReads]:
    made = CarefulReads()
    yield made
    made.end(SOON_S)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    with loop_disk(tmp_path / "disk", 150 * MIB) as made:
        yield made


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyDisk]:
    with faulty_disk(tmp_path) as made:
        yield made


def test_what_the_kernel_has_and_what_it_has_not_is_read_alike(
    reads: CarefulReads, tmp_path: Path
) -> None:
    path = tmp_path / "block"
    content = os.urandom(MIB)
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        for start, size in ((0, MIB), (70_000, 200_000), (MIB - 5, 5), (0, 1)):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            assert reads.pread(descriptor, size, start) == content[start : start + size]
            assert reads.pread(descriptor, size, start) == content[start : start + size]
        assert reads.pread(descriptor, 10, MIB - 3) == content[-3:]
    finally:
        os.close(descriptor)


def test_memory_is_told_from_disks(tmp_path: Path, disk: LoopDisk) -> None:
    with open("/dev/shm/empiarfs-test", "wb") as file:
        os.unlink(file.name)
        assert is_in_memory(file.fileno())
    with (disk.path / "x").open("wb") as file:
        assert not is_in_memory(file.fileno())


def test_a_read_that_hangs_is_given_up_and_reported(
    faulty: FaultyDisk, expects_warnings: list[object]
) -> None:
    failures: list[Exception] = []
    reads = CarefulReads(failed=failures.append)
    path = faulty.path / "block"
    path.write_bytes(b"content")
    descriptor = os.open(path, os.O_RDONLY)
    assert reads.pread(descriptor, 7, 0) == b"content"
    faulty.hang()
    began_s = time.monotonic()
    with pytest.raises(TooSlowError):
        reads.pread(descriptor, 7, 0)

    assert time.monotonic() - began_s < SOON_S
    assert len(failures) == 1
    faulty.wake()
    wait_until(lambda: reads.pread(descriptor, 7, 0) == b"content")
    os.close(descriptor)
    reads.end(SOON_S)


def took_s(work: Callable[[], object]) -> float:
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s


@pytest.mark.slow
def test_nobody_hangs_with_a_disk_that_hangs(
    faulty: FaultyDisk, expects_warnings: list[logging.LogRecord]
) -> None:
    now = Clock()
    store = DiskBlockStore(faulty.path / "blocks", LIMIT, Counters(), clock=now)
    whole = b"".join(pieces_at(FILE, 0).values())
    for index in range(3):
        store.put(key_of(FILE, index), FILE, pieces_at(FILE, index))
    block = store.open(key_of(FILE), FILE)
    assert block is not None
    assert block.read(0, MIB) == whole

    faulty.hang()
    for _ in range(3):  # of the busiest: then it is left alone
        with pytest.raises(CacheError):
            block.read(0, MIB)
    first_s = [
        took_s(lambda: store.open(key_of(FILE), FILE)),
        took_s(lambda: store.open(key_of(FILE, 7), FILE)),
        took_s(lambda: store.put(key_of(FILE, 8), FILE, pieces_at(FILE, 8))),
    ]
    assert max(first_s) < SOON_S
    assert store.usage().unwell is not None
    assert store.open(key_of(FILE), FILE) is None  # a miss, and not a hang

    faulty.wake()
    now.now += 11.0
    wait_until(lambda: reads_right(store, now, whole), 60)
    assert store.usage().unwell is None
    store.close()


def reads_right(store: DiskBlockStore, now: Clock, whole: bytes) -> bool:
    now.now += 11.0
    store.put(key_of(FILE, 9), FILE, pieces_at(FILE, 9))
    block = store.open(key_of(FILE), FILE)
    return block is not None and block.read(0, MIB) == whole


@pytest.mark.slow
@pytest.mark.campaign
@pytest.mark.skipif(not is_whole(), reason="only in a whole campaign")
def test_nobody_hangs_with_a_disk_that_can_not_be_written(
    disk: LoopDisk, expects_warnings: list[logging.LogRecord]
) -> None:
    now = Clock()
    store = DiskBlockStore(disk.path / "blocks", LIMIT, Counters(), clock=now)
    for index in range(4):
        store.put(key_of(FILE, index), FILE, pieces_at(FILE, index))
        store.open(key_of(FILE, index), FILE)
    for path in block_files(disk.path / "blocks"):
        path.unlink()  # the last close frees its bytes, and so writes to the disk
    disk.freeze()

    assert took_s(store._tier.clear) < SOON_S
    for index in range(4, 7):
        assert took_s(partial(store.put, key_of(FILE, index), FILE, pieces_at(FILE, index))) < 10
    assert took_s(partial(store.open, key_of(FILE), FILE)) < SOON_S
    assert store.usage().unwell is not None
    disk.thaw()
    wait_until(lambda: stores(store, now), 60)
    store.close()


def stores(store: DiskBlockStore, now: Clock) -> bool:
    now.now += 11.0
    store.put(key_of(FILE, 30), FILE, pieces_at(FILE, 30))
    return store.peek(key_of(FILE, 30)) == 0xFFFF


def test_a_block_is_closed_in_another_thread(tmp_path: Path) -> None:
    store = DiskBlockStore(tmp_path, LIMIT, Counters())
    store.put(key_of(FILE), FILE, pieces_at(FILE, 0))
    block = store.open(key_of(FILE), FILE)
    assert block is not None
    (path,) = block_files(tmp_path)
    assert len(descriptors_of(path)) == 1
    store._tier.clear()
    assert len(descriptors_of(path)) == 1
    del block

    wait_until(lambda: not descriptors_of(path))
    assert any(thread.name == "empiarfs-cache-close" for thread in threading.enumerate())
    store.close()


def test_a_block_that_outlives_its_store_is_readable_and_closed(tmp_path: Path) -> None:
    store = DiskBlockStore(tmp_path, LIMIT, Counters())
    store.put(key_of(FILE), FILE, pieces_at(FILE, 0))
    block = store.open(key_of(FILE), FILE)
    store.close()
    (path,) = block_files(tmp_path)

    assert block is not None
    assert block.read(0, 5) == pieces_at(FILE, 0)[0][:5]
    del block
    assert not descriptors_of(path)


def descriptors_of(path: Path) -> list[str]:
    """The descriptors of this process that are of that file."""
    found = Path("/proc/self/fd").iterdir()
    return [item.name for item in found if os.path.realpath(item) == str(path)]
