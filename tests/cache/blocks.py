"""What the cache's tests are made of: files, keys, and bytes that say where they belong."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from random import Random

from empiarfs.core.blocks import (
    PIECES_PER_BLOCK,
    BlockIndex,
    piece_size,
    pieces_of_block,
)
from empiarfs.core.files import BlockKey, FileVersion, RemoteFile

ARCHIVE = "https://archive.test/"
MIB = 1024 * 1024


def make_file(
    path: str = "10002/data/a.mrc", size: int = 8 * MIB, modified_s: int = 1
) -> RemoteFile:
    return RemoteFile(ARCHIVE, path, FileVersion(size, modified_s))


def key_of(file: RemoteFile, index: int = 0) -> BlockKey:
    return BlockKey(file.short_key, BlockIndex(index))


def piece_bytes(file: RemoteFile, piece: int) -> bytes:
    """The bytes of a piece, which are others for every file, version and piece."""
    return Random(f"{file.short_key}/{piece}").randbytes(piece_size(piece, file.size))


def pieces_at(file: RemoteFile, index: int, places: range | None = None) -> dict[int, bytes]:
    """The pieces at these places of a block, or all of them."""
    if places is None:
        places = range(len(pieces_of_block(index, file.size)))
    return {place: piece_bytes(file, index * PIECES_PER_BLOCK + place) for place in places}


def bytes_on_disk(folder: Path) -> int:
    """What a walk over the folder finds, the folders themselves included.

    Others may write meanwhile. What is there at the walk and still there after it was there
    all together at one moment; what has gone would be counted beside what took its place.
    """
    sizes = {os.fspath(folder): os.lstat(folder).st_blocks * 512}
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(root, name)
            with contextlib.suppress(FileNotFoundError):
                sizes[path] = os.lstat(path).st_blocks * 512
    return sum(size for path, size in sizes.items() if os.path.lexists(path))


def block_files(folder: Path) -> list[Path]:
    """All block files below the folder, whether they have rows or not."""
    return sorted(path for path in folder.glob("gen-*/??/*") if path.is_file())
