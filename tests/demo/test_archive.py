"""The demo's archive: the same bytes in every run, and real files of their kinds."""

from __future__ import annotations

import time
from pathlib import Path
from xml.etree import ElementTree

import mrcfile
import numpy as np
import pytest
import starfile
import tifffile

from empiarfs.demo import archive


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    archive.make_archive(root)
    return root


def content(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.slow
def test_every_run_makes_the_same_bytes_and_times(root: Path, tmp_path: Path) -> None:
    archive.make_archive(tmp_path)

    assert content(tmp_path) == content(root)


@pytest.mark.slow
def test_it_is_small_and_made_quickly(tmp_path: Path) -> None:
    began = time.process_time()
    made = archive.make_archive(tmp_path)

    assert made.size < 60_000_000
    assert made.size == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert time.process_time() - began < 10


def test_every_mrc_file_is_valid_and_has_a_pixel_size(root: Path) -> None:
    files = [path for path in root.rglob("*.mrc*") if path.is_file()]

    assert len(files) == archive.MICROGRAPHS + 3
    for path in files:
        assert mrcfile.validate(path, print_file=None), path
        with mrcfile.open(path, header_only=True) as mrc:
            assert float(mrc.voxel_size.x) == pytest.approx(
                archive.MOVIE_PIXEL_SIZE if "10934" in str(path) else archive.PIXEL_SIZE
            )


def test_the_particles_are_where_the_star_file_says(root: Path) -> None:
    tables = starfile.read(root / archive.PARTICLE_STAR)
    stack = mrcfile.read(root / archive.PARTICLE_STACK)

    particles = tables["particles"]
    assert len(particles) == len(stack) == archive.MICROGRAPHS * archive.PARTICLES_IN_EACH
    for row in particles.to_dict("records"):
        number, _, name = row["rlnImageName"].partition("@")
        assert (root / "10017/data" / name) == root / archive.PARTICLE_STACK
        micrograph = mrcfile.read(root / "10017/data" / row["rlnMicrographName"])
        x, y = int(row["rlnCoordinateX"]), int(row["rlnCoordinateY"])
        assert np.array_equal(stack[int(number) - 1], archive.box_around(micrograph, x, y))
    assert float(tables["optics"]["rlnImagePixelSize"].iloc[0]) == pytest.approx(1.77)


def test_particles_can_be_seen_in_the_noise(root: Path) -> None:
    stack = mrcfile.read(root / archive.PARTICLE_STACK).astype(float)

    middle = stack.mean(axis=0)[16:48, 16:48].mean()
    rim = np.concatenate([stack[:, :8], stack[:, -8:]]).mean()
    assert middle < rim - 10


def test_the_tiff_movie_has_a_page_for_each_frame(root: Path) -> None:
    with tifffile.TiffFile(root / archive.TIFF_MOVIE) as movie:
        frames = movie.asarray()

    assert frames.shape == (archive.FRAMES, 512, 512)
    assert frames.dtype == np.uint8
    assert frames.mean() == pytest.approx(1.2, abs=0.05)


def test_every_entry_has_well_formed_metadata(root: Path) -> None:
    for entry in ("10017", "10934", "11419"):
        document = ElementTree.parse(root / entry / f"{entry}.xml").getroot()

        assert document.get("accessionCode") == f"EMPIAR-{entry}"
        directories = [node.text for node in document.iter("{http://pdbe.org/empiar}directory")]
        assert directories
        assert all((root / entry / str(name).lstrip("/")).is_dir() for name in directories)


def test_names_are_as_odd_as_in_the_archive(root: Path) -> None:
    names = {path.name for path in root.rglob("*")}

    assert "SEM Image - SliceImage - 001.tif" in names
    assert "slice_02534_z=12.6376um.tif" in names
    assert (root / "11419/data/tilt/TS_016.mrc").is_dir()
