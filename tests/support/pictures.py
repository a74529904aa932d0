"""Images with patterns that a test finds again in a picture of them, and what it finds.

In a picture the first panel begins at (8, 8), and a sheet's tiles have a border of their own:
`greys` returns the part that is asked for.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import mrcfile
import numpy
import tifffile
from PIL import Image

MARGIN = 8
MICROGRAPH = "10934/data/micrographs/mic_001.mrc"
MOVIE = "10934/data/movies/movie_001.tif"
GAIN = "10934/data/movies/gain.mrc"
STACK = "10934/data/stack.mrcs"
TOMOGRAM = "10934/data/tomogram.rec"
ROWS, COLUMNS = 600, 800
FRAMES = 20
DARK, BRIGHT = 40, 120


def halves(rows: int = ROWS, columns: int = COLUMNS) -> Any:
    """Return an image that is dark at the left and bright at the right."""
    made = numpy.full((rows, columns), float(DARK))
    made[:, columns // 2 :] = BRIGHT
    return made


def chessboard() -> Any:
    """Return a gain reference, by which counts of whole numbers become `halves`."""
    rows, columns = numpy.mgrid[:ROWS, :COLUMNS]
    return numpy.where((rows // 100 + columns // 100) % 2, 0.5, 2.0).astype("f4")


def write_mrc(path: Path, data: Any, kind: str = "image", pixel_size: float = 1.77) -> None:
    """Write an MRC file: "image", "stack" or "volume"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(data)
        if kind == "stack":
            file.set_image_stack()
        if kind == "volume":
            file.set_volume()
        file.voxel_size = pixel_size


def write_movie(path: Path, frames: Any, rows_per_strip: int | None = None) -> None:
    """Write a TIFF whose frames lie one behind the other, as detectors write them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            file.write(
                frame,
                contiguous=False,
                metadata=None,
                photometric="minisblack",
                rowsperstrip=rows_per_strip,
            )


def make_images(root: Path) -> None:
    """Make one file of each kind that is shown."""
    random = numpy.random.default_rng(0)
    noise = random.normal(0, 10, (ROWS, COLUMNS))
    write_mrc(root / MICROGRAPH, (halves() + noise).astype("f4"))
    gain = chessboard()
    write_mrc(root / GAIN, gain)
    write_movie(root / MOVIE, [(halves() / gain).astype("u2")] * FRAMES)
    rows, columns = numpy.mgrid[:64, :64]
    disc = (rows - 32) ** 2 + (columns - 32) ** 2 < 200
    write_mrc(root / STACK, numpy.array([disc] * 200).astype("f4"), "stack")
    sections, rows, columns = numpy.mgrid[:40, :60, :50]
    ball = (sections - 20) ** 2 + (rows - 30) ** 2 + (columns - 20) ** 2 < 64
    write_mrc(root / TOMOGRAM, ball.astype("f4"), "volume", 8.8)


def write_sparse_movie(path: Path, frames: int, side: int = 4096) -> None:
    """Write an MRC movie of bytes that takes no room on the disk."""
    header = io.BytesIO()
    with mrcfile.new(path.with_suffix(".small"), numpy.zeros((1, 8, 8), "i1")) as file:
        file.set_image_stack()
        file.voxel_size = 1.1
        file.header.nx = file.header.mx = file.header.ny = file.header.my = side
        file.header.nz = file.header.mz = frames
        file.header.cella.x = file.header.cella.y = 1.1 * side
        header.write(file.header.tobytes())
    path.with_suffix(".small").unlink()
    with path.open("wb") as made:
        made.write(header.getvalue())
        made.truncate(1024 + frames * side * side)


def greys(image: Any, left: int, top: int, width: int, height: int) -> Any:
    """Return a part of a picture, as an array."""
    if isinstance(image, bytes):
        image = Image.open(io.BytesIO(image))
    return numpy.asarray(image)[top : top + height, left : left + width]


def bar_in(panel: Any) -> int:
    """Return how many pixels the scale bar has at the bottom of a panel."""
    row = panel[-10]
    assert row[7] == 0, "no bar has its black edge there"
    length = 0
    while row[8 + length] == 255:
        length += 1
    return length
