"""A small archive for docs/notebook.ipynb, served on this machine with descriptions of entries.

It is the archive of `empiarfs demo`, and beside it an entry of movies under the number of the
one that the notebook looks into: simulated, as its title says, since what is really there can't
be had in a test. In one frame hardly anything can be seen, and in an average particles can.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from empiarfs.demo.archive import make_archive
from empiarfs.demo.server import DemoServer
from empiarfs.demo.tiff import tiff_movie
from tests.support.entry_api import EntryApi

ENTRY = 10204
_MOVIES, _FRAMES, _PIXELS = 5, 10, 512
_PIXEL_SIZE_A = 0.885
_COUNTS = 1.2  # electrons in a pixel of a frame
_RADIUS = 20  # pixels, of a particle


@dataclass(frozen=True, slots=True)
class Served:
    """Where the archive and the descriptions of its entries are."""

    archive_url: str
    api_url: str

    def hidden(self, text: str) -> str:
        """Return a text in which these addresses are EMPIAR's."""
        from empiarfs.config import DEFAULT_API_URL, DEFAULT_ARCHIVE_URL

        text = text.replace(self.archive_url, DEFAULT_ARCHIVE_URL)
        return text.replace(self.api_url, DEFAULT_API_URL)


@contextmanager
def served(work: Path) -> Iterator[Served]:
    """Make the archive below an empty directory and serve it."""
    root = work / "archive"
    make_archive(root)
    _make_movies(root / str(ENTRY))
    server = DemoServer(root)
    server.start()
    try:
        with EntryApi(_descriptions()) as api:
            yield Served(server.url, api.url)
    finally:
        server.stop()


def _make_movies(entry: Path) -> None:
    (entry / "data/Movies").mkdir(parents=True)
    random = numpy.random.default_rng(ENTRY)
    rows, columns = numpy.mgrid[:_PIXELS, :_PIXELS]
    for number in range(1, _MOVIES + 1):
        mean = numpy.full((_PIXELS, _PIXELS), _COUNTS)
        for row, column in random.integers(_RADIUS, _PIXELS - _RADIUS, (14, 2)):
            away = numpy.hypot(rows - row, columns - column) / _RADIUS
            mean *= 1 - 0.35 * numpy.exp(-((away / 0.7) ** 4))
        frames = [random.poisson(mean).astype("u1") for _ in range(_FRAMES)]
        name = f"20170629_{number:05d}_frameImage.tiff"
        (entry / "data/Movies" / name).write_bytes(tiff_movie(frames))


def _descriptions() -> dict[int, dict[str, Any]]:
    """Return what the API says of entries, as far as the notebook asks."""
    movies = {
        "name": "Movies",
        "directory": "/data/Movies",
        "category": "micrographs - multiframe",
        "data_format": "TIFF",
        "num_images_or_tilt_series": _MOVIES,
        "frames_per_image": _FRAMES,
        "voxel_type": "UNSIGNED BYTE",
        "pixel_width": _PIXEL_SIZE_A,
        "pixel_height": _PIXEL_SIZE_A,
    }
    micrographs = {
        "name": "Micrographs",
        "directory": "/data/micrographs",
        "category": "micrographs - single frame",
        "data_format": "MRC",
        "pixel_width": 1.77,
        "pixel_height": 1.77,
    }
    return {
        ENTRY: _described(ENTRY, "Simulated movies of beta-galactosidase", "13 MB", movies),
        10017: _described(
            10017, "Simulated micrographs of beta-galactosidase", "27 MB", micrographs
        ),
        10934: _described(10934, "Simulated movies", "21 MB", movies),
    }


def _described(number: int, title: str, size: str, image_set: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": f"{title}, made by empiarfs demo",
        "status": "REL",
        "release_date": "2022-02-07",
        "dataset_size": size,
        "experiment_type": "EMDB",
        "entry_doi": f"10.6019/EMPIAR-{number}",
        "imagesets": [image_set],
    }
