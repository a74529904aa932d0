"""Makes a small archive in a directory, laid out as EMPIAR lays out its own.

Three entries: `10017` with micrographs, picked particles and their STAR file; `10934` with
movies as MRC stack and TIFF and a gain reference; `11419` with names as they really occur
(blanks, "=", a directory that is called like a file). The pictures are noise with simulated
particles in it. Every run writes the same bytes and the same times.

    10017/10017.xml
    10017/data/micrographs/Falcon_2012_06_12-14_33_35_0.mrc …
    10017/data/particles/particles.mrcs, particles.star
    10934/10934.xml
    10934/data/CL44-1/gain.mrc, FoilHole_0001_fractions.mrcs, FoilHole_0002_fractions.tif
    11419/11419.xml
    11419/data/Raw SEM images/SEM Image - SliceImage - 001.tif …
    11419/data/slices/slice_00288_z=1.4263um.tif
    11419/data/tilt/TS_016.mrc/TS_016.mdoc

"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import mrcfile
import numpy as np
import numpy.typing as npt

from empiarfs.demo.tiff import tiff_movie

MICROGRAPHS = 12
PARTICLES_IN_EACH = 10
BOX = 64  # pixels, of a picked particle
PIXEL_SIZE = 1.77  # Å, of micrographs and particles
MOVIE_PIXEL_SIZE = 0.543  # Å
FRAMES = 16

MICROGRAPH_DIRECTORY = "10017/data/micrographs"
PARTICLE_STACK = "10017/data/particles/particles.mrcs"
PARTICLE_STAR = "10017/data/particles/particles.star"
MOVIE_STACK = "10934/data/CL44-1/FoilHole_0001_fractions.mrcs"
TIFF_MOVIE = "10934/data/CL44-1/FoilHole_0002_fractions.tif"

_MICROGRAPH_PIXELS = 1024
_TIFF_PIXELS = 512
# 7 February 2022, 10:31:04 UTC: any fixed moment; each file gets a second of its own.
_FIRST_MODIFIED_S = 1_644_229_864

Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class MadeArchive:
    """What was made.

    Attributes:
        files: Number of files.
        size: Their bytes.
    """

    files: int
    size: int


def make_archive(root: Path) -> MadeArchive:
    """Fill the directory `root`, which is made if it's missing, and tell what's in it.

    Raises:
        OSError: The directory can't be written.
    """
    _make_10017(root / "10017")
    _make_10934(root / "10934")
    _make_11419(root / "11419")
    files = sorted(path for path in root.rglob("*") if path.is_file())
    _set_times(root, files)
    return MadeArchive(len(files), sum(path.stat().st_size for path in files))


def micrograph_name(number: int) -> str:
    """Return the file name of micrograph `number`, counted from 0."""
    return f"Falcon_2012_06_12-14_{33 + number:02d}_{(35 + 17 * number) % 60:02d}_0.mrc"


def _make_10017(entry: Path) -> None:
    micrographs, particles = entry / "data/micrographs", entry / "data/particles"
    micrographs.mkdir(parents=True)
    particles.mkdir()
    rows, boxes = [], []
    for number in range(MICROGRAPHS):
        pixels, places = _micrograph(number)
        _write_mrc(micrographs / micrograph_name(number), pixels, PIXEL_SIZE)
        for x, y in places:
            rows.append((x, y, f"micrographs/{micrograph_name(number)}"))
            boxes.append(box_around(pixels, x, y))
    _write_mrc(particles / "particles.mrcs", np.stack(boxes), PIXEL_SIZE, is_stack=True)
    (particles / "particles.star").write_text(_star(rows), encoding="ascii")
    (entry / "10017.xml").write_text(
        _entry_xml(
            10017,
            "Simulated micrographs and picked particles, made by empiarfs demo",
            (
                _image_set("micrographs", "micrographs - single frame", MICROGRAPHS, 1),
                _image_set("particles", "picked particles - single frame", len(rows), 1),
            ),
        )
    )


def _make_10934(entry: Path) -> None:
    session = entry / "data/CL44-1"
    session.mkdir(parents=True)
    random = np.random.default_rng(10934)
    side = _MICROGRAPH_PIXELS
    gain = random.normal(1.0, 0.02, (side, side)).astype(np.float32)
    _write_mrc(session / "gain.mrc", gain, MOVIE_PIXEL_SIZE)
    frames = random.poisson(1.2, (FRAMES, side, side)).astype(np.int8)
    _write_mrc(session / "FoilHole_0001_fractions.mrcs", frames, MOVIE_PIXEL_SIZE, is_stack=True)
    small = random.poisson(1.2, (FRAMES, _TIFF_PIXELS, _TIFF_PIXELS)).astype(np.uint8)
    (session / "FoilHole_0002_fractions.tif").write_bytes(tiff_movie(list(small)))
    movies = _image_set("CL44-1", "micrographs - multiframe", 2, FRAMES)
    title = "Simulated movies, made by empiarfs demo"
    (entry / "10934.xml").write_text(_entry_xml(10934, title, (movies,)))


def _make_11419(entry: Path) -> None:
    images, slices = entry / "data/Raw SEM images", entry / "data/slices"
    tilt = entry / "data/tilt/TS_016.mrc"
    for directory in (images, slices, tilt):
        directory.mkdir(parents=True)
    random = np.random.default_rng(11419)
    for number in range(1, 7):
        page = random.integers(0, 255, (256, 384), dtype=np.uint8)
        (images / f"SEM Image - SliceImage - {number:03d}.tif").write_bytes(tiff_movie([page]))
    for name in ("slice_00288_z=1.4263um.tif", "slice_02534_z=12.6376um.tif"):
        page = random.integers(0, 255, (256, 384), dtype=np.uint8)
        (slices / name).write_bytes(tiff_movie([page]))
    (tilt / "TS_016.mdoc").write_text(_mdoc(), encoding="ascii")
    sets = (_image_set("Raw SEM images", "FIB-SEM", 6, 1), _image_set("slices", "FIB-SEM", 2, 1))
    title = "Simulated slices with odd names, made by empiarfs demo"
    (entry / "11419.xml").write_text(_entry_xml(11419, title, sets))


def _micrograph(number: int) -> tuple[Pixels, list[tuple[int, int]]]:
    """Return noise with particles in it as int16, and their centres (x, y) in pixels."""
    random = np.random.default_rng(10017 + number)
    side = _MICROGRAPH_PIXELS
    pixels = random.standard_normal((side, side), dtype=np.float32)
    pixels *= 40
    # One particle in each cell of a 4 × 4 grid keeps them apart and inside.
    cells = sorted(random.permutation(16)[:PARTICLES_IN_EACH].tolist())
    places = []
    for cell in cells:
        x, y = (int(c) for c in random.integers(BOX, side // 4 - BOX, 2))
        x, y = x + cell % 4 * side // 4, y + cell // 4 * side // 4
        angle = float(random.uniform(0, 2 * np.pi))
        box_around(pixels, x, y)[...] -= 60 * _projection(angle)
        places.append((x, y))
    return np.rint(pixels + 1000).astype(np.int16), places


def box_around(pixels: Pixels, x: int, y: int) -> Pixels:
    """Return the view of `BOX` × `BOX` pixels around a particle's centre."""
    half = BOX // 2
    return pixels[y - half : y + half, x - half : x + half]


