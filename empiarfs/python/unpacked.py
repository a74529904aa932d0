"""Files that were packed by bzip2 or gzip, read unpacked while they come.

    UnpackedFile   the unpacked bytes as a stream: forwards in bounded memory, whatever the
                   sizes; to go back means to unpack from the start once more
    Spool          the same for who reads here and there: what was unpacked is kept for as
                   long as it is open, in memory first and then in a temporary file

Which of the two it is packed by its first bytes tell, and never its name. Neither format says
reliably how long the unpacked bytes are, so that is known only at their end.

Threading: each belongs to one thread at a time.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from empiarfs.python.file import ArchiveFile
from empiarfs.python.file import open as open_file

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_OPENERS: dict[bytes, Callable[[io.BufferedReader], Any]] = {
    b"BZh": bz2.BZ2File,
    b"\x1f\x8b\x08": lambda raw: gzip.GzipFile(fileobj=raw, mode="rb"),
}
_MAGIC_SIZE = 3
# What is asked of the archive at a time, so that reads in a row are seen to be ones.
_BUFFER = 256 * 1024
_STEP = 1024 * 1024
# Small images never touch a disk.
_IN_MEMORY = 64 * 1024 * 1024
# As `min_free`, which is about another disk mostly.
_LEFT_FREE = 0.05


class UnpackedFile(io.RawIOBase):
    """The unpacked bytes of a file; see the module. Made by `empiarfs.unpack`.

    Attributes:
        packed: The file as it is in the archive; it is closed with this one.
    """

    def __init__(self, packed: ArchiveFile, position: int = 0) -> None:
        self.packed = packed
        self._position = position
        # None until the first read, and after a failure, which leaves it in no known state.
        self._stream: Any = None

    @property
    def name(self) -> str:
        """The path of the packed file."""
        return self.packed.path

    @property
    def mode(self) -> str:
        """How it was opened: always "rb"."""
        return "rb"

    def __repr__(self) -> str:
        return f"<empiarfs.UnpackedFile {self.name!r}{', closed' * self.closed}>"

    def __reduce__(self) -> tuple[object, ...]:
        self._check_open()
        return UnpackedFile, (self.packed, self._position)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read anywhere; to go back costs unpacking from the start."""
        return True

    def tell(self) -> int:
        """Return the offset of the next read, in unpacked bytes."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the next read to an offset in unpacked bytes, and return it.

        From the end (`os.SEEK_END`) it takes unpacking all.
        """
        self._check_open()
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise ValueError(f"whence is {whence}, and has to be 0, 1 or 2")
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        if base is None:
            base = self._unpack(lambda stream: stream.seek(0, os.SEEK_END))
        if base + offset < 0:
            raise ValueError(f"there is nothing at {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, and return how many bytes that were; fewer only at the end."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        done = self._unpack(lambda stream: _filled(stream, self._position, view))
        self._position += done
        return done

    def readall(self) -> bytes:
        """Return all bytes up to the end."""
        parts = []
        while part := self.read(_STEP):
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """Let go of it, and of the packed file."""
        if not self.closed:
            super().close()
            self._stream = None
            self.packed.close()

    def __del__(self) -> None:
        # The packed file may be somebody else's, and is forgotten in a way of its own.
        pass

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _unpack(self, use: Callable[[Any], int]) -> int:
        """Return what `use` makes of the stream.

        Raises:
            OSError: The packed bytes can't be had.
            ValueError: They can't be unpacked.
        """
        try:
            if self._stream is None:
                self._stream = _stream(self.packed)
            return use(self._stream)
        except (EOFError, zlib.error, OSError) as exc:
            self._stream = None
            # Those of the archive have a number, those of the unpackers none.
            if isinstance(exc, OSError) and exc.errno is not None:
                raise
            raise ValueError(f"{self.name}: {exc}") from exc
        except BaseException:
            self._stream = None
            raise


class Spool(io.RawIOBase):
    """Unpacked bytes for who reads here and there; see the module.

    Attributes:
        path: Of the packed file.
    """

    def __init__(self, packed: ArchiveFile) -> None:
        self.path = packed.path
        self._unpacked = UnpackedFile(packed)
        self._kept = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 # see close
        self._kept_size = 0
        self._position = 0

    @property
    def size(self) -> int:
        """How many bytes it has; to know that takes unpacking all."""
        while self.holds(self._kept_size + 1):
            pass
        return self._kept_size

    def holds(self, stop: int) -> bool:
        """Tell whether there are at least so many bytes; they are unpacked then."""
        while self._kept_size < stop:
            data = self._unpacked.read(_BUFFER)
            if not data:
                return False
            self._check_room()
            self._kept.seek(self._kept_size)
            self._kept.write(data)
            self._kept_size += len(data)
        return True

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the bytes of each range, given by offset and size."""
        for offset, size in ranges:
            self.holds(offset + size)
            self._kept.seek(offset)
            yield self._kept.read(size)

    def read_into(self, wanted: Sequence[tuple[int, memoryview]]) -> None:
        """Fill memory with what is at offsets; see `ArchiveFile.read_into`."""
        sizes = [(offset, len(view)) for offset, view in wanted]
        for data, (offset, view) in zip(self.read_ranges(sizes), wanted, strict=True):
            if len(data) != len(view):
                raise ValueError(f"{self.path} ends at {offset + len(data)}")
            view[:] = data

    def foresee(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Do nothing: what is packed comes from its start."""

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read anywhere."""
        return True

    def tell(self) -> int:
        """Return the offset of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the next read, and return its offset."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        self._position = max(0, (self.size if base is None else base) + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, and return how many bytes that were; fewer only at the end."""
        view = memoryview(buffer).cast("B")
        [data] = self.read_ranges([(self._position, len(view))])
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Forget what was unpacked; the packed file stays open."""
        if not self.closed:
            super().close()
            self._kept.close()

    def _check_room(self) -> None:
        if self._kept_size < _IN_MEMORY:
            return
        folder = tempfile.gettempdir()
        disk = shutil.disk_usage(folder)
        if disk.free < disk.total * _LEFT_FREE:
            raise OSError(errno.ENOSPC, f"no room to unpack {self.path}", folder)


def unpack(file: str | os.PathLike[str] | ArchiveFile) -> UnpackedFile:
    """Open a file that is packed by bzip2 or gzip, to be read unpacked.

    Args:
        file: As `empiarfs.open` takes it, or what that returned; that is closed with this one.

    Raises:
        OSError: It isn't there, or can't be had.
        ValueError: It isn't packed in that way.
    """
    opened = file if isinstance(file, ArchiveFile) else open_file(file)
    if is_packed(opened.pread(_MAGIC_SIZE, 0)):
        return UnpackedFile(opened)
    if opened is not file:
        opened.close()
    raise ValueError(f"{opened.path}: packed neither by bzip2 nor by gzip")


def plain(file: ArchiveFile) -> io.RawIOBase:
    """Return the bytes of a file from its start, unpacked if it is packed."""
    return UnpackedFile(file) if is_packed(file.pread(_MAGIC_SIZE, 0)) else View(file)


def is_packed(head: bytes) -> bool:
    """Tell whether a file that begins so can be unpacked."""
    return head.startswith(tuple(_OPENERS))


class View(io.RawIOBase):
    """The bytes of a file as they are, with a position of its own; it never closes the file."""

    def __init__(self, file: ArchiveFile) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read anywhere."""
        return True

    def tell(self) -> int:
        """Return the offset of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the next read, and return its offset."""
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}
        self._position = bases[whence] + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, and return how many bytes that were; fewer only at the end."""
        view = memoryview(buffer).cast("B")
        data = self._file.pread(len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)


def _stream(packed: ArchiveFile) -> Any:
    head = packed.pread(_MAGIC_SIZE, 0)
    opener = next(each for magic, each in _OPENERS.items() if head.startswith(magic))
    return opener(io.BufferedReader(View(packed), _BUFFER))


def _filled(stream: Any, position: int, view: memoryview) -> int:
    """Fill the buffer with the bytes at a position; return how many those are."""
    if stream.tell() != position and stream.seek(position) < position:
        return 0  # behind the end
    done = 0
    while done < len(view):
        size = stream.readinto(view[done:])
        if not size:
            break
        done += size
    return done
