"""What libraries read in Python is done as it says, and compared with what is served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy
import pytest
from click.testing import CliRunner

from scripts.benchmarks import report
from scripts.benchmarks.__main__ import main
from scripts.benchmarks.archive import Scale, ServedArchive, served
from scripts.benchmarks.clients import EMPIARFS, Client
from scripts.benchmarks.far_archive import FarScale
from scripts.benchmarks.figures import Figure, Sample, Unit
from scripts.benchmarks.goals import FactorOf
from scripts.benchmarks.images_archive import (
    MOVIE_OF_FRAMES,
    MOVIES,
    PARTICLES,
    ImagesScale,
    make_images,
)
from scripts.benchmarks.libraries import LIBRARIES, interpreter_of
from scripts.benchmarks.links import GOOD, LOOPBACK, Way
from scripts.benchmarks.runner import Plan, Results, run
from scripts.benchmarks.scenario import Scenario
from scripts.benchmarks.scenarios import SCENARIOS
from scripts.benchmarks.stage import SkippedError, Stage, WrongAnswerError
from tests.support.slow_link import LinkSettings, SlowLink

IMAGES = ImagesScale(
    rows=60,
    columns=80,
    frames=5,
    read=3,
    side=20,
    particles=400,
    picked=12,
    movies=3,
    movie_frames=2,
)
TINY = Scale(movie_size=1, many=1, far=FarScale(), images=IMAGES)
QUICK_LINK = LinkSettings(round_trip_s=0.002, opening_round_trips=2, link_rate=100_000_000)


@pytest.fixture(scope="module")
def archive() -> Iterator[ServedArchive]:
    with served(TINY, mounted=False, images=True) as made:
        yield made


def samples_of(
    name: str, archive: ServedArchive, client: Client = EMPIARFS, *, limit_s: float = 120.0
) -> list[Sample]:
    with SlowLink(archive.server.url, QUICK_LINK) as relay:
        way = Way(relay.url_for(archive.server.url), relay)
        return list(SCENARIOS[name].measure(Stage(archive, way, client, "good", limit_s)))


def test_the_served_images_are_stacks_of_which_the_read_parts_are_noise(tmp_path: Path) -> None:
    make_images(tmp_path, IMAGES)

    with mrcfile.mmap(tmp_path / MOVIE_OF_FRAMES, mode="r") as movie:
        assert (movie.is_image_stack(), movie.data.shape) == (True, (5, 60, 80))
        assert [bool(frame.any()) for frame in movie.data] == [True] * 3 + [False] * 2
    with mrcfile.mmap(tmp_path / PARTICLES, mode="r") as stack:
        picked = {stack.data[number].tobytes() for number in IMAGES.epoch()}
        assert (stack.data.shape, len(picked)) == ((400, 20, 20), IMAGES.picked)
        assert stack.data.nbytes / 400 == IMAGES.particle_size
    firsts = [mrcfile.read(path)[0] for path in (tmp_path / MOVIES).iterdir()]
    assert len({first.tobytes() for first in firsts}) == IMAGES.movies
    assert all(numpy.unique(first).size > 200 for first in firsts)


def test_epochs_have_the_same_particles_in_other_orders() -> None:
    first, second = IMAGES.epoch(1), IMAGES.epoch(2)

    assert sorted(first) == sorted(second)
    assert len(set(first)) == IMAGES.picked
    assert first != second != sorted(second)


@pytest.mark.apache
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ebi.imread", "good.sheet"])
def test_what_is_read_by_empiarfs_is_timed_and_counted(name: str, archive: ServedArchive) -> None:
    samples = samples_of(name, archive)

    figures = SCENARIOS[name].figures(TINY)
    assert [sample.figure for sample in samples] == [figure.key for figure in figures]
    assert all(sample.value > 0 for sample in samples)
    assert samples[0].requests
    assert samples[0].connections


@pytest.mark.apache
@pytest.mark.slow
def test_a_second_epoch_is_read_from_the_cache_by_a_new_process(archive: ServedArchive) -> None:
    first, again = samples_of("good.particles", archive)

    figures = SCENARIOS["good.particles"].figures(TINY)
    assert [first.figure, again.figure] == [figure.key for figure in figures]
    assert (first.wire or 0) > IMAGES.picked * IMAGES.particle_size
    assert again.requests == 0


@pytest.mark.apache
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "client"), [("good.particles", "fsspec"), ("good.imread", "fsspec-ranges")]
)
def test_peers_read_the_same_images(name: str, client: str, archive: ServedArchive) -> None:
    samples = samples_of(name, archive, LIBRARIES[client])

    assert samples[0].requests
    assert samples[0].wire
    assert (samples[1].requests is None) or samples[1].requests


@pytest.mark.apache
@pytest.mark.slow
@pytest.mark.skipif(
    not Path(interpreter_of("empiarreader")).exists(),
    reason="EMPIARREADER_PYTHON names no interpreter",
)
def test_empiarreader_reads_a_whole_movie_for_some_frames(archive: ServedArchive) -> None:
    frames, *_ = samples_of("good.imread", archive, LIBRARIES["empiarreader"])

    assert (frames.wire or 0) > IMAGES.frames * IMAGES.frame_size


@pytest.mark.parametrize(
    ("name", "client"),
    [
        ("good.particles", "empiarreader"),
        ("good.sheet", "empiarreader"),
        ("ebi.sheet", "fsspec"),
        ("import", "fsspec-ranges"),
    ],
)
def test_what_a_library_can_not_do_is_left_out(name: str, client: str) -> None:
    # Nothing is served, so that whoever begins would fail otherwise.
    stage = Stage(ServedArchive(None, TINY, {}, {}, {}), Way(""), LIBRARIES[client])  # type: ignore[arg-type]

    with pytest.raises(SkippedError):
        list(SCENARIOS[name].measure(stage))


@pytest.mark.apache
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("good.imread", MOVIE_OF_FRAMES, "1 of 3 images differ"),
        ("good.particles", PARTICLES, "1 of 12 images differ"),
        ("good.sheet", f"{MOVIES}/FoilHole_0001_fractions.mrc", "the sheet isn't that"),
    ],
)
def test_bytes_that_differ_from_what_is_served_are_found(
    name: str, path: str, message: str, archive: ServedArchive
) -> None:
    with served(TINY, mounted=False, images=True) as other:
        # Of the particles the first one that is read; of the movies all of a frame.
        place = IMAGES.particle_place(IMAGES.epoch()[0]) if path == PARTICLES else 1_024
        with (other.server.root / path).open("r+b") as file:
            file.seek(place + 100)
            file.write(b"wrong" * (800 if path.startswith(MOVIES) else 1))
        stage = Stage(other, Way(archive.server.url), EMPIARFS, "good")

        with pytest.raises(WrongAnswerError, match=message):
            list(SCENARIOS[name].measure(stage))


@pytest.mark.apache
@pytest.mark.slow
def test_images_of_another_size_or_type_are_found(archive: ServedArchive) -> None:
    other = replace(archive, scale=replace(TINY, images=replace(IMAGES, rows=30)))

    with pytest.raises(WrongAnswerError, match=r"images of .*60, 80.* instead of .*30, 80"):
        samples_of("good.imread", other)


@pytest.mark.apache
@pytest.mark.slow
def test_a_library_that_takes_too_long_is_given_up(archive: ServedArchive) -> None:
    [sample] = samples_of("good.imread", archive, limit_s=0.001)

    assert (sample.value, sample.is_over) == (0.001, True)
    with pytest.raises(RuntimeError, match=r"no end within 0\.001 s"):
        samples_of("good.particles", archive, limit_s=0.001)


@pytest.mark.apache
@pytest.mark.slow
def test_the_import_is_that_of_fresh_processes(archive: ServedArchive) -> None:
    stage = Stage(archive, Way(archive.server.url), EMPIARFS)
    ours, used = SCENARIOS["import"].measure(stage)
    theirs, _ = SCENARIOS["import"].measure(replace(stage, client=LIBRARIES["fsspec"]))

    assert (ours.requests, len(ours.distribution)) == (0, 7)
    assert 0 < ours.value < theirs.value
    assert ours.value < used.value


@pytest.mark.apache
@pytest.mark.slow
@pytest.mark.parametrize(("long_s", "asked"), [(60.0, 3), (0.0, 1)])
def test_who_needs_long_is_not_asked_again_where_that_is_said(
    long_s: float, asked: int, archive: ServedArchive
) -> None:
    def measure(stage: Stage) -> Iterator[Sample]:
        yield Sample("fake", 1.0)

    figure = Figure("fake", "fake", Unit.SECONDS)
    for once in (True, False):
        scenario = Scenario("fake", "x", lambda scale: (figure,), measure, is_long_once=once)
        plan = Plan((scenario,), (EMPIARFS,), LOOPBACK, 3, TINY, long_s=long_s)
        results = run(plan, archive, lambda line: None)

        assert len(results.samples[EMPIARFS.name]) == (asked if once else 3)


def test_a_goal_that_names_a_peer_is_held_against_that_one() -> None:
    figure = Figure("x", "x", Unit.BYTES_A_SECOND, (FactorOf(10, "fsspec"),))
    scenario = Scenario("x", "x", lambda scale: (figure,), lambda stage: iter(()), "good")
    names = ("empiarfs", "fsspec", "fsspec-ranges")
    plan = Plan((scenario,), tuple(LIBRARIES[name] for name in names), GOOD, 1, TINY)

    def missed(**values: float) -> list[str]:
        samples = {name.replace("_", "-"): [Sample("x", value)] for name, value in values.items()}
        return report.missed(plan, Results(samples))

    assert missed(empiarfs=100, fsspec=10, fsspec_ranges=200) == []
    assert missed(empiarfs=99, fsspec=10, fsspec_ranges=1) == ["x: ≥ 10 × fsspec"]
    assert missed(empiarfs=99, fsspec_ranges=1) == ["x: ≥ 10 × fsspec"]


def test_scenarios_are_measured_by_those_who_can_do_them() -> None:
    words = ["--scenario", "good.imread", "--client", "rclone"]

    done = CliRunner().invoke(main, words)

    assert done.exit_code == 2
    assert "none of these scenarios" in done.output