def _projection(angle: float) -> Pixels:
    """Return a particle's projection, turned by `angle`: four blobs at the corners of a box."""
    y, x = np.mgrid[-BOX // 2 : BOX // 2, -BOX // 2 : BOX // 2].astype(np.float32)
    total = np.zeros((BOX, BOX), np.float32)
    for u, v in ((-12, -7), (-12, 7), (12, -7), (12, 7)):
        at_x = u * np.cos(angle) - v * np.sin(angle)
        at_y = u * np.sin(angle) + v * np.cos(angle)
        total += np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 60).astype(np.float32)
    return total


def _write_mrc(path: Path, pixels: Pixels, pixel_size: float, *, is_stack: bool = False) -> None:
    # mrcfile is untyped, hence Any.
    mrc: Any
    with mrcfile.new(path) as mrc:
        mrc.set_data(pixels)
        if is_stack:
            mrc.set_image_stack()
        mrc.voxel_size = pixel_size
        # mrcfile writes the hour into the first label; the bytes must not differ by run.
        mrc.header.label[0] = b"simulated by empiarfs demo"


def _star(rows: list[tuple[int, int, str]]) -> str:
    """Return particles in RELION 3.1's form; the stack is named relative to `data`."""
    optics = (
        ("_rlnOpticsGroupName", "opticsGroup1"),
        ("_rlnOpticsGroup", "1"),
        ("_rlnVoltage", "300.000000"),
        ("_rlnSphericalAberration", "2.000000"),
        ("_rlnAmplitudeContrast", "0.100000"),
        ("_rlnImagePixelSize", f"{PIXEL_SIZE:.6f}"),
        ("_rlnImageSize", str(BOX)),
        ("_rlnImageDimensionality", "2"),
    )
    labels = (
        "_rlnCoordinateX",
        "_rlnCoordinateY",
        "_rlnImageName",
        "_rlnMicrographName",
        "_rlnOpticsGroup",
    )
    lines = ["", "# version 30001", "", "data_optics", "", "loop_ "]
    lines += [f"{label} #{number} " for number, (label, _) in enumerate(optics, 1)]
    lines += [" ".join(value for _, value in optics) + " ", " "]
    lines += ["", "# version 30001", "", "data_particles", "", "loop_ "]
    lines += [f"{label} #{number} " for number, label in enumerate(labels, 1)]
    for number, (x, y, micrograph) in enumerate(rows, 1):
        lines.append(
            f"{x:12.6f} {y:12.6f} {number:06d}@particles/particles.mrcs {micrograph} {1:12d} "
        )
    return "\n".join([*lines, " ", ""])


