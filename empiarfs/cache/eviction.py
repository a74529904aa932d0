"""How many bytes of blocks fit under the limit, and which block goes when another comes.

Pure: numbers in, decisions out. The limit is on what a walk over the directory would find,
so room is set aside for all that isn't a block:

    set aside for            how much
    -----------------------  --------------------------------------------------------------
    blocks being written     `slot_count` of them, each as big as a block can be; nobody on
                             this machine writes one without holding a slot
    database, folders        measured from time to time; `FOLDERS_SIZE` at least, since the
                             256 folders come into being one by one
    the database's WAL       `wal_size`, even while it is smaller
    what grows in between    `_MARGIN`

Victims are random, each block as likely as any other. Least recently used would be the wrong
policy: a data set of 1.2 times the limit read in order again and again, as each iteration of
a refinement does, never hits with it, and hits 69 % of the time with random victims; it would
cost a write for each read, too.

What is asked for by listing programs is little and must not be flushed by one pass over
movies, so it lies in pools of its own:

    pool      what is in it                                               spared up to
    --------  ----------------------------------------------------------  ---------------
    `SMALL`   the first or the last block of a file, while no more than   10 % of capacity
              `SMALL_SIZE` of it is stored: headers, directories at the
              end of a TIFF, small files
    `FIRST`   other first blocks: of movies that were read, and files of  5 % of capacity
              up to 1 MiB
    `REST`    all else                                                    never
    `PINNED`  all blocks of files that somebody pinned                    always

A pool within its share gives no victims while there are others. One that has outgrown its
share has no privilege at all, so nobody loses by the shares who doesn't read such blocks.
The two pools are kept apart because first blocks come along with every pass over movies, and
each would push fifteen headers out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from random import Random

from empiarfs.core.block_format import MAX_STORED_SIZE
from empiarfs.core.blocks import BLOCK_SIZE

MIN_LIMIT = 16 * 1024 * 1024
FOLDER_COUNT = 256
# Of the cache; the rest is left for what is read otherwise.
PIN_SHARE = 0.9
STEP = 4096  # file systems give out room in such steps

# As a file on disk: four pieces and the header.
SMALL_SIZE = 4 * 64 * 1024 + STEP

_FOLDERS_SIZE = FOLDER_COUNT * STEP
_MARGIN = 256 * 1024
_SLOT_SHARE = 8
_MAX_SLOTS = 8
_MAX_TOGETHER = 8
_BATCH = 4 * 1024 * 1024
_BATCH_SHARE = 64  # 16 cost three hits in a hundred where data is a bit larger than a cache
_WAL_SHARE = 64
_MAX_WAL_PAGES = 1000  # SQLite's own default


class Pool(IntEnum):
    """Which share a block belongs to; the numbers stand in databases."""

    REST = 0
    SMALL = 1
    FIRST = 2
    PINNED = 3


# Those that victims come from.
SHARED: Sequence[Pool] = (Pool.REST, Pool.SMALL, Pool.FIRST)
SHARES: Mapping[Pool, float] = {Pool.SMALL: 0.10, Pool.FIRST: 0.05}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block that might go.

    Attributes:
        rowid: Its row.
        key: `BlockKey.short`.
        filename: Its file, relative to the generation's folder.
    """

    rowid: int
    key: str
    filename: str


def stored_size(size: int) -> int:
    """Return the bytes that a file of `size` bytes takes on disk."""
    return -(-size // STEP) * STEP


def slot_count(limit: int) -> int:
    """Return how many writers may be at it at once on this machine."""
    return max(1, min(_MAX_SLOTS, limit // _SLOT_SHARE // MAX_STORED_SIZE))


def batch_count(limit: int) -> int:
    """Return how many blocks a writer may store together, in one transaction."""
    share = limit // _SLOT_SHARE // MAX_STORED_SIZE // slot_count(limit)
    return max(1, min(_MAX_TOGETHER, share))


def wal_pages(limit: int) -> int:
    """Return after how many pages of 4 KiB SQLite moves its WAL into the database."""
    return min(_MAX_WAL_PAGES, limit // _WAL_SHARE // STEP)


def capacity(limit: int, overhead: int) -> int:
    """Return how many bytes the files of all blocks together may take.

    Args:
        limit: Bytes that the whole directory may take.
        overhead: Bytes that folders, database and so on were last seen to take.
    """
    # Twice the WAL: it is cut back only when no reader is in its way.
    in_writing = slot_count(limit) * batch_count(limit) * MAX_STORED_SIZE
    set_aside = in_writing + 2 * wal_pages(limit) * STEP + _MARGIN
    return max(0, limit - max(overhead, _FOLDERS_SIZE) - set_aside)


def pin_capacity(limit: int, overhead: int) -> int:
    """Return how many bytes pinned files may take; see `capacity`."""
    return int(PIN_SHARE * capacity(limit, overhead))


def room_to_leave(capacity: int) -> int:
    """Return how much more than needed to evict, so that not every block has to."""
    return min(_BATCH, capacity // _BATCH_SHARE)


def pool_of(index: int, file_size: int, stored: int) -> Pool:
    """Return where a block belongs.

    Args:
        index: Its index in its file.
        file_size: Bytes of that file.
        stored: Bytes of it that are stored, with its header.

    >>> pool_of(0, 10**9, 69632), pool_of(0, 10**9, 2**20 + 4096), pool_of(1, 10**9, 69632)
    (<Pool.SMALL: 1>, <Pool.FIRST: 2>, <Pool.REST: 0>)
    """
    is_last = (index + 1) * BLOCK_SIZE >= file_size
    if stored <= SMALL_SIZE and (index == 0 or is_last):
        return Pool.SMALL
    return Pool.FIRST if index == 0 else Pool.REST


def pools_to_choose_from(sizes: Mapping[Pool, int], capacity: int) -> list[Pool]:
    """Return the pools that victims may be taken from.

    Args:
        sizes: Bytes that each pool takes on disk; without those that are empty.
        capacity: Bytes that all blocks may take.
    """
    exposed = [pool for pool in sizes if sizes[pool] > SHARES.get(pool, 0.0) * capacity]
    return exposed or list(sizes)


def choose(counts: Mapping[Pool, int], random: Random) -> tuple[Pool, int]:
    """Return a block by pool and place in it, counted from 1; each is as likely as any other.

    Args:
        counts: The number of blocks in each pool that may be chosen from, not all 0.
        random: Where chance comes from.
    """
    place = random.randint(1, sum(counts.values()))
    for pool, count in counts.items():
        if place <= count:
            return pool, place
        place -= count
    raise ValueError(f"not numbers of blocks: {counts}")
