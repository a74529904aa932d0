"""An open file of the archive, for whatever reads Python's files.

A file is one version of one file, from its opening on: if the archive has another one, reads
fail for good, and an open sees the new one. It is read by the daemon of a mount where one runs
(`empiarfs.python.daemon`). Else the handle by which it is read belongs to the parts of this
process (`empiarfs.python.session`); in another process, or after a fork, the first read opens it
anew, and fails if it isn't the same version.

It has no buffer of its own: each read of a few bytes asks the pieces in memory, some 20 µs.
Where a program reads many small things in a row, `io.BufferedReader(file)` is faster.

Threading: safe from any thread. Threads that read with one position get different bytes each;
`pread` has none.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from empiarfs.core import paths
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import FileChangedError
from empiarfs.python.hints import hint
from empiarfs.python.places import located
from empiarfs.python.session import Live, Session

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# One read of the parts below. What is read at once is held twice, and read ahead.
_STEP = 4 * 1024 * 1024


class ArchiveFile(io.RawIOBase):
    """An open file; see the module. Made by `empiarfs.open`.

    Attributes:
        path: Below the archive's root, such as `10934/data/x.mrc`.
        size: Bytes, exact.
        url: Where the archive has it.
        version: Which version it is.
        session: By which settings it is read.
    """

    def __init__(self, session: Session, file: RemoteFile, position: int = 0) -> None:
        self.path = file.path
        self.size = file.size
        self.url = file.archive + paths.url_path(file.path)
        self.version = file.version
        self.session = session
        self._file = file
        self._position = position  # guarded by _guard()
        self._opened: tuple[Live, int] | None = None  # set under _guard()
        self._lock, self._lock_of = threading.Lock(), os.getpid()

    # -- what files have -------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The path, as files have it by this name."""
        return self.path

    @property
    def mode(self) -> str:
        """How it was opened: always "rb"."""
        return "rb"

    def __repr__(self) -> str:
        return f"<empiarfs.ArchiveFile {self.path!r}{', closed' * self.closed}>"

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read anywhere."""
        return True

    def tell(self) -> int:
        """Return the offset of the next read, in bytes."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the next read to an offset in bytes, and return it."""
        self._check_open()
        with self._guard():
            bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}
            if whence not in bases:
                raise ValueError(f"whence is {whence}, and has to be 0, 1 or 2")
            if bases[whence] + offset < 0:
                raise ValueError(f"there is nothing at {bases[whence] + offset}")
            self._position = bases[whence] + offset
            return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end; all up to there by default."""
        self._check_open()
        start, stop = self._advance(self.size if size is None or size < 0 else size)
        try:
            return self.pread(stop - start, start)
        except BaseException:
            self._go_back(start, stop)
            raise

    def readall(self) -> bytes:
        """Return all bytes up to the end."""
        return self.read()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, and return how many bytes that were; fewer only at the end."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        start, stop = self._advance(len(view))
        try:
            return self._fill(view, start, stop)
        except BaseException:
            self._go_back(start, stop)
            raise

    def pread(self, size: int, offset: int) -> bytes:
        """Return the bytes at an offset, and leave the position as it is.

        Args:
            size: How many; there are fewer only at the end of the file.
            offset: Bytes from the start of the file.

        Raises:
            OSError: They can't be had, or the archive has another version of the file (ESTALE).
        """
        self._check_open()
        if size < 0 or offset < 0:
            raise ValueError(f"{size} bytes at {offset} can't be read")
        return b"".join(self._parts(offset, min(offset + size, self.size)))

    def holds(self, stop: int) -> bool:
        """Tell whether it has at least so many bytes."""
        return stop <= self.size

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each range; they are fetched side by side, and nothing else is.

        Args:
            ranges: Offset and size of each, in bytes; what lies past the end is left out.

        Raises:
            OSError: As `pread`.
        """
        self._check_open()
        wanted = [ByteRange(offset, offset + size).clamp(self.size) for offset, size in ranges]
        self._announce(wanted)
        for each in wanted:
            yield b"".join(self._parts(each.start, each.stop, ahead=False))

    def read_into(self, wanted: Sequence[tuple[int, memoryview]]) -> None:
        """Fill memory with what is at offsets; like `read_ranges`, and without copies.

        Args:
            wanted: For each range the offset of its first byte, and as many writable bytes.

        Raises:
            ValueError: The file ends before; nothing was read.
            OSError: As `pread`.
        """
        self._check_open()
        ranges = [ByteRange(offset, offset + len(view)) for offset, view in wanted]
        if any(not self.holds(each.stop) for each in ranges):
            raise ValueError(f"{self.path} ends at {self.size}")
        self._announce(ranges)
        for each, (_, view) in zip(ranges, wanted, strict=True):
            if self._fill(view, each.start, each.stop, ahead=False) != len(view):
                raise ValueError(f"{self.path} gave too few bytes at {each.start}")

    def foresee(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Say which ranges, by offset and size, will be read soon; see `empiarfs.prefetch`."""
        self._check_open()
        wanted = [ByteRange(offset, offset + size) for offset, size in ranges]
        hint(self.session, [(self.path, each) for each in wanted])

    def close(self) -> None:
        """Let go of it; reads fail from now on."""
        if not self.closed:
            super().close()
            self._forget()
            opened = self._opened
            if opened is not None and not opened[0].is_closed:
                opened[0].release_forgotten()

    def __del__(self) -> None:
        # It may be the collector of garbage that calls, in any thread, under any lock.
        if getattr(self, "_opened", None) is not None and not self.closed:
            self._forget()

    # -- pickling, and other processes -----------------------------------------------------

    def __reduce__(self) -> tuple[object, ...]:
        self._check_open()
        version = (self.version.size, self.version.modified_s, self.version.etag)
        state = (self.session, self._file.archive, self.path, version, self._position)
        return _revived, state

    def _guard(self) -> threading.Lock:
        """Return the lock of this process: one that was held at a fork is never released."""
        if self._lock_of != os.getpid():
            self._lock, self._lock_of = threading.Lock(), os.getpid()
        return self._lock

    # -- bytes -----------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _advance(self, size: int) -> tuple[int, int]:
        """Take the next `size` bytes for the caller; return their range."""
        with self._guard():
            start = self._position
            stop = max(start, min(start + size, self.size))
            self._position = stop
        return start, stop

    def _go_back(self, start: int, stop: int) -> None:
        with self._guard():
            # Unless another thread has read on.
            if self._position == stop:
                self._position = start

    def _announce(self, wanted: Sequence[ByteRange]) -> None:
        """Have ranges fetched side by side that are going to be read."""
        # A single one that is small is fetched by the read itself.
        if len(wanted) > 1 or sum(map(len, wanted)) > _STEP:
            hint(self.session, [(self.path, each) for each in wanted])

    def _fill(self, view: memoryview, start: int, stop: int, *, ahead: bool = True) -> int:
        """Fill the memory with bytes; return how many that were."""
        done = 0
        for data in self._parts(start, stop, ahead=ahead):
            view[done : done + len(data)] = data
            done += len(data)
        return done

    def _parts(self, start: int, stop: int, *, ahead: bool = True) -> Iterator[bytes]:
        for offset in range(start, stop, _STEP):
            size = min(_STEP, stop - offset)
            yield self.session.ask(self.path, partial(self._read, offset, size, ahead))

    def _read(self, offset: int, size: int, ahead: bool, live: Live) -> bytes:
        patience = live.reading()
        data = live.daemon.read(self._file, offset, size, patience, ahead=ahead)
        if data is not None:
            live.parts.counters.add("read_bytes", len(data))
            return data
        files, handle = live.parts.files, self._handle(live)
        return files.read(handle, offset, size, patience, ahead=ahead)

    def _handle(self, live: Live) -> int:
        opened = self._opened
        if opened is not None and opened[0] is live:
            return opened[1]
        files = live.parts.files
        handle = files.open(self.path, live.looking()).handle
        try:
            if files.file_of_handle(handle) != self._file:
                raise FileChangedError("it has changed since it was opened", url=self.url)
            with self._guard():
                opened = self._opened
                if opened is None or opened[0] is not live:
                    self._opened = (live, handle)
                    return handle
        except BaseException:
            files.release(handle)
            raise
        files.release(handle)  # another thread was faster
        return opened[1]

    def _forget(self) -> None:
        opened = self._opened
        if opened is not None:
            opened[0].forgotten.append(opened[1])


def open(file: str | os.PathLike[str]) -> ArchiveFile:  # noqa: A001 # as io.open, gzip.open
    """Open a file of the archive, to be read as bytes.

    Args:
        file: Such as `10934/data/x.mrc`, its URL, or its path in a mount; see docs/python.md.

    Raises:
        OSError: It isn't there (FileNotFoundError), or can't be had.
        ConfigError: It names nothing that could be in the archive.
    """
    session, path = located(file)
    return opened_file(session, path)


def opened_file(session: Session, path: str) -> ArchiveFile:
    """Open a file at a path below the archive's root; see `open`."""

    def ask(live: Live) -> ArchiveFile:
        patience = live.looking()
        file = live.daemon.open(path, patience)
        if file is not None:
            return ArchiveFile(session, file)
        files = live.parts.files
        handle = files.open(path, patience).handle
        found = ArchiveFile(session, files.file_of_handle(handle))
        found._opened = (live, handle)
        return found

    return session.ask(path, ask)


def _revived(
    session: Session,
    archive: str,
    path: str,
    version: tuple[int, int | None, str | None],
    position: int,
) -> ArchiveFile:
    return ArchiveFile(session, RemoteFile(archive, path, FileVersion(*version)), position)
