"""Stores blocks: what is there already, room for them, the file, and its row.

Step by step, for what is put together:

1. The pieces stored already are read, checked, and added.
2. A write slot is taken (`empiarfs.cache.slots`), room is made, the names of the new and the
   old file are noted, the file is written, the row follows, the note is wiped. Room is made
   under the limit and above what the disk is to keep free; where the disk is full all the
   same, some more is made, once.

Of two processes that put one block at once, the later one finds the other's file in the row,
and begins anew, so that both their pieces are stored. Where that happens again and again, its
own file takes the place of the other's after all.

Threading: used by the writing thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from empiarfs.cache import eviction
from empiarfs.cache.block_disk import BlockFile, new_filename
from empiarfs.cache.block_file import OpenBlock
from empiarfs.cache.database import BlockDatabase
from empiarfs.cache.database_errors import FullDiskError, is_full, translated
from empiarfs.cache.open_blocks import OpenBlocks
from empiarfs.cache.room import Room, RoomMeter
from empiarfs.cache.slots import Slot, WriteSlots
from empiarfs.core.block_format import ReadableBuffer, encode_header, encode_name, make_header
from empiarfs.core.blocks import PIECE_SIZE, PIECES_PER_BLOCK
from empiarfs.core.files import BlockKey, RemoteFile
from empiarfs.errors import CorruptBlockError
from empiarfs.stats import Counters

_SLOT_TIMEOUT_S = 1.0
# Another process puts the same block in just these milliseconds: once is rare.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class StoredPiece:
    """A piece to be stored, and the checksum that its bytes had when it was put."""

    data: ReadableBuffer
    checksum: int


@dataclass(slots=True)
class Job:
    """A block to be stored; `is_done` is set once it is."""

    key: BlockKey
    file: RemoteFile
    pieces: Mapping[int, StoredPiece]
    is_done: bool = False


class BlockWriter:
    """Puts blocks on the disk; for one thread.

    Args:
        meter: How much may be stored.
        tier: Open blocks; those that are replaced or evicted are dropped from it.
        counters: Counts what is stored and evicted.
        load: Opens a block that is stored already, or None if it isn't, or is damaged.
    """

    def __init__(
        self,
        meter: RoomMeter,
        tier: OpenBlocks,
        counters: Counters,
        load: Callable[[BlockKey, BlockDatabase], OpenBlock | None],
    ) -> None:
        self._meter = meter
        self._tier = tier
        self._counters = counters
        self._load = load
        self._recovered: str | None = None

    def store_all(self, jobs: Sequence[Job], database: BlockDatabase) -> None:
        """Store blocks, as many together as the limit allows.

        Raises:
            CacheError: The database or the disk fails, or is full.
            OSError: So does the disk.
        """
        room = self._meter.measure(database)
        together = eviction.batch_count(room.limit)
        for start in range(0, len(jobs), together):
            self._store_together(jobs[start : start + together], room, database)

    def _store_together(self, jobs: Sequence[Job], room: Room, database: BlockDatabase) -> None:
        for left in reversed(range(_TRIES)):
            if self._store_once(jobs, room, database, is_last=not left):
                break
        for job in jobs:
            job.is_done = True

    def _store_once(
        self, jobs: Sequence[Job], room: Room, database: BlockDatabase, *, is_last: bool
    ) -> bool:
        """Store blocks; return False if another process has put one of them meanwhile."""
        blocks: list[tuple[str, BlockFile, str]] = []
        before: dict[str, str | None] = {}
        for job in jobs:
            previous = database.filename_of(job.key.short)
            value = self._merged(job, previous is not None, database)
            if value is not None:
                blocks.append((job.key.short, value, job.file.entry))
                before[job.key.short] = previous
        if not blocks:
            return True
        with self._slots(database, room).hold(_SLOT_TIMEOUT_S) as slot:
            if not self._write(blocks, before, is_last, slot, room, database):
                return False
        self._tier.drop([key for key, _, _ in blocks])
        self._counters.add("blocks_stored", len(blocks))
        return True

    def _write(
        self,
        blocks: Sequence[tuple[str, BlockFile, str]],
        before: Mapping[str, str | None],
        is_last: bool,
        slot: Slot,
        room: Room,
        database: BlockDatabase,
    ) -> bool:
        """Make room and write; make more room, once, if the disk turns out to be full.

        Returns:
            False if one has another file than before by now, and this isn't the last try.
        """
        filenames = [value.filename for _, value, _ in blocks]
        filenames += [name for name in before.values() if name]
        expected = None if is_last else before
        needed = sum(eviction.stored_size(value.size) for _, value, _ in blocks)
        self._make_room(database, room, needed)
        try:
            return self._write_noted(blocks, expected, filenames, slot, database)
        except OSError as exc:
            if not is_full(exc):
                raise
            database.close_thread()  # its transaction may still be open
            self._make_room(database, room, needed, is_full=True)
            return self._write_noted(blocks, expected, filenames, slot, database)

    def _write_noted(
        self,
        blocks: Sequence[tuple[str, BlockFile, str]],
        before: Mapping[str, str | None] | None,
        filenames: Sequence[str],
        slot: Slot,
        database: BlockDatabase,
    ) -> bool:
        slot.note(blocks[0][0], filenames)
        with translated():
            is_written = database.put_blocks(blocks, before)
        slot.wipe()
        return is_written

    def _merged(self, job: Job, exists: bool, database: BlockDatabase) -> BlockFile | None:
        """Return what is to be stored of a block; None if another process was faster."""
        old = self._load(job.key, database) if exists else None
        if old is None:
            return _block_file(job.key, job.file, job.pieces)
        if self._has_all(old, job.pieces):
            return None
        return _block_file(job.key, job.file, {**self._pieces_of(old), **job.pieces})

    def _has_all(self, old: OpenBlock, fresh: Mapping[int, StoredPiece]) -> bool:
        """Tell whether the very same pieces are stored; another process was faster."""
        return all(old.header.checksums[place] == piece.checksum for place, piece in fresh.items())

    def _pieces_of(self, old: OpenBlock) -> dict[int, StoredPiece]:
        """Read what is stored already; a damaged piece is left out."""
        pieces = {}
        for place in range(PIECES_PER_BLOCK):
            if old.places >> place & 1:
                start = place * PIECE_SIZE
                try:
                    data = old.read(start, start + old.header.size_at(place))
                except CorruptBlockError:
                    continue
                pieces[place] = StoredPiece(data, old.header.checksums[place])
        return pieces

    def _slots(self, database: BlockDatabase, room: Room) -> WriteSlots:
        count = eviction.slot_count(room.limit)
        slots = WriteSlots(database.directory, count, database.recover)
        if self._recovered != database.directory:
            slots.recover_all()
            self._recovered = database.directory
        return slots

    def _make_room(
        self, database: BlockDatabase, room: Room, size: int, *, is_full: bool = False
    ) -> None:
        """Evict until `size` bytes fit under the limit and onto the disk.

        Raises:
            FullDiskError: They don't, though nothing is left to be evicted.
        """
        used = database.used()
        allowed = self._meter.allowed(used)
        if is_full:
            allowed = min(allowed, self._meter.allowed_when_full(used, size))
        capacity = min(eviction.capacity(room.limit, room.overhead), allowed)
        is_stuck = False
        for _ in range(_TRIES):
            evicted, is_stuck = database.make_room(size, capacity)
            self._tier.drop(evicted)
            self._counters.add("blocks_evicted", len(evicted))
            # Others may have taken the room meanwhile. Where they do so again and again, it is
            # there all the same: what is about to be written has a place beyond the capacity.
            if not evicted or not size:
                break
        if allowed < size:
            raise FullDiskError(self._meter.why_full())
        if size and is_stuck:
            # Pinned are fewer than fit; but the limit may be another by now, or the disk full.
            raise FullDiskError("what is pinned leaves no room; `empiarfs unpin` gives it back")

    def give_back(self, database: BlockDatabase) -> None:
        """Evict what others have taken of the disk meanwhile."""
        if self._meter.spare() < 0:
            self._make_room(database, self._meter.measure(database), 0)


def _block_file(key: BlockKey, file: RemoteFile, pieces: Mapping[int, StoredPiece]) -> BlockFile:
    checksums = {place: piece.checksum for place, piece in pieces.items()}
    header = make_header(encode_name(file.name_key), key.index, file.size, checksums)
    data = [pieces[place].data for place in sorted(pieces)]
    size = header.stored_size
    pool = eviction.pool_of(key.index, file.size, size)
    return BlockFile(new_filename(key.short), [encode_header(header), *data], size, pool)
