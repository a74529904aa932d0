"""Libraries that cryo-EM is done with read the mount as they read a local copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mrcfile
import numpy
import pytest
import starfile
import tifffile

from tests.mount.conftest import Served
from tests.support import science
from tests.support.apache import ApacheServer
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]


@pytest.fixture
def cold(served: Served) -> Iterator[tuple[Path, ApacheServer]]:
    """Mount with nothing cached, for tests that count what is asked for."""
    with mounted(served.server.url) as made:
        yield made.path, served.server


@pytest.mark.parametrize("name", [science.MICROGRAPH, science.MOVIE, science.PARTICLES])
def test_mrcfile_opens_what_is_there(served: Served, mount: Mount, name: str) -> None:
    with mrcfile.open(mount.path / name) as ours, mrcfile.open(served.root / name) as local:
        assert numpy.array_equal(ours.data, local.data)
        assert ours.header.tobytes() == local.header.tobytes()


@pytest.mark.parametrize("name", [science.MICROGRAPH, science.MOVIE, science.PARTICLES])
def test_mrcfile_maps_what_is_there(served: Served, mount: Mount, name: str) -> None:
    expected = mrcfile.read(served.root / name)

    with mrcfile.mmap(mount.path / name) as mapped:
        assert numpy.array_equal(mapped.data[-1], expected[-1])
        assert numpy.array_equal(mapped.data, expected)


def test_mrcfile_reads_a_header_without_the_data(cold: tuple[Path, ApacheServer]) -> None:
    root, server = cold
    mark = server.mark()

    with mrcfile.open(root / science.MICROGRAPH, header_only=True) as opened:
        assert (opened.header.nx, opened.header.ny) == (640, 512)

    ranges = [access for access in server.requests_since(mark) if access.range]
    assert sum(access.size for access in ranges) <= 2 * 65_536


def test_mrcfile_validates_the_files(mount: Mount) -> None:
    assert mrcfile.validate(mount.path / science.MICROGRAPH)
    assert mrcfile.validate(mount.path / science.MOVIE)


def test_tifffile_reads_a_movie(served: Served, mount: Mount) -> None:
    with tifffile.TiffFile(mount.path / science.TIFF_MOVIE) as movie:
        assert len(movie.pages) == 8
        assert numpy.array_equal(
            movie.pages[5].asarray(), tifffile.imread(served.root / science.TIFF_MOVIE, key=5)
        )
    assert numpy.array_equal(
        tifffile.imread(mount.path / science.TIFF_MOVIE, key=range(8)),
        science.pixels(science.TIFF_MOVIE, (8, 256, 320), "uint16"),
    )


def test_starfile_reads_a_table(served: Served, mount: Mount) -> None:
    ours = starfile.read(mount.path / science.PARTICLE_TABLE)
    local = starfile.read(served.root / science.PARTICLE_TABLE)

    assert list(ours) == ["optics", "particles"]
    assert all(ours[block].equals(local[block]) for block in ours)


def test_numpy_maps_a_file(served: Served, mount: Mount) -> None:
    mapped = numpy.memmap(mount.path / science.PARTICLES, dtype="float32", mode="r", offset=1024)
    local = numpy.memmap(served.root / science.PARTICLES, dtype="float32", mode="r", offset=1024)

    assert numpy.array_equal(mapped, local)
