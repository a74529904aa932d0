"""Files of the cache damaged on purpose: never a wrong byte, fetched again, and counted.

Each kind of damage is done to many blocks, of which some are open already and some aren't; a
whole campaign damages 1,000 files and more, `scripts/test` a tenth.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.core.files import RemoteFile
from empiarfs.errors import CacheError
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, block_files, bytes_on_disk, key_of, make_file, pieces_at
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.campaign import is_whole, tally
from tests.support.mounts import Mount, mounted

pytestmark = pytest.mark.expects_warnings

LIMIT = 40 * MIB
BLOCKS = 16
ROUNDS = 7 if is_whole() else 1
IN_MOUNT = 60 if is_whole() else 6

Damage = Callable[[Path, Random], None]


def flip_a_bit(path: Path, random: Random) -> None:
    offset = random.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1 << random.randrange(8)]), offset)


def flip_a_bit_of_the_header(path: Path, random: Random) -> None:
    offset = random.randrange(200)
    with path.open("r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1 << random.randrange(8)]), offset)


def zero_a_page(path: Path, random: Random) -> None:
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), bytes(4096), random.randrange(path.stat().st_size // 4096) * 4096)


def truncate(path: Path, random: Random) -> None:
    os.truncate(path, random.randrange(path.stat().st_size))


def empty(path: Path, random: Random) -> None:
    os.truncate(path, 0)


def lengthen(path: Path, random: Random) -> None:
    with path.open("ab") as file:
        file.write(random.randbytes(random.randrange(1, 9000)))


def delete(path: Path, random: Random) -> None:
    path.unlink()


def swap(path: Path, random: Random) -> None:
    other = random.choice([each for each in block_files(path.parents[2]) if each != path])
    kept = path.with_suffix(".swapped")
    path.rename(kept)
    other.rename(path)
    kept.rename(other)


def overwrite(path: Path, random: Random) -> None:
    path.write_bytes(random.randbytes(path.stat().st_size))


def replace_by_a_link(path: Path, random: Random) -> None:
    path.unlink()
    path.symlink_to("/etc/hostname")


def replace_by_a_folder(path: Path, random: Random) -> None:
    path.unlink()
    path.mkdir()


def replace_by_a_pipe(path: Path, random: Random) -> None:
    path.unlink()
    os.mkfifo(path)


KINDS: tuple[Damage, ...] = (
    flip_a_bit,
    flip_a_bit_of_the_header,
    zero_a_page,
    truncate,
    empty,
    lengthen,
    delete,
    swap,
    overwrite,
    replace_by_a_link,
    replace_by_a_folder,
    replace_by_a_pipe,
)
# Of these the store may notice nothing, since nothing is wrong with the bytes.
HARMLESS = (delete, lengthen)


def read_all(store: DiskBlockStore, file: RemoteFile) -> tuple[int, int]:
    """Read what the store has of a file; return how much is wrong, and how much is missing."""
    wrong = missing = 0
    for index in range(BLOCKS):
        block = store.open(key_of(file, index), file)
        for place, data in pieces_at(file, index).items():
            start = place * PIECE_SIZE
            try:
                if block is None or not block.places >> place & 1:
                    missing += 1
                elif block.read(start, start + len(data)) != data:
                    wrong += 1
            except CacheError:
                missing += 1
    return wrong, missing


@pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_never_believed(tmp_path: Path, damage: Damage) -> None:
    random = Random(damage.__name__)
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        file = make_file(f"10002/data/{number}.mrc", BLOCKS * MIB - 5)
        counters = Counters()
        store = DiskBlockStore(folder, LIMIT, counters)
        for index in range(BLOCKS):
            store.put(key_of(file, index), file, pieces_at(file, index))
        for index in random.sample(range(BLOCKS), BLOCKS // 2):
            store.open(key_of(file, index), file)  # open from now on
        damaged = random.sample(block_files(folder), 12)
        for path in damaged:
            damage(path, random)
        tally.add("damaged_files", damage.__name__.replace("_", " "), len(damaged))

        wrong, missing = read_all(store, file)
        later = DiskBlockStore(folder, LIMIT, counters)
        wrong_later, missing_later = read_all(later, file)
        tally.add("wrong_bytes", f"cache, {damage.__name__}", wrong + wrong_later)
        assert wrong == wrong_later == 0
        if damage not in HARMLESS:
            assert missing + missing_later > 0
            assert counters["blocks_corrupt"] > 0

        for index in range(BLOCKS):
            later.put(key_of(file, index), file, pieces_at(file, index))
        assert read_all(later, file) == (0, 0)
        assert later.usage().unwell is None
        assert bytes_on_disk(folder) <= LIMIT
        store.close()
        later.close()


# -- under a mount -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[ApacheServer]:
    with tree.temporary_root() as root:
        tree.make_many(root / "10511/data", 8, size=2 * MIB + 5)
        tree.set_times(root)
        with ApacheServer(root) as started:
            yield started


def is_long(path: Path) -> bool:
    """Tell whether a block can be damaged in each way; it may have been before."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size > 4096


def drop_pages(mount: Mount) -> None:
    """Have the kernel forget what it has read, so that the next read comes to the daemon."""
    for path in (mount.path / "10511/data").iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def long_blocks(folder: Path) -> list[Path]:
    return [path for path in block_files(folder / "cache/v1/blocks-1") if is_long(path)]


@pytest.mark.slow
@pytest.mark.fuse
@pytest.mark.apache
def test_a_mount_fetches_what_was_damaged_again_and_counts_it(
    server: ApacheServer, tmp_path: Path
) -> None:
    random = Random(9)
    with mounted(server.url, cache_dir=tmp_path / "cache") as filler:
        assert tree.differences(server.root, filler.path) == []
    with (
        mounted(server.url, cache_dir=tmp_path / "cache") as one,
        mounted(server.url, cache_dir=tmp_path / "cache") as two,
    ):
        one.warnings_expected = two.warnings_expected = True
        done = 0
        while done < IN_MOUNT:
            blocks = long_blocks(tmp_path)
            if len(blocks) < 6:
                # What the two have in memory they don't store again; one that is new does.
                with mounted(server.url, cache_dir=tmp_path / "cache") as filler:
                    # It may be the first to meet what was damaged in the round before.
                    filler.warnings_expected = True
                    assert tree.differences(server.root, filler.path) == []
                blocks = long_blocks(tmp_path)
            for path in random.sample(blocks, min(6, len(blocks))):
                damage = random.choice(KINDS)
                if not is_long(path):
                    continue  # another was swapped with it
                damage(path, random)
                tally.add("damaged_files", f"under a mount: {damage.__name__}".replace("_", " "))
                done += 1
            for mount in (one, two):
                drop_pages(mount)
                differences = tree.differences(server.root, mount.path)
                tally.add("wrong_bytes", "mount, damaged cache", len(differences))
                assert differences == []
        counts = [mount.status()["counters"] for mount in (one, two)]

        assert sum(count["blocks_corrupt"] for count in counts) > 0
        assert sum(count["network_bytes"] for count in counts) > 0
        assert [mount.status()["cache"]["unwell"] for mount in (one, two)] == [None, None]
