"""Debian's RELION works on the mount as it does on local files, to the byte.

Each job runs in two projects, whose link `data` leads into the mount and into the served
tree, as RELION's users make it: `relion_import` refuses absolute paths. Everything that the
jobs write is compared. Only the labels of MRC headers may differ, since RELION puts the
time of day there; with one thread, a given seed and the same bytes all else is the same.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy
import pytest
import tifffile

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.mounts import mounted
from tests.support.users import run_as

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.apache,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("relion_run_motioncorr") is None,
        reason="!!! RELION IS NOT INSTALLED (Debian's package relion): its jobs are NOT TRIED",
    ),
]

ENTRY = "10934"
FRAMES, SIDE = 12, 384
PARTICLE_SIDE, PARTICLES_A_STACK = 64, 12
OPTICS = ("--angpix", "1", "--kV", "300", "--Cs", "2.7", "--Q0", "0.1")

# Of an MRC header: the number of labels, and the ten labels.
_LABELS = slice(220, 1024)
# Made by Ghostscript, where that is installed, of the .eps files that are compared; dated.
_DATED = (".pdf",)


@dataclass(frozen=True, slots=True)
class Projects:
    """Two directories in which the same jobs run.

    Attributes:
        local: Whose `data` is a local directory.
        mounted: Whose `data` is the same directory as seen through the mount.
    """

    local: Path
    mounted: Path

    def run(self, program: str, *arguments: str) -> tuple[bytes, bytes]:
        """Run a program in both, and return what it printed."""
        one, other = (_run(project, program, *arguments) for project in (self.local, self.mounted))
        return one, other


@pytest.fixture(scope="module")
def archive() -> Iterator[Path]:
    with tree.temporary_root() as root:
        data = root / ENTRY / "data"
        for number in range(2):
            frames = movie(f"movie {number}")
            write_mrc(data / f"movies/mrc_{number}.mrcs", frames.astype("int16"))
            write_tiff(data / f"movies/tif_{number}.tif", frames[:, ::-1].astype("uint16"))
            micrograph = data / f"micrographs/mic_{number}.mrc"
            write_mrc(micrograph, frames.sum(axis=0).astype("float32"))
            write_coordinates(micrograph.with_name(f"mic_{number}_pick.star"))
            particles = data / f"particles/stack_{number}.mrcs"
            write_mrc(particles, particle_images(f"particles {number}"))
        tree.set_times(root)
        yield root


@pytest.fixture(scope="module")
def mount_path(archive: Path) -> Iterator[Path]:
    with ApacheServer(archive) as server, mounted(server.url) as mount:
        yield mount.path


@pytest.fixture
def projects(archive: Path, mount_path: Path, tmp_path: Path) -> Projects:
    made = Projects(tmp_path / "local", tmp_path / "mounted")
    make_project(made.local, archive)
    make_project(made.mounted, mount_path)
    return made


@pytest.mark.parametrize("kind", ["mrcs", "tif"])
def test_movies_are_corrected_and_particles_extracted(projects: Projects, kind: str) -> None:
    projects.run(
        "relion_import", "--do_movies", "--i", f"data/movies/*.{kind}", "--odir", "Import/",
        "--ofile", "movies.star", *OPTICS,
    )  # fmt: skip
    projects.run(
        "relion_run_motioncorr", "--i", "Import/movies.star", "--o", "MotionCorr/", "--use_own",
        "--patch_x", "3", "--patch_y", "3", "--j", "1", "--angpix", "1", "--dose_per_frame", "1",
        "--preexposure", "0", "--bfactor", "150", "--dose_weighting", "--save_noDW",
    )  # fmt: skip
    for project in (projects.local, projects.mounted):
        for micrograph in (project / "MotionCorr/data/movies").glob("*_?.mrc"):
            write_coordinates(micrograph.with_name(micrograph.stem + "_pick.star"))
    extract(projects, "MotionCorr/corrected_micrographs.star")

    written = compared_outputs(projects)
    assert {
        "MotionCorr/corrected_micrographs.star",
        f"MotionCorr/data/movies/{kind[:3]}_0.mrc",
        f"MotionCorr/data/movies/{kind[:3]}_1_noDW.mrc",
        f"Extract/MotionCorr/data/movies/{kind[:3]}_1.mrcs",
        "Extract/particles.star",
    } <= written


def test_particles_are_extracted_from_deposited_micrographs(projects: Projects) -> None:
    projects.run(
        "relion_import", "--do_micrographs", "--i", "data/micrographs/*.mrc", "--odir", "Import/",
        "--ofile", "micrographs.star", *OPTICS,
    )  # fmt: skip
    extract(projects, "Import/micrographs.star")

    written = compared_outputs(projects)
    assert {"Extract/particles.star", "Extract/data/micrographs/mic_1.mrcs"} <= written


def test_deposited_particles_are_classified(projects: Projects) -> None:
    for project in (projects.local, projects.mounted):
        write_particle_table(project / "particles.star")
    projects.run(
        "relion_refine", "--i", "particles.star", "--o", "Class2D/run", "--iter", "1", "--K", "2",
        "--random_seed", "1", "--j", "1", "--particle_diameter", "50", "--oversampling", "0",
        "--psi_step", "30", "--offset_range", "2", "--offset_step", "2", "--pad", "1",
        "--flatten_solvent", "--zero_mask", "--norm", "--scale", "--dont_check_norm",
    )  # fmt: skip

    written = compared_outputs(projects)
    assert {"Class2D/run_it001_classes.mrcs", "Class2D/run_it001_data.star"} <= written


def test_statistics_of_images_are_the_same(projects: Projects) -> None:
    local, ours = projects.run(
        "relion_image_handler", "--i", "data/particles/stack_1.mrcs", "--stats"
    )

    assert b"avg" in local.lower()
    assert ours == local


def test_one_other_pixel_in_a_movie_would_be_noticed(archive: Path, tmp_path: Path) -> None:
    changed = tmp_path / "archive"
    shutil.copytree(archive, changed)
    with (changed / ENTRY / "data/particles/stack_0.mrcs").open("r+b") as file:
        file.seek(1024 + 4 * 777)
        file.write(b"\0\0\0\0")
    projects = Projects(tmp_path / "one", tmp_path / "other")
    make_project(projects.local, archive)
    make_project(projects.mounted, changed)

    projects.run(
        "relion_image_handler", "--i", "data/particles/stack_0.mrcs", "--o", "copy.mrcs"
    )  # fmt: skip

    with pytest.raises(AssertionError, match=r"copy\.mrcs"):
        compared_outputs(projects)


def _run(project: Path, program: str, *arguments: str) -> bytes:
    environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "LC_ALL": "C", "TZ": "UTC"}
    done = run_as(None, [program, *arguments], env=environment, cwd=project, timeout_s=60)
    # Some of them report an error and end with 0.
    if done.returncode != 0 or b"ERROR:" in done.stderr:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise AssertionError(f"{program} in {project}: status {done.returncode}\n{output}")
    return done.stdout


def make_project(project: Path, archive: Path) -> None:
    project.mkdir()
    (project / "data").symlink_to(archive / ENTRY / "data")
    for job in ("Import", "MotionCorr", "Extract", "Class2D"):
        (project / job).mkdir()


def extract(projects: Projects, micrographs: str) -> None:
    """Extract particles at the coordinates that stand beside the micrographs."""
    projects.run(
        "relion_preprocess", "--i", micrographs, "--coord_dir", "./", "--coord_suffix",
        "_pick.star", "--part_star", "Extract/particles.star", "--part_dir", "Extract/",
        "--extract", "--extract_size", str(PARTICLE_SIDE), "--norm", "--bg_radius", "24",
        "--white_dust", "-1", "--black_dust", "-1", "--invert_contrast",
    )  # fmt: skip


def compared_outputs(projects: Projects) -> set[str]:
    """Compare all that the jobs have written, and return the names."""
    local, ours = outputs(projects.local), outputs(projects.mounted)
    assert ours.keys() == local.keys()
    different = [name for name, data in sorted(local.items()) if ours[name] != data]
    assert different == []
    return set(local)


def outputs(project: Path) -> dict[str, bytes]:
    """Return what is in a project by name, without what `data` leads to and without dates."""
    found = {}
    for path in sorted(project.rglob("*")):
        # rglob doesn't follow links; `data` itself is one.
        if path.is_file() and not path.is_symlink() and path.suffix not in _DATED:
            found[str(path.relative_to(project))] = without_date(path)
    return found


def without_date(path: Path) -> bytes:
    data = bytearray(path.read_bytes())
    if path.suffix in (".mrc", ".mrcs"):
        data[_LABELS] = bytes(_LABELS.stop - _LABELS.start)
    return bytes(data)


def movie(name: str) -> Any:
    """Return counted frames of a specimen that drifts."""
    random = numpy.random.default_rng(zlib.crc32(name.encode()))
    specimen = smooth(random.normal(0, 1, (SIDE + 32, SIDE + 32)))
    views = [
        specimen[8 + frame // 2 : 8 + frame // 2 + SIDE, 8 + frame : 8 + frame + SIDE]
        for frame in range(FRAMES)
    ]
    return random.poisson(20 * numpy.exp(0.3 * numpy.array(views)))


def particle_images(name: str) -> Any:
    random = numpy.random.default_rng(zlib.crc32(name.encode()))
    shape = (PARTICLES_A_STACK, PARTICLE_SIDE, PARTICLE_SIDE)
    images = numpy.array([smooth(noise) for noise in random.normal(0, 1, shape)])
    return images.astype("float32")


def smooth(noise: Any) -> Any:
    """Return what a low-pass filter leaves of white noise, with a deviation of 1."""
    rows = numpy.fft.fftfreq(noise.shape[0])[:, None]
    columns = numpy.fft.rfftfreq(noise.shape[1])[None, :]
    kept = numpy.fft.rfft2(noise) * numpy.exp(-60 * (rows**2 + columns**2))
    left = numpy.fft.irfft2(kept)
    return left / left.std()


def write_mrc(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path) as file:
        file.set_data(data)
        if path.suffix == ".mrcs":
            file.set_image_stack()
        file.voxel_size = 1.0


def write_tiff(path: Path, frames: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            # Deposited movies are compressed, strip by strip.
            file.write(frame, compression="zlib", rowsperstrip=16, metadata=None)


def write_coordinates(path: Path) -> None:
    rows = [f"{x} {y}" for x in (60, 120, 180) for y in (60, 120, 180)]
    head = ["", "data_", "", "loop_", "_rlnCoordinateX #1", "_rlnCoordinateY #2"]
    path.write_text("\n".join([*head, *rows, ""]))


def write_particle_table(path: Path) -> None:
    """Write the table of the deposited particles, as relion_refine wants it."""
    optics = [
        "", "data_optics", "", "loop_", "_rlnOpticsGroupName #1", "_rlnOpticsGroup #2",
        "_rlnVoltage #3", "_rlnSphericalAberration #4", "_rlnAmplitudeContrast #5",
        "_rlnImagePixelSize #6", "_rlnImageSize #7", "_rlnImageDimensionality #8",
        f"opticsGroup1 1 300.0 2.7 0.1 1.0 {PARTICLE_SIDE} 2",
    ]  # fmt: skip
    head = [
        "", "", "data_particles", "", "loop_", "_rlnImageName #1", "_rlnMicrographName #2",
        "_rlnOpticsGroup #3",
    ]  # fmt: skip
    rows = [
        f"{number + 1:06d}@data/particles/stack_{stack}.mrcs mic_{stack}.mrc 1"
        for stack in range(2)
        for number in range(PARTICLES_A_STACK)
    ]
    path.write_text("\n".join([*optics, *head, *rows, ""]))
