"""What the benchmarks serve: a big movie, a directory of many files, and a small one.

Everything is deterministic. The movie's bytes are counts, as a direct electron detector
makes them, all different and none of them a hole; where asked for, there is a file of random
bytes beside it. The many files are holes of the size that EMPIAR's real case of a big
directory has (10511), so that nobody can tell their exact sizes from a listing. Apache
serves it all, as the tests' one does.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import xxhash

from scripts.benchmarks.far_archive import FarScale, make_far
from scripts.benchmarks.images_archive import ImagesScale, make_images
from tests.support import tree
from tests.support.apache import ApacheServer

MOVIE = "10934/data/movie.mrcs"
NOISE = "10935/data/noise.mrcs"
MANY = "10511/data"
SMALL = "10028/data"

_MANY_SIZE = 569_560_224
_SMALL_COUNT = 10
# How many counts a pixel of a movie's frame has in the mean; typical of a real one.
_COUNTS_A_PIXEL = 1.0
_PIECE = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is.

    Attributes:
        movie_size: Bytes of the big file.
        many: Files in the big directory.
        far: How much is served to those behind a slow link.
        images: How much is served to those who read images in Python.
        noise_size: Bytes of the file of random bytes, where one is served.
        rest_s: How long a client is left alone before what it keeps in memory is looked at.
    """

    movie_size: int
    many: int
    far: FarScale
    images: ImagesScale = field(default_factory=ImagesScale)
    noise_size: int = 1_000_000_000
    rest_s: float = 60.0


FULL = Scale(movie_size=2_000_000_000, many=20_000, far=FarScale())
QUICK = Scale(
    movie_size=200_000_000,
    many=2_000,
    far=FarScale().quick(),
    images=ImagesScale().quick(),
    noise_size=100_000_000,
    rest_s=5.0,
)


@dataclass(frozen=True, slots=True)
class ServedArchive:
    """What is served, and what a client must make of it.

    Attributes:
        server: The running Apache.
        scale: How much there is.
        digests: The xxh3 of the bytes of big files, in hexadecimal, by path.
        sizes: What `ls -l` must say of the many files, by name.
        listed: The same of those that are listed over a slow link; empty without one.
    """

    server: ApacheServer
    scale: Scale
    digests: dict[str, str]
    sizes: dict[str, int]
    listed: dict[str, int]

    def warm_up(self, path: str = MOVIE) -> None:
        """Read the bytes of a big file, so that no client waits for this machine's disk."""
        buffer = bytearray(2**20)
        with (self.server.root / path).open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


@contextmanager
def served(
    scale: Scale,
    *,
    mounted: bool = True,
    far: bool = False,
    noise: bool = False,
    images: bool = False,
) -> Iterator[ServedArchive]:
    """Make the archive and serve it; everything is removed at the end.

    Args:
        scale: How much of it.
        mounted: Make what is read by mounts: the big movie, and the many files.
        far: Make what is read over slow links, too.
        noise: Make the file of random bytes, too.
        images: Make what is read in Python, too.

    Raises:
        OSError: The disk hasn't room for the movie and a copy of it in a client's cache.
    """
    with tree.temporary_root() as root:
        needed = 3 * scale.movie_size * mounted + 2 * scale.noise_size * noise
        _check_room(root, needed + 3 * scale.images.written * images)
        digests, sizes = {}, {}
        if mounted:
            digests[MOVIE] = _make_movie(root / MOVIE, scale.movie_size, _counts_by_byte())
            sizes = _make_many(root / MANY, scale.many)
        if noise:
            digests[NOISE] = _make_movie(root / NOISE, scale.noise_size, bytes(range(256)))
        if images:
            make_images(root, scale.images)
        for number in range(_SMALL_COUNT):
            name = f"particles_{number:02d}.star"
            tree.write_file(root / SMALL / name, tree.contents(name.encode(), 5_000))
        listed = make_far(root, scale.far) if far else {}
        tree.set_times(root)
        os.sync()
        with ApacheServer(root) as server:
            yield ServedArchive(server, scale, digests, sizes, listed)


def _check_room(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise OSError(
            f"{needed / 1e9:.1f} GB are needed below {directory.parent} and {free / 1e9:.1f} GB "
            "are free; TMPDIR names another place"
        )


def _make_movie(path: Path, size: int, values: bytes) -> str:
    """Write `size` bytes, evenly chosen of 256 `values`, and return their digest."""
    path.parent.mkdir(parents=True)
    digest = xxhash.xxh3_128()
    with path.open("wb") as file:
        for number, start in enumerate(range(0, size, _PIECE)):
            noise = numpy.random.default_rng([size, number]).bytes(min(_PIECE, size - start))
            piece = noise.translate(values)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _counts_by_byte() -> bytes:
    """Return the table that turns uniform bytes into counts with a Poisson distribution."""
    table, count = bytearray(), 0
    cumulated = probability = math.exp(-_COUNTS_A_PIXEL)
    for byte in range(256):
        while (byte + 0.5) / 256 > cumulated:
            count += 1
            probability *= _COUNTS_A_PIXEL / count
            cumulated += probability
        table.append(count)
    return bytes(table)


def _make_many(directory: Path, count: int) -> dict[str, int]:
    directory.mkdir(parents=True)
    sizes = {f"movie_{number:05d}.tif": _MANY_SIZE + number for number in range(count)}
    for name, size in sizes.items():
        with (directory / name).open("wb") as file:
            file.truncate(size)
    return sizes