def _mdoc() -> str:
    head = f"PixelSpacing = {MOVIE_PIXEL_SIZE}\nVoltage = 300\nImageFile = TS_016.mrc\n"
    sections = [
        f"\n[ZValue = {number}]\nTiltAngle = {3 * (number - 20)}.0\nExposureDose = 3.0\n"
        for number in range(41)
    ]
    return head + "".join(sections)


def _image_set(directory: str, category: str, images: int, frames: int) -> str:
    return (
        "    <imageSet>\n"
        f"        <name>{escape(directory)}</name>\n"
        f"        <directory>/data/{escape(directory)}</directory>\n"
        f"        <category>{escape(category)}</category>\n"
        f"        <numImagesOrTiltSeries>{images}</numImagesOrTiltSeries>\n"
        f"        <framesPerImage>{frames}</framesPerImage>\n"
        "    </imageSet>\n"
    )


def _entry_xml(entry: int, title: str, image_sets: tuple[str, ...]) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<entry xmlns="http://pdbe.org/empiar" accessionCode="EMPIAR-{entry}" public="true">\n'
        "    <admin>\n"
        "        <currentStatus>REL</currentStatus>\n"
        f"        <title>{escape(title)}</title>\n"
        "    </admin>\n"
        f"{''.join(image_sets)}"
        "</entry>\n"
    )


def _set_times(root: Path, files: list[Path]) -> None:
    for number, path in enumerate(files):
        moment = _FIRST_MODIFIED_S + 61 * number
        os.utime(path, (moment, moment))
    # Last, since every file that is made moves its directory's time.
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            os.utime(path, (_FIRST_MODIFIED_S, _FIRST_MODIFIED_S))
