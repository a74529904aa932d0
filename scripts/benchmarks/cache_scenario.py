"""The scenario `cache`: what stays of data that is larger than the cache, and read again.

No mount and no server: the store of empiarfs is asked for the blocks of a data set of 1.2
times `--cache-size`, and given those that it hasn't got, in several passes. Its peer does the
same: diskcache as it comes, with the least recently used as victims, below the same limit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import fmean

import diskcache

from empiarfs.cache.disk import DiskBlockStore
from empiarfs.cache.store import BlockPut
from empiarfs.core.blocks import BLOCK_SIZE, PIECE_SIZE, BlockIndex
from empiarfs.core.files import BlockKey, FileVersion, RemoteFile
from empiarfs.stats import Counters
from scripts.benchmarks.archive import Scale
from scripts.benchmarks.clients import EMPIARFS
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.goals import AtLeast
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.stage import Stage, WrongAnswerError

_MIB = 2**20
# The store sets 75 MB aside, which of a cache of this size is little, as of usual ones.
_FULL_LIMIT = 2048 * _MIB
_LEAST_LIMIT = 64 * _MIB
_LARGER = 1.2
_PASSES = 5
_FIRST_COUNTED = 2
_PLACES = range(16)
_STORED = len(_PLACES) * PIECE_SIZE + 4096
_BLOCKS_OF_MOVIE = 50
# As much as a header is: one piece. Enough of them for half of their share.
_HEADER_STORED = PIECE_SIZE + 4096
_HEADERS_SHARE = 0.05
_FLUSHED = 3
_PIECE = Random(1).randbytes(PIECE_SIZE)

Block = tuple[RemoteFile, int]
Read = Callable[[Sequence[Block], range], float]


def _limit(scale: Scale) -> int:
    """Return the cache's size: less for a quick run."""
    return min(_FULL_LIMIT, max(_LEAST_LIMIT, scale.movie_size))


def _figures(scale: Scale) -> tuple[Figure, ...]:
    data = f"data of {_LARGER:g} × the cache"
    lru = "least recently used"

    def hits(key: str, title: str, *goals: AtLeast) -> Figure:
        return Figure(key, title, Unit.PART, goals)

    return (
        hits("cache.order", f"{data}, in order, hits", AtLeast(0.50, Unit.PART)),
        hits("cache.order.lru", f"the same, {lru}"),
        hits("cache.shuffled", f"{data}, shuffled, hits", AtLeast(0.65, Unit.PART)),
        hits("cache.shuffled.lru", f"the same, {lru}"),
        hits(
            "cache.headers",
            f"headers left after movies of {_FLUSHED} × the cache",
            AtLeast(0.99, Unit.PART),
        ),
        hits("cache.headers.lru", f"the same, {lru}"),
    )


def _measure(stage: Stage) -> Iterator[Sample]:
    if stage.client is not EMPIARFS:
        return  # it is no mount that is compared here
    limit = _limit(stage.archive.scale)
    for suffix, opened in (("", _our_store), (".lru", _peer)):
        for name in ("order", "shuffled"):
            with opened(limit) as read:
                yield Sample(f"cache.{name}{suffix}", _hits(read, limit, name == "shuffled"))
        with opened(limit) as read:
            yield Sample(f"cache.headers{suffix}", _headers_left(read, limit))


def _movies(count: int, folder: str) -> list[Block]:
    """Return so many blocks of movies."""
    size = _BLOCKS_OF_MOVIE * BLOCK_SIZE
    files = [_file(f"{folder}/{n}.tif", size) for n in range(-(-count // _BLOCKS_OF_MOVIE))]
    return [(file, index) for file in files for index in range(_BLOCKS_OF_MOVIE)][:count]


def _file(path: str, size: int) -> RemoteFile:
    return RemoteFile("https://archive.test/", path, FileVersion(size, 1))


def _hits(read: Read, limit: int, shuffled: bool) -> float:
    order = _movies(int(_LARGER * limit) // _STORED, "10002")
    random = Random(2)
    shares = []
    for _ in range(_PASSES):
        if shuffled:
            random.shuffle(order)
        shares.append(read(order, _PLACES))
    return fmean(shares[_FIRST_COUNTED:])


def _headers_left(read: Read, limit: int) -> float:
    count = int(limit * _HEADERS_SHARE) // _HEADER_STORED
    headers = [(_file(f"10003/{n}.mrc", 100 * _MIB), 0) for n in range(count)]
    read(headers, range(1))
    read(_movies(_FLUSHED * limit // _STORED, "10004"), _PLACES)
    return read(headers, range(1))


@contextmanager
def _our_store(limit: int) -> Iterator[Read]:
    with tempfile.TemporaryDirectory(prefix="empiarfs-bench-") as folder:
        store = DiskBlockStore(Path(folder), limit, Counters())

        def read(order: Sequence[Block], places: range) -> float:
            hits = 0
            missing: list[BlockPut] = []
            for file, index in order:
                key = BlockKey(file.short_key, BlockIndex(index))
                found = store.open(key, file)
                if found is not None:
                    if found.read(0, PIECE_SIZE) != _PIECE:
                        raise WrongAnswerError("the store gave wrong bytes")
                    hits += 1
                    continue
                missing.append(BlockPut(key, file, dict.fromkeys(places, _PIECE)))
                if len(missing) == 8:
                    store.put_many(missing)
                    missing.clear()
            store.put_many(missing)
            return hits / len(order)

        try:
            yield read
            _check(store, limit)
        finally:
            store.close()


def _check(store: DiskBlockStore, limit: int) -> None:
    usage = store.usage()
    if usage.unwell is not None or usage.used > limit:
        raise WrongAnswerError(f"the store: {usage}")


@contextmanager
def _peer(limit: int) -> Iterator[Read]:
    with (
        tempfile.TemporaryDirectory(prefix="empiarfs-bench-") as folder,
        diskcache.Cache(
            folder, eviction_policy="least-recently-used", size_limit=limit, cull_limit=20
        ) as cache,
    ):

        def read(order: Sequence[Block], places: range) -> float:
            hits = 0
            block = _PIECE * len(places)
            for file, index in order:
                key = f"{file.short_key}.{index}"
                found = cache.get(key)
                if found is None:
                    cache.set(key, block)
                    continue
                if found[:PIECE_SIZE] != _PIECE:
                    raise WrongAnswerError("diskcache gave wrong bytes")
                hits += 1
            return hits / len(order)

        yield read


CACHE_SCENARIOS = (Scenario("cache", "what stays in the cache", _figures, _measure),)
