"""Processes that write into a cache directory, for tests which watch or kill them.

python -m tests.cache.writer fill DIR LIMIT SEED COUNT
python -m tests.cache.writer crash DIR LIMIT COUNT
"""

from __future__ import annotations

import os
import signal
import sys
import time
from itertools import count
from pathlib import Path
from random import Random

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.core.files import RemoteFile
from empiarfs.stats import Counters
from tests.cache.blocks import MIB, key_of, make_file, piece_bytes

FILE_COUNT = 60


def written_file(number: int) -> RemoteFile:
    """One of the files that are written: of all sizes from a few bytes to 6 MiB."""
    sizes = (700, 5_000, 70_000, MIB + 3, 6 * MIB)
    return make_file(f"10002/data/{number}.mrc", sizes[number % len(sizes)] + number)


def write_one(store: DiskBlockStore, random: Random) -> None:
    """Put some pieces of some block, or all of them."""
    file = written_file(random.randrange(FILE_COUNT))
    blocks = -(-file.size // MIB)
    index = random.randrange(blocks)
    places = range(min(16, -(-(file.size - index * MIB) // 65536)))
    if random.random() < 0.3:
        places = range(1)
    store.put(
        key_of(file, index),
        file,
        {place: piece_bytes(file, index * 16 + place) for place in places},
    )


def fill(folder: Path, limit: int, seed: int, writes: int) -> None:
    """Write so many blocks, and print how many were stored, evicted and dropped."""
    counters = Counters()
    store = DiskBlockStore(folder, limit, counters)
    random = Random(seed)
    for _ in range(writes):
        write_one(store, random)
    store.close()
    names = ("blocks_stored", "blocks_evicted", "blocks_dropped")
    sys.stdout.write(" ".join(str(counters[name]) for name in names))


def write_for_ever(folder: Path, limit: int, seed: int, ready: int) -> None:
    """Write until killed, and say when the first block is stored."""
    store = DiskBlockStore(folder, limit, Counters())
    random = Random(seed)
    for step in count():
        write_one(store, random)
        if step == 0:
            os.write(ready, b".")


def crash(folder: Path, limit: int, times: int) -> None:
    """Have so many writers killed at random moments; each forked, which is quick."""
    random = Random(4)
    for seed in range(times):
        reader, ready = os.pipe()
        child = os.fork()
        if not child:
            write_for_ever(folder, limit, seed, ready)
        os.read(reader, 1)
        time.sleep(random.random() * 0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(ready)


if __name__ == "__main__":
    name, where, limit, *rest = sys.argv[1:]
    if name == "fill":
        fill(Path(where), int(limit), int(rest[0]), int(rest[1]))
    else:
        crash(Path(where), int(limit), int(rest[0]))
