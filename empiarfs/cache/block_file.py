"""One stored block as a file: written at one go, read piece by piece, trusted never.

The format is `empiarfs.core.block_format`'s; here are the system calls. A block is read
with `pread` only: an mmap of a file that another process truncates, or whose disk fails,
ends the process by SIGBUS. Opening may hang with the disk, reading and closing don't where
`empiarfs.cache.careful` does them.

Threading: an `OpenBlock` may be read by several threads at once. Its descriptor is closed
when nobody refers to it any more, so that a block which is evicted while it is read stays
readable.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Sequence

from empiarfs.cache.careful import DirectReads, Reads
from empiarfs.cache.store import check_bounds
from empiarfs.core.block_format import (
    HEADER_STEP,
    BlockHeader,
    ReadableBuffer,
    header_size,
    parse_header,
)
from empiarfs.core.blocks import PIECE_SIZE, pieces_of_block
from empiarfs.errors import CacheError, CorruptBlockError

# The kernel takes at most 1,024 buffers at once (IOV_MAX); a block has 17.
_BUFFERS_AT_ONCE = 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Not O_NOATIME: it fails for files of another owner; relatime costs a write a day.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def write_block_file(path: str, buffers: Sequence[ReadableBuffer]) -> None:
    """Write a new file, readable by its owner only; leave nothing behind on any error.

    Raises:
        OSError: As the system says; also if there is a file of that name.
    """
    descriptor = _create(path)
    try:
        try:
            _write_all(descriptor, [memoryview(buffer).cast("B") for buffer in buffers])
        finally:
            os.close(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _create(path: str) -> int:
    try:
        return os.open(path, _NEW, 0o600)
    except FileNotFoundError:
        # The folder is made when it is first needed; others may be making it as well. Only
        # one level: where the generation folder is gone, it is gone on purpose.
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(path), 0o700)
        return os.open(path, _NEW, 0o600)


def _write_all(descriptor: int, views: list[memoryview]) -> None:
    """Write the views; usually by one system call, but it may write less than all."""
    while views:
        written = os.writev(descriptor, views[:_BUFFERS_AT_ONCE])
        while views and written >= views[0].nbytes:
            written -= views.pop(0).nbytes
        if written:
            views[0] = views[0][written:]


def _open(path: str) -> int:
    try:
        return os.open(path, _READ)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise CorruptBlockError("a symbolic link") from exc
        raise


class OpenBlock:
    """A stored block, opened for reading; its header was found consistent.

    Args:
        path: The file.
        damaged: Told, with this block and the reason, when a read finds it damaged or
            unreadable.
        reads: Reads and closes the file.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptBlockError: It isn't a stored block, or is a damaged one.
        OSError: It can't be read.
    """

    __slots__ = (
        "_damaged",
        "_descriptor",
        "_reads",
        "header",
        "is_whole",
        "opened_s",
        "path",
        "places",
    )

    def __init__(
        self,
        path: str,
        damaged: Callable[[OpenBlock, CacheError | OSError], None],
        reads: Reads | None = None,
    ) -> None:
        self._descriptor = -1
        self._reads: Reads = reads or DirectReads()
        self.path = path
        self._damaged = damaged
        self.opened_s = 0.0  # set by whoever keeps it
        self._descriptor = _open(path)
        self.header = self._parse()
        self.places = self.header.places
        pieces = pieces_of_block(self.header.index, self.header.file_size)
        self.is_whole = self.places + 1 == 1 << len(pieces)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            self._reads.close(self._descriptor)

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes `[start, stop)` of the block; see `StoredBlock.read`."""
        if start == stop:
            return b""
        first, last = check_bounds(self.places, start, stop)
        try:
            data = self._pieces(first, last)
        except (CorruptBlockError, OSError) as exc:
            self._damaged(self, exc)
            raise CorruptBlockError(f"{self.path}: {exc}") from exc
        lead = first * PIECE_SIZE
        if start == lead and stop - lead == len(data):
            return data  # not copied
        if stop - lead > len(data):
            raise ValueError(f"[{start}, {stop}) goes past the end of the file")
        return data[start - lead : stop - lead]

    def _pieces(self, first: int, last: int) -> bytes:
        """Return pieces at adjacent places, which are adjacent in the file as well."""
        header = self.header
        begin = header.offsets[first]
        size = header.offsets[last] + header.size_at(last) - begin
        data = self._reads.pread(self._descriptor, size, begin)
        header.verify(first, last, data)
        return data

    def _parse(self) -> BlockHeader:
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CorruptBlockError("not a regular file")
        start = os.pread(self._descriptor, HEADER_STEP, 0)
        size = header_size(start)
        if size > HEADER_STEP:
            start += os.pread(self._descriptor, size - HEADER_STEP, HEADER_STEP)
        return parse_header(start, status.st_size)
