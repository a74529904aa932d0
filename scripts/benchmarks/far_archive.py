"""What is served to clients behind a slow link, beside the big movie.

Most of it are holes, since nothing depends on what the bytes are; but each file has marks of
its own at each 64 KiB, so that bytes of another place or another file are told apart.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy
from numpy.typing import NDArray

from tests.support import tree

STACK = "10017/data/stack.mrcs"
HEADERS = "10028/data/micrographs"
SMALL_FILES = "10028/data/particles"
LISTED = "10326/data"
STREAMS = "10391/data"

MRC_HEADER = 1_024
FRAME_SIDE = 2_048
FRAME = FRAME_SIDE * FRAME_SIDE
SMALL_FILE = 65_000

_FRAMES = 476
_MICROGRAPH_FRAMES, _MICROGRAPH_SIDE = 8, 2_500
_LISTED_SIZE = 569_560_224
_MARK_EVERY = 65_536
_LABEL = 224  # where the text labels of an MRC header begin


@dataclass(frozen=True, slots=True)
class FarScale:
    """How much of it there is.

    Attributes:
        frames: Of the stack, 4 MiB each.
        headers: Files of 50 MB, of which the headers are read.
        small_files: Files that are read whole.
        listed: Files in the directory that is listed.
        streams: Files that are read at once, `stream` bytes each.
        stream: Bytes of each of these.
    """

    frames: int = _FRAMES
    headers: int = 200
    small_files: int = 500
    listed: int = 2_000
    streams: int = 4
    stream: int = 200_000_000

    def quick(self) -> FarScale:
        """Return a tenth of it."""
        return FarScale(
            self.frames // 10,
            self.headers // 10,
            self.small_files // 10,
            self.listed // 10,
            self.streams,
            self.stream // 10,
        )


def make_far(root: Path, scale: FarScale) -> dict[str, int]:
    """Make the files; return what `ls -l` must say of the listed ones, by name."""
    _make_stack(root / STACK, scale.frames, FRAME_SIDE, label=b"stack")
    for number in range(scale.headers):
        path = root / HEADERS / f"FoilHole_{number:04d}_fractions.mrc"
        label = b"micrograph %d" % number
        _make_stack(path, _MICROGRAPH_FRAMES, _MICROGRAPH_SIDE, label=label)
    for number in range(scale.small_files):
        name = f"particles_{number:04d}.star"
        tree.write_file(root / SMALL_FILES / name, tree.contents(name.encode(), SMALL_FILE))
    for number in range(scale.streams):
        path = root / STREAMS / f"movie_{number}.tif"
        _make_marked(path, scale.stream, b"movie %d" % number)
    return _make_listed(root / LISTED, scale.listed)


def _make_stack(path: Path, frames: int, side: int, *, label: bytes) -> None:
    _make_marked(path, MRC_HEADER + frames * side * side, label)
    with path.open("r+b") as file:
        file.write(mrc_header(path, frames, numpy.zeros((1, side, side), numpy.int8)))
        file.seek(_LABEL)
        file.write(label.ljust(80))


def mrc_header(path: Path, frames: int, image: NDArray[Any]) -> bytes:
    """Return what mrcfile writes at the head of a stack of such images, by way of a file."""
    small = path.with_suffix(".header")
    with mrcfile.new(small) as mrc:
        mrc.set_data(image)
        mrc.set_image_stack()
        mrc.header.nz = mrc.header.mz = frames
    header = small.read_bytes()[:MRC_HEADER]
    small.unlink()
    return header


def _make_marked(path: Path, size: int, label: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
        for place in range(0, size, _MARK_EVERY):
            mark = b"%s at %d" % (label, place)
            os.pwrite(file.fileno(), mark[: size - place], place)


def _make_listed(directory: Path, count: int) -> dict[str, int]:
    directory.mkdir(parents=True)
    sizes = {f"movie_{number:05d}.tif": _LISTED_SIZE + number for number in range(count)}
    for name, size in sizes.items():
        with (directory / name).open("wb") as file:
            file.truncate(size)
    return sizes
