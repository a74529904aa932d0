"""A small RELION job: motion correction of movies, and extraction of particles.

`make_dataset` makes what the job reads, in EMPIAR's layout; `run_job` runs it in a project
directory that reaches the data by a link, as RELION's users do, since RELION refuses
absolute paths. `outputs` then gives what came out, without the dates that RELION writes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import mrcfile
import numpy
import tifffile

from tests.support import science, tree

DATASET = "10934/data"
MOVIES = 3
PICKS = 12

_FRAMES = 8
_SIDE = 384
_BOX = 48
_MICROGRAPH = "data/micrographs/mic_0.mrc"
_DEADLINE_S = 240
_OUTPUTS = {".mrc", ".mrcs", ".star", ".txt"}
# Labels of an MRC header: the first holds the date, and all follow the program's clock.
_LABELS = slice(220, 1024)
_OPTICS = ["--angpix", "1.0", "--kV", "300", "--Cs", "2.7", "--Q0", "0.1"]
_COORDINATES = "\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n"


def is_installed() -> bool:
    """Tell whether RELION's programs are on this machine."""
    return shutil.which("relion_run_motioncorr") is not None


def make_dataset(root: Path) -> None:
    """Make TIFF and MRC movies of drifting blobs, micrographs, and picked particles."""
    data = root / DATASET
    for folder in ("tiff_movies", "mrc_movies", "micrographs"):
        (data / folder).mkdir(parents=True)
    for number in range(MOVIES):
        frames = _movie(f"movie {number}")
        with tifffile.TiffWriter(data / f"tiff_movies/movie_{number}.tiff") as file:
            for frame in frames:
                file.write(frame, contiguous=False, metadata=None)
        _write_mrc(data / f"mrc_movies/movie_{number}.mrcs", frames.astype("float32"))
        _write_mrc(data / f"micrographs/mic_{number}.mrc", frames.sum(0).astype("float32"))
        tree.write_file(data / f"micrographs/mic_{number}_picked.star", _picks(number))


def run_job(data: Path, project: Path) -> None:
    """Run the job on the data set at `data`, in the new directory `project`.

    Raises:
        AssertionError: A program of RELION failed; the message is what it printed.
    """
    project.mkdir()
    (project / "data").symlink_to(data)
    for kind, suffix in (("tiff_movies", "tiff"), ("mrc_movies", "mrcs")):
        # RELION makes no directories for what it is told to write.
        (project / f"MotionCorr/{kind}/data/{kind}").mkdir(parents=True)
        _import(project, "--do_movies", f"data/{kind}/*.{suffix}", f"{kind}.star")
        _run(
            project, "relion_run_motioncorr", "--use_own", "--j", "1",
            "--i", f"Import/{kind}.star", "--o", f"MotionCorr/{kind}/",
            "--patch_x", "3", "--patch_y", "3",
        )  # fmt: skip
    _import(project, "--do_micrographs", "data/micrographs/*.mrc", "micrographs.star")
    (project / "Extract/data/micrographs").mkdir(parents=True)
    _run(
        project, "relion_preprocess", "--i", "Import/micrographs.star",
        "--coord_dir", "./", "--coord_suffix", "_picked.star",
        "--part_dir", "Extract/", "--part_star", "Extract/particles.star",
        "--extract", "--extract_size", str(_BOX), "--norm", "--bg_radius", "18",
    )  # fmt: skip
    printed = _run(project, "relion_image_handler", "--stats", "--i", _MICROGRAPH)
    (project / "Extract/stats.txt").write_text(printed)


def outputs(project: Path) -> dict[str, bytes]:
    """Return the images and tables that the job has made, by path, without dates."""
    found: dict[str, bytes] = {}
    for path in sorted(project.glob("*/**/*")):
        name = str(path.relative_to(project))
        if path.suffix in _OUTPUTS and not name.startswith("data/"):
            found[name] = _without_date(path)
    return found


def _without_date(path: Path) -> bytes:
    held = bytearray(path.read_bytes())
    if path.suffix in {".mrc", ".mrcs"}:
        held[_LABELS] = bytes(_LABELS.stop - _LABELS.start)
    return bytes(held)


def _import(project: Path, kind: str, pattern: str, table: str) -> None:
    # With a directory's slash: RELION joins the two as they stand.
    words = [kind, "--i", pattern, "--odir", "Import/", "--ofile", table]
    (project / "Import").mkdir(exist_ok=True)
    _run(project, "relion_import", *words, *_OPTICS)


def _run(project: Path, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=project,
        env=os.environ | {"OMP_NUM_THREADS": "1", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_DEADLINE_S,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def _movie(name: str) -> Any:
    """Return frames of one smooth scene that drifts by a pixel a frame, with noise."""
    scene = science.pixels(name, (_SIDE // 8, _SIDE // 8), "float32")
    scene = numpy.kron(scene, numpy.ones((8, 8), "float32"))
    noise = science.pixels(name + " noise", (_FRAMES, _SIDE, _SIDE), "float32") / 10
    moved = [numpy.roll(scene, (frame, -frame), (0, 1)) for frame in range(_FRAMES)]
    return (numpy.stack(moved) + noise).clip(0, 65_535).astype("uint16")


def _picks(number: int) -> bytes:
    step = (_SIDE - 2 * _BOX) // PICKS
    rows = (f"{_BOX + step * pick} {_BOX + number * 7 + step * pick}" for pick in range(PICKS))
    return (_COORDINATES + "\n".join(rows) + "\n").encode()


def _write_mrc(path: Path, data: Any) -> None:
    with mrcfile.new(path) as file:
        file.set_data(data)
        if data.ndim == 3:
            file.set_image_stack()
        file.voxel_size = 1.0
