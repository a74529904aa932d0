"""What programs do with files, as functions; and a process that does it where it may hang.

Each function works on any tree: a test calls it on a local copy itself, and through `Actor`
on a mount, and compares what comes back. `Actor` is a process of its own with a deadline for
each call: a mount that hangs costs that process, and not the test.

    with Actor() as actor:
        descriptor = actor.do("open_file", "/mnt/10002/data/a.mrc")
        actor.do("pread", descriptor, 100, 0)

Not safe for use from several threads.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).resolve().parents[2]
_DEADLINE_S = 150.0
_PAGE = mmap.PAGESIZE

Attributes = tuple[bool, int, int]


class ActorError(Exception):
    """The actor didn't answer in time, or died."""


# Python maps no more than the file has when it asks.
_NOT_THAT_LONG = 3


def open_file(path: str) -> int:
    """Open for reading; return the descriptor."""
    return os.open(path, os.O_RDONLY)


def close(descriptor: int) -> None:
    """Close."""
    os.close(descriptor)


def read(descriptor: int, size: int) -> bytes:
    """Read where the file's position is, and move it."""
    return os.read(descriptor, size)


def pread(descriptor: int, size: int, offset: int) -> bytes:
    """Read somewhere."""
    return os.pread(descriptor, size, offset)


def seek(descriptor: int, offset: int, whence: int) -> int:
    """Move the file's position; return the new one."""
    return os.lseek(descriptor, offset, whence)


def forget_pages(descriptor: int) -> None:
    """Make the kernel forget what it holds of the file."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def file_attributes(descriptor: int) -> Attributes:
    """Return what `fstat` says: whether it is a directory, size, seconds of its time."""
    return _attributes(os.fstat(descriptor))


def attributes(path: str) -> Attributes:
    """Return what `stat` says."""
    return _attributes(os.stat(path))


def _attributes(found: os.stat_result) -> Attributes:
    return bool(found.st_mode & 0o040000), found.st_size, int(found.st_mtime)


def pread_together(wanted: Sequence[tuple[int, int, int]]) -> list[bytes | int]:
    """Read at several places at once: bytes or an errno for each."""
    results: list[bytes | int] = [0] * len(wanted)

    def one(number: int) -> None:
        descriptor, size, offset = wanted[number]
        try:
            results[number] = os.pread(descriptor, size, offset)
        except OSError as exc:
            results[number] = exc.errno or -1

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(wanted))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def mapped(descriptor: int, size: int, offset: int) -> bytes | str:
    """Return bytes of a mapping, the zeros behind the file's end included; or "SIGBUS".

    Done by a child, which a page that can't be had ends.
    """
    first = offset - offset % _PAGE
    end = os.fstat(descriptor).st_size
    stop = min(offset + size, -(-end // _PAGE) * _PAGE)
    if stop <= offset:
        return b""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        # However it ends, it must not go on as a second copy of the tests.
        try:
            signal.signal(signal.SIGBUS, signal.SIG_DFL)
            with mmap.mmap(descriptor, stop - first, prot=mmap.PROT_READ, offset=first) as memory:
                data = memory[offset - first : stop - first]
            with open(writing, "wb") as pipe:
                pipe.write(data)
            os._exit(0)
        except ValueError:
            os._exit(_NOT_THAT_LONG)
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as pipe:
        data = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == _NOT_THAT_LONG:
        return "ValueError"
    assert status <= 0, status
    return signal.Signals(-status).name if status < 0 else data


class _Dirent(ctypes.Structure):
    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_ushort),
        ("d_type", ctypes.c_ubyte),
        ("d_name", ctypes.c_char * 256),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_libc.opendir.restype = ctypes.c_void_p
_libc.opendir.argtypes = (ctypes.c_char_p,)
_libc.readdir.restype = ctypes.POINTER(_Dirent)
_libc.readdir.argtypes = (ctypes.c_void_p,)
_libc.telldir.restype = ctypes.c_long
_libc.telldir.argtypes = (ctypes.c_void_p,)
_libc.seekdir.argtypes = (ctypes.c_void_p, ctypes.c_long)
_libc.seekdir.restype = None
_libc.rewinddir.argtypes = (ctypes.c_void_p,)
_libc.rewinddir.restype = None
_libc.closedir.argtypes = (ctypes.c_void_p,)


def list_and_seek(path: str, places: Sequence[int]) -> list[list[bytes]]:
    """List a directory; then go back to some places and list what follows each.

    Returns:
        All names; what followed each of the places (each counted modulo the number of
        names, and sought out by what `telldir` said there); and all names after rewinding.
    """
    stream = _libc.opendir(os.fsencode(path))
    if not stream:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    try:
        told = [_libc.telldir(stream)]
        names = []
        while (name := _next_name(stream)) is not None:
            names.append(name)
            told.append(_libc.telldir(stream))
        lists = [names]
        for place in places:
            _libc.seekdir(stream, told[place % len(told)])
            lists.append(_rest(stream))
        _libc.rewinddir(stream)
        lists.append(_rest(stream))
        return lists
    finally:
        _libc.closedir(stream)


def _rest(stream: int) -> list[bytes]:
    names = []
    while (name := _next_name(stream)) is not None:
        names.append(name)
    return names


def _next_name(stream: int) -> bytes | None:
    ctypes.set_errno(0)
    entry = _libc.readdir(stream)
    if entry:
        return bytes(entry.contents.d_name)
    number = ctypes.get_errno()
    if number:
        raise OSError(number, os.strerror(number))
    return None


_OPERATIONS = {
    operation.__name__: operation
    for operation in (
        *(open_file, close, read, pread, seek, forget_pages, file_attributes, attributes),
        *(pread_together, mapped, list_and_seek),
    )
}


class Actor:
    """A process that does operations; a context manager."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.operations", str(its.fileno())],
                cwd=_CHECKOUT,
                pass_fds=[its.fileno()],
            )
        self._connection = Connection(ours.detach())

    def __enter__(self) -> Actor:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def do(self, operation: str, *arguments: object) -> Any:
        """Do an operation.

        Raises:
            OSError: It failed so.
            ActorError: It took longer than any may.
        """
        self._connection.send((operation, arguments))
        try:
            if not self._connection.poll(_DEADLINE_S):
                raise ActorError(f"{operation}{arguments} hangs")
            number, value = self._connection.recv()
        except EOFError:
            raise ActorError(f"{operation}{arguments} ended the actor") from None
        if number:
            raise OSError(number, os.strerror(number))
        return value


def _act(connection: Connection) -> None:
    while True:
        try:
            operation, arguments = connection.recv()
        except EOFError:
            return
        try:
            result = (0, _OPERATIONS[operation](*arguments))
        except OSError as exc:
            result = (exc.errno or -1, None)
        connection.send(result)


if __name__ == "__main__":
    _act(Connection(int(sys.argv[1])))
