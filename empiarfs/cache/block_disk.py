# mypy: disallow-subclassing-any=False
"""The files of blocks, as diskcache writes and removes them for us, by a `Disk` of our own.

What diskcache would do otherwise, and why it may not:

* Values and keys that aren't plain are pickled, and unpickling a tampered cache runs code:
  all but our own values and keys are refused, both ways.
* A file goes into one of 65,536 folders, 256 MiB of them on ext4: ours are 256, and stay.

Threading: no state of its own.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import diskcache

from empiarfs.cache import eviction
from empiarfs.cache.block_file import write_block_file
from empiarfs.cache.eviction import Pool
from empiarfs.core.block_format import ReadableBuffer
from empiarfs.errors import CorruptBlockError

_MODE_FILE = 2  # diskcache's number for "the value is a file of bytes"
_FILENAME = re.compile(r"[0-9a-f]{2}/([0-9a-f]{32}\.[0-9a-f]{1,16})-[0-9a-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class BlockFile:
    """What is given to diskcache as a value: a file to be written.

    Attributes:
        filename: Its name, by `new_filename`.
        buffers: Its bytes.
        size: Their number.
        pool: Which share of the cache the block belongs to.
    """

    filename: str
    buffers: Sequence[ReadableBuffer]
    size: int
    pool: Pool


def new_filename(key: str) -> str:
    """Return a name for a new file of the block `key`, relative to the generation's folder.

    The key is part of it, so that the sweep can look up whether a file has a row.
    """
    token = os.urandom(7).hex()
    return f"{token[:2]}/{key}-{token[2:]}"


def key_of(filename: str) -> str | None:
    """Return the key of the block whose file has that name; None if it isn't a block's."""
    match = _FILENAME.match(filename)
    return match[1] if match else None


class BlockDisk(diskcache.Disk):
    """Writes block files for diskcache, and refuses everything else."""

    def put(self, key: object) -> tuple[str, bool]:
        """Return what stands for the key in the database: itself."""
        if type(key) is not str:
            raise TypeError(f"a key must be a str, not {key!r}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """Return the key for what stands in the database."""
        if type(key) is not str or not raw:
            raise CorruptBlockError(f"a key that we didn't write: {key!r:.100}")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, str, int]:
        """Write the file; return its size on disk, the mode, its name and its pool."""
        if not isinstance(value, BlockFile):
            raise TypeError(f"a value must be a BlockFile, not {type(value)}")
        write_block_file(os.path.join(self._directory, value.filename), value.buffers)
        return eviction.stored_size(value.size), _MODE_FILE, value.filename, int(value.pool)

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> str:
        """Return the name of the block's file."""
        if mode != _MODE_FILE or type(filename) is not str or key_of(filename) is None:
            raise CorruptBlockError(f"a row that we didn't write: {mode!r}, {filename!r:.100}")
        return filename

    def remove(self, file_path: object) -> None:
        """Remove a block's file, and nothing else that a row may name; its folder stays."""
        if type(file_path) is str and key_of(file_path) is not None:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._directory, file_path))
