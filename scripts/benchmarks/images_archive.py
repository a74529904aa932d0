"""What is served to those who read images in Python: a movie, a stack of particles, movies.

The files are as large as real ones, and holes but for what is read: those parts are random
bytes, so that those of another frame, particle or file are told apart.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy
from numpy.typing import NDArray

from scripts.benchmarks.far_archive import MRC_HEADER, mrc_header

MOVIE_OF_FRAMES = "10940/data/movies/movie.mrcs"
PARTICLES = "10941/data/particles.mrcs"
MOVIES = "10942/data/movies"


@dataclass(frozen=True, slots=True)
class ImagesScale:
    """How much of it there is.

    Attributes:
        rows: Of each frame, in pixels.
        columns: Likewise.
        frames: Of the movie, of two bytes a pixel.
        read: How many of these are read.
        side: Of a particle, in pixels of four bytes.
        particles: In the stack.
        picked: How many of these are read.
        movies: Files of which a sheet is made.
        movie_frames: Frames of each, of one byte a pixel.
    """

    rows: int = 4_092
    columns: int = 5_760
    frames: int = 43
    read: int = 8
    side: int = 160
    particles: int = 97_656
    picked: int = 1_000
    movies: int = 24
    movie_frames: int = 22

    def quick(self) -> ImagesScale:
        """Return a tenth of it."""
        return replace(
            self, rows=self.rows // 10, particles=self.particles // 10, picked=self.picked // 10
        )

    @property
    def frame_size(self) -> int:
        """Bytes of a frame of the movie."""
        return 2 * self.rows * self.columns

    @property
    def particle_size(self) -> int:
        """Bytes of a particle."""
        return 4 * self.side * self.side

    @property
    def written(self) -> int:
        """Bytes of all files that aren't holes."""
        return (
            self.read * self.frame_size
            + self.picked * self.particle_size
            + self.movies * self.rows * self.columns
        )

    def epoch(self, seed: int = 1) -> list[int]:
        """Return which particles are read, in the order of an epoch."""
        picked = random.Random(1).sample(range(self.particles), self.picked)
        random.Random(seed).shuffle(picked)
        return picked

    def frame_place(self, number: int) -> int:
        """Return the offset of a frame of the movie."""
        return MRC_HEADER + number * self.frame_size

    def particle_place(self, number: int) -> int:
        """Return the offset of a particle in the stack."""
        return MRC_HEADER + number * self.particle_size


def make_images(root: Path, scale: ImagesScale) -> None:
    """Make the files."""
    frame = numpy.zeros((1, scale.rows, scale.columns), numpy.uint16)
    with _stack(root / MOVIE_OF_FRAMES, scale.frames, frame) as file:
        for number in range(scale.read):
            _write_noise(file, scale.frame_place(number), scale.frame_size, number)
    particle = numpy.zeros((1, scale.side, scale.side), numpy.float32)
    with _stack(root / PARTICLES, scale.particles, particle) as file:
        for number in scale.epoch():
            _write_noise(file, scale.particle_place(number), scale.particle_size, number)
    for number in range(scale.movies):
        path = root / MOVIES / f"FoilHole_{number:04d}_fractions.mrc"
        with _stack(path, scale.movie_frames, frame.astype(numpy.int8)) as file:
            _write_noise(file, MRC_HEADER, scale.rows * scale.columns, number)


@contextmanager
def _stack(path: Path, frames: int, image: NDArray[Any]) -> Iterator[IO[bytes]]:
    """Make a stack of such images, all of them holes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(mrc_header(path, frames, image))
        file.truncate(MRC_HEADER + frames * image.nbytes)
        yield file


def _write_noise(file: IO[bytes], place: int, size: int, seed: int) -> None:
    file.seek(place)
    file.write(numpy.random.default_rng([size, seed]).bytes(size))
