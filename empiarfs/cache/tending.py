"""What people do with stored blocks by hand: see what is there, check it, remove some of it.

Works beside mounts and commands that use the same blocks: a row is changed in the same way as
by eviction, and who has a block open can read it to its end.

A command may wait, unlike a mount: the disk is used in the caller's thread, and a database
that somebody else keeps locked is asked again for some seconds.

Threading: not safe; one thread uses it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from empiarfs.cache import eviction
from empiarfs.cache.block_file import OpenBlock
from empiarfs.cache.database import BlockDatabase, EntryUsage, StoredRow
from empiarfs.cache.database_errors import translated
from empiarfs.cache.generations import Generations
from empiarfs.cache.limit_file import read_limit
from empiarfs.cache.locks import BusyError
from empiarfs.cache.pins import Pin, pin_of
from empiarfs.core.block_format import HEADER_STEP, file_key_of
from empiarfs.core.blocks import PIECE_SIZE, PIECES_PER_BLOCK
from empiarfs.core.files import RemoteFile
from empiarfs.errors import CacheError, CorruptBlockError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_ROWS = 256
# Others wait for the lock while files are unlinked: some 0.2 ms for each.
_REMOVED_AT_ONCE = 64
_BUSY_S = 15.0


@dataclass(slots=True)
class Checked:
    """What a check of all blocks found so far.

    Attributes:
        blocks: Blocks that were read.
        size: Bytes of the pieces in them.
        damaged: Blocks that were removed, as they were damaged or could not be read.
    """

    blocks: int = 0
    size: int = 0
    damaged: int = 0


@dataclass(slots=True)
class Removed:
    """What was removed so far.

    Attributes:
        blocks: The number of blocks.
        size: Bytes that they took on disk.
        pinned: How many more would have been, were they not pinned.
    """

    blocks: int = 0
    size: int = 0
    pinned: int = 0


class BlockTender:
    """The blocks below one directory, for the time of a `with` block.

    Args:
        directory: Where they are, as `CacheDirectory.blocks_path`.

    Raises:
        CacheError: They are in use by a newer release, or locked for too long.
        OSError: The disk can't be used.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        stored = read_limit(directory)
        self.limit = stored[0] if stored is not None else eviction.MIN_LIMIT
        generation = Generations(directory).open()
        try:
            self._database = _again(lambda: BlockDatabase(generation, self.limit))
        except BaseException:
            generation.close()
            raise

    def __enter__(self) -> BlockTender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close_thread()
        self._database.generation.close()

    def used(self) -> tuple[int, int]:
        """Return the bytes that all of it takes on disk, and the number of blocks."""
        database = self._database
        return _again(lambda: (database.used() + database.overhead(), database.block_count()))

    def entries(self) -> list[EntryUsage]:
        """Return what is stored of each entry, the largest first."""
        return _again(self._database.entries)

    def stored_bytes(self, file: RemoteFile) -> int:
        """Return about how many bytes of a file are stored, to a page for each of its blocks."""
        size, blocks = _again(lambda: self._database.of_file(file.short_key))
        return min(file.size, max(0, size - blocks * HEADER_STEP))

    def pinned(self) -> int:
        """Return the bytes that blocks of pinned files take on disk."""
        return _again(self._database.pinned)

    def pins(self) -> list[Pin]:
        """Return what is pinned, in no order."""
        return _again(self._database.all_pins)

    def pin(self, files: Iterable[RemoteFile]) -> None:
        """Have files never evicted, whether they are stored by now or not.

        Raises:
            TooMuchError: They don't fit beside what is pinned already; nothing was changed.
        """
        pins = [pin_of(file) for file in files]
        most = self.pin_capacity(self.limit)
        _again(lambda: self._database.pin(pins, most))

    def unpin(self, chosen: Callable[[Pin], bool]) -> list[Pin]:
        """Have files be like all others again, and return their pins."""
        return _again(lambda: self._database.unpin(chosen))

    def pin_capacity(self, limit: int) -> int:
        """Return how many bytes pinned files may take under a limit."""
        return eviction.pin_capacity(limit, _again(self._database.overhead))

    def check(self, told: Callable[[Checked], None] = lambda _: None) -> Checked:
        """Read every block, compare every checksum, and remove what is damaged.

        Args:
            told: Called after each block.
        """
        checked = Checked()
        for rows in self._rows():
            for row in rows:
                self._check_one(row, checked)
                told(checked)
        return checked

    def _check_one(self, row: StoredRow, checked: Checked) -> None:
        try:
            checked.size += self._size_of_sound(row)
        except FileNotFoundError:
            # Evicted or replaced meanwhile; or lost, which the next look-up finds out.
            return
        except (CorruptBlockError, OSError) as exc:
            logger.warning("removed a damaged block of %s: %s", row.entry, exc)
            checked.damaged += 1
            _again(lambda: self._database.forget(row.key, row.filename))
        checked.blocks += 1

    def _size_of_sound(self, row: StoredRow) -> int:
        block = self._open(row)
        held = [place for place in range(PIECES_PER_BLOCK) if block.places >> place & 1]
        size = 0
        for place in held:
            start = place * PIECE_SIZE
            size += len(block.read(start, start + block.header.size_at(place)))
        return size

    def _open(self, row: StoredRow) -> OpenBlock:
        block = OpenBlock(self._database.path_of(row.filename), lambda _, __: None)
        file_key, _, index = row.key.partition(".")
        if file_key_of(block.header.name) != file_key or f"{block.header.index:x}" != index:
            raise CorruptBlockError("the block of another file, or another block of this one")
        return block

    def remove(self, chosen: Callable[[StoredRow], bool]) -> Removed:
        """Remove the blocks that are chosen, but for pinned ones."""
        removed = Removed()
        for rows in self._rows():
            found = [row for row in rows if chosen(row)]
            shared = [row for row in found if not row.is_pinned]
            removed.pinned += len(found) - len(shared)
            self._remove(shared, removed)
        return removed

    def remove_below(self, entry: str, prefixes: Sequence[str]) -> Removed:
        """Remove the blocks of one file, or of all files below a directory.

        Args:
            entry: The first component of the path.
            prefixes: URLs without escapes, each of a file or of a directory.
        """

        def lies_there(row: StoredRow) -> bool:
            if row.entry != entry:
                return False
            try:
                name = self._open(row).header.name.decode("utf-8", "surrogateescape")
            except (CorruptBlockError, OSError):
                return False  # nobody would be given it
            url = name.rpartition("@")[0]
            return any(url == each or url.startswith(f"{each}/") for each in prefixes)

        return self.remove(lies_there)

    def shrink(self, limit: int) -> Removed:
        """Evict blocks, as a mount would, until no more than `limit` bytes are taken."""
        removed = Removed()
        before, _ = self.used()
        database = self._database
        capacity = eviction.capacity(limit, database.overhead())
        evicted, _ = _again(lambda: database.make_room(0, capacity))
        removed.blocks = len(evicted)
        removed.size = max(0, before - self.used()[0])
        return removed

    def _rows(self) -> Iterator[list[StoredRow]]:
        # Downwards: a row that moves while others are removed moves down, into a gap.
        last: int | None = None
        while rows := _again(lambda: self._database.stored_before(last, _ROWS)):  # noqa: B023
            yield rows
            last = rows[-1].rowid

    def _remove(self, rows: Sequence[StoredRow], removed: Removed) -> None:
        for start in range(0, len(rows), _REMOVED_AT_ONCE):
            together = rows[start : start + _REMOVED_AT_ONCE]
            _again(lambda: self._database.remove(together))  # noqa: B023
            removed.blocks += len(together)
            removed.size += sum(row.size for row in together)


def _again(work: Callable[[], T]) -> T:
    """Return what `work` returns; try it again while another process has the database."""
    end_s = time.monotonic() + _BUSY_S
    while (done := _tried(work, is_last=time.monotonic() >= end_s)) is None:
        pass
    return done[0]


def _tried(work: Callable[[], T], *, is_last: bool) -> tuple[T] | None:
    try:
        with translated():
            return (work(),)
    except BusyError as exc:
        if is_last:
            raise CacheError(f"another process keeps the cache locked: {exc}") from exc
        return None
