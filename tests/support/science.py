"""Small files of the kinds that cryo-EM programs read, made with the libraries they use.

Values follow from the name, so that a reader that mixes up bytes or frames is noticed.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from pathlib import Path
from typing import Any

import mrcfile
import numpy
import starfile
import tifffile

MICROGRAPH = "10017/data/micrographs/Falcon_001.mrc"
MOVIE = "10017/data/movies/movie_001.mrcs"
TIFF_MOVIE = "10002/data/movies/movie_001.tif"
PARTICLES = "10028/data/particles/particles.mrcs"
PARTICLE_TABLE = "10028/data/particles/particles.star"


def pixels(name: str, shape: tuple[int, ...], kind: str) -> Any:
    """Return an array of the numpy type `kind` whose values follow from `name`."""
    random = numpy.random.default_rng(zlib.crc32(name.encode()))
    return random.normal(100, 20, shape).astype(kind)


def make_samples(root: Path) -> None:
    """Make a micrograph, two movies, and a particle stack with its table."""
    _write_mrc(root / MICROGRAPH, pixels(MICROGRAPH, (512, 640), "float32"), is_stack=False)
    _write_mrc(root / MOVIE, pixels(MOVIE, (12, 256, 256), "int16"), is_stack=True)
    _write_mrc(root / PARTICLES, pixels(PARTICLES, (50, 64, 64), "float32"), is_stack=True)
    _write_tiff(root / TIFF_MOVIE, pixels(TIFF_MOVIE, (8, 256, 320), "uint16"))
    _write_table(root / PARTICLE_TABLE)


def _write_mrc(path: Path, data: Any, *, is_stack: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        if is_stack:
            file.set_image_stack()
        file.voxel_size = 1.77
        # mrcfile writes the time of day into the first label.
        file.header.label[0] = "made by a test"


def _write_tiff(path: Path, frames: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            file.write(frame, contiguous=False, metadata=None)


def _write_table(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    starfile.write(
        {
            "optics": _table({"rlnOpticsGroup": [1], "rlnVoltage": [300.0]}),
            "particles": _table(
                {
                    "rlnImageName": [f"{number + 1:06d}@particles.mrcs" for number in range(50)],
                    "rlnCoordinateX": [float(number) * 1.5 for number in range(50)],
                }
            ),
        },
        path,
    )


def _table(columns: dict[str, list[Any]]) -> Any:
    # What starfile itself depends on and returns; it has no types that mypy could check.
    return import_module("pandas").DataFrame(columns)
