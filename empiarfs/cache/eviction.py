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

Victims are random. Least recently used would be the wrong policy: a data set of 1.2 times
the limit read in order again and again, as each iteration of a refinement does, never hits
with it, and hits 69 % of the time with random victims (simulated, and again in
tests/cache/test_eviction.py); it would cost a write for each read, too. A random row is the
first at or after a random row number. Rows behind gaps are preferred by that; since gaps
are where older rows were, old rows go somewhat earlier, which costs nothing measurable.

The one exception: *first blocks* (block 0 of a file, and so all of a small file) are spared
while they take less than `FIRST_SHARE` of the limit. They hold the headers that every
listing program reads, and one pass over a movie must not flush them.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from empiarfs.core.block_format import MAX_STORED_SIZE

MIN_LIMIT = 16 * 1024 * 1024
FOLDER_COUNT = 256
STEP = 4096  # file systems give out room in such steps

FIRST_SHARE = 0.10
# How often another victim is looked for instead of a first block. The 9 in 10 other bytes
# may be in few rows: a header takes 68 KiB, a whole block 1 MiB.
SPARE_ATTEMPTS = 16

_FOLDERS_SIZE = FOLDER_COUNT * STEP
_MARGIN = 256 * 1024
_SLOT_SHARE = 8
_MAX_SLOTS = 8
_MAX_TOGETHER = 8
_BATCH = 4 * 1024 * 1024
_WAL_SHARE = 64
_MAX_WAL_PAGES = 1000  # SQLite's own default


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

    @property
    def is_first(self) -> bool:
        """Whether it is block 0 of its file."""
        return self.key.endswith(".0")


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


def room_to_leave(capacity: int) -> int:
    """Return how much more than needed to evict, so that not every block has to."""
    return min(_BATCH, capacity // 16)


def random_row(lowest: int, highest: int, random: Random) -> int:
    """Return the row number from which on the victim is looked for."""
    return random.randint(lowest, highest)


def is_spared(candidate: Candidate, first_size: int, capacity: int) -> bool:
    """Tell whether to look for another victim.

    Args:
        candidate: The block chosen by chance.
        first_size: Bytes that all first blocks take together.
        capacity: Bytes that all blocks may take.
    """
    return candidate.is_first and first_size < FIRST_SHARE * capacity
