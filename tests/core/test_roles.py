"""What files are for, by their names and by what EMPIAR says of their directories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.core.roles import ROLES, ImageSet, role_of

# Directories, categories and formats as in EMPIAR's answers.
SETS: tuple[ImageSet, ...] = (
    ("data/211206/data", "micrographs - multiframe", "TIFF"),
    ("data/211206/alignment", "tilt series", "MRC"),
    ("data/211206/tomograms", "reconstructed volumes", "MRC"),
    ("data/HeLa/", "micrographs - single frame", "TIFF"),
    ("data/stacks", "picked particles - single frame - unprocessed", "MRCS"),
    ("data/classes", "class averages", "MRCS"),
    ("data/both", "micrographs - multiframe", "TIFF"),
    ("data/both", "tilt series", "MRC"),
)


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("10934.xml", "metadata"),
        ("data/README", "metadata"),
        ("data/TS_006.mrc.mdoc", "metadata"),
        ("data/particles.star", "metadata"),
        ("data/x_autopick.star", "picks"),
        ("data/ManualPick/x.star", "picks"),
        ("data/x.box", "picks"),
        ("data/x_001.eer", "movies"),
        ("data/movies/x_001.tif", "movies"),
        ("data/FoilHole_1_Data_2_Fractions.tiff.bz2", "movies"),
        ("data/a/RawMovies/grid 1/x.mrcs", "movies"),
        ("data/MotionCorr/job002/x.mrc", "micrographs"),
        ("data/x_aligned_DW.mrc", "micrographs"),
        ("data/movies_aligned/x.mrc", "unknown"),
        ("data/Extract/x.mrcs", "particles"),
        ("data/SubTomo/x.mrc", "particles"),
        ("data/gain.mrc", "gain"),
        ("data/movies/GainRef_01.dm4", "gain"),
        ("data/movies/SuperRef_x.dm4", "gain"),
        ("data/x.gain", "gain"),
        ("data/defects_x.txt", "gain"),
        ("data/gain/x.mrc", "gain"),
        ("data/again_001.tif", "unknown"),
        ("data/x_gain_corrected_movie.mrc", "movies"),
        ("data/tilt_series/a.mrc", "tilts"),
        ("data/TiltSeries/a.mrc", "tilts"),
        ("data/a.st", "tilts"),
        ("data/a.rec", "tomograms"),
        ("data/tomo_01.mrc", "tomograms"),
        ("data/x.map", "maps"),
        ("data/half_map1.mrc", "maps"),
        ("data/x_001.mrc", "unknown"),
        ("data/movies/preview.jpg", "unknown"),
        ("data/movies/no ending", "unknown"),
        ("", "unknown"),
    ],
)
def test_names_and_formats_tell_what_they_can(path: str, role: str) -> None:
    assert role_of(path) == role


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("data/211206/data/x.tif", "movies"),
        ("data/211206/data/deeper/x.eer", "movies"),
        ("data/211206/data/gain.mrc", "gain"),
        ("data/211206/data/x.mdoc", "metadata"),
        ("data/211206/data/micrographs/x.tif", "micrographs"),
        ("data/211206/data/x.mrc", "unknown"),
        ("data/211206/alignment/tomo_1.mrc", "tilts"),
        ("data/211206/tomograms/x.mrc", "tomograms"),
        ("data/HeLa/x.tif", "micrographs"),
        ("data/HeLa2/x.tif", "unknown"),
        ("data/stacks/x.mrc", "particles"),
        ("data/classes/x.mrcs", "unknown"),
        ("data/both/x.tif", "movies"),
        ("data/both/x.mrc", "tilts"),
        ("data/both/x.dm4", "unknown"),
    ],
)
def test_image_sets_tell_more(path: str, role: str) -> None:
    assert role_of(path, SETS) == role


def test_image_sets_that_contradict_each_other_tell_nothing() -> None:
    sets = [("data", "micrographs - multiframe", "MRC"), ("data", "tilt series", "MRC")]

    assert role_of("data/x.mrc", sets) == "unknown"
    assert role_of("data/movie_x.mrc", sets) == "movies"


def test_the_deepest_image_set_decides() -> None:
    sets = [("", "tilt series", "MRC"), ("data/a", "micrographs - single frame", "MRC")]

    assert [role_of(path, sets) for path in ("data/x.mrc", "data/a/x.mrc")] == [
        "tilts",
        "micrographs",
    ]


@given(st.text(), st.lists(st.tuples(st.text(), st.text(), st.text())))
def test_whatever_the_name_the_answer_is_a_role(path: str, sets: list[ImageSet]) -> None:
    assert role_of(path, sets) in ROLES
