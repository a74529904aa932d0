"""Selectors of `find`, `du`, `ls` and `tree`, on a real Apache, with tables of programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy
import pytest
import starfile

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands
from tests.support.entry_api import EntryApi, sample_entries

pytestmark = pytest.mark.apache

MOVIES = [f"10499/data/movies/x_{number:02}.tif" for number in range(12)]
FRAMES = [f"10499/data/frames/TS_006_{number:03}.eer" for number in range(3)]
MDOC = (
    "ImageFile = TS_006.mrc\n\n"
    + "".join(
        f"[ZValue = {number}]\nSubFramePath = X:\\day 1\\TS_006_{number:03}.eer\n"
        for number in range(3)
    )
).encode()


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with tree.temporary_root() as path:
        data = path / "10499/data"
        tree.write_file(path / "10499/10499.pdf", b"<entry/>\n")
        for number, name in enumerate(MOVIES):
            tree.write_file(path / name, bytes(100 + number))
        for name in FRAMES:
            tree.write_file(path / name, b"eer")
        tree.write_file(data / "frames/gain.dm4", b"gain")
        tree.write_file(data / "mdocs/TS_006.mrc.mdoc", MDOC)
        tree.write_file(data / "mdocs/TS_007.mdoc", b"[ZValue = 0]\nTiltAngle = 1\n")
        tree.write_file(data / "a/particles.mrcs", b"one")
        tree.write_file(data / "b/particles.mrcs", b"another")
        write_star(
            data / "tables/particles.star",
            rlnImageName=[f"{n + 1:06}@Extract/a/particles.mrcs" for n in range(9)],
            rlnMicrographName=["MotionCorr/x_00.mrc"] * 9,
        )
        tree.set_times(path)
        yield path


@pytest.fixture(scope="module")
def selectable(root: Path) -> Iterator[ApacheServer]:
    with ApacheServer(root) as server:
        yield server


@pytest.fixture
def described() -> Iterator[EntryApi]:
    """What EMPIAR says of the entry; its second image set isn't where it is said to be."""
    fields = sample_entries()[10988]
    fields["imagesets"] = [
        {**fields["imagesets"][0], "directory": "/data/a/", "data_format": "MRCS"},
        {**fields["imagesets"][0], "directory": "data/elsewhere"},
        {**fields["imagesets"][0], "directory": "data/frames", "data_format": "EER"},
    ]
    with EntryApi({10499: fields}) as api:
        yield api


@pytest.fixture
def run(
    selectable: ApacheServer,
    described: EntryApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Commands:
    monkeypatch.chdir(tmp_path)
    commands = Commands(selectable.url, tmp_path, monkeypatch, capfdbinary)
    monkeypatch.setenv("EMPIARFS_API_URL", described.url)
    return commands


def write_star(path: Path, **columns: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    starfile.write({"particles": import_module("pandas").DataFrame(columns)}, path)


# -- by role ------------------------------------------------------------------------------


def test_files_are_found_by_what_they_are_for(run: Commands) -> None:
    found = run("find", "10499", "--role", "movies")
    assert sorted(found.lines) == ["10499/data/a/particles.mrcs", *FRAMES, *MOVIES]
    assert run("find", "10499", "--role", "particles").lines == ["10499/data/b/particles.mrcs"]
    assert run("find", "10499", "--role", "gain, tilts").lines == ["10499/data/frames/gain.dm4"]
    assert sorted(run("find", "10499", "--role", "metadata", "--role", "unknown").lines) == [
        "10499/10499.pdf",
        "10499/data/mdocs/TS_006.mrc.mdoc",
        "10499/data/mdocs/TS_007.mdoc",
        "10499/data/tables/particles.star",
    ]


def test_each_command_takes_roles(run: Commands) -> None:
    assert run("ls", "10499/data/frames", "--role", "gain").lines == ["gain.dm4"]
    assert run("du", "-b", "10499", "--role", "movies").lines[0].split()[:4] == [
        str(sum(range(100, 112)) + 9 + 3), "B", "16", "files",
    ]  # fmt: skip
    assert run("tree", "10499/data", "--role", "gain").lines[-1] == "6 directories, 1 file"


def test_without_empiars_description_names_tell_roles(run: Commands, described: EntryApi) -> None:
    described.fail_next("broken_json", 10)
    done = run("find", "10499/data/a", "--role", "particles")

    assert (done.status, done.lines) == (0, ["10499/data/a/particles.mrcs"])
    assert done.err.startswith(
        "empiarfs: note: roles are told by names alone: EMPIAR's description of EMPIAR-10499 "
    )
    assert len(done.err.splitlines()) == 1


def test_an_entry_that_empiar_does_not_describe_has_roles(
    run: Commands, described: EntryApi
) -> None:
    described.entries.clear()
    done = run("find", "10499/data/a", "--role", "particles")

    assert (done.status, done.err, len(done.lines)) == (0, "", 1)


def test_many_entries_are_told_by_what_is_stored(run: Commands, described: EntryApi) -> None:
    targets = [f"{number}/data" for number in range(20_000, 20_030)]
    done = run("find", *targets, "10499/data/frames", "--role", "gain")

    assert done.lines == ["10499/data/frames/gain.dm4"]
    assert described.asked == []
    [note] = [line for line in done.err.splitlines() if "note" in line]
    assert note.endswith("(and 30 more)")


def test_nobody_is_asked_for_descriptions_that_are_not_needed(
    run: Commands, described: EntryApi
) -> None:
    run("find", "10499", "--first", "1")
    assert described.asked == []
    for _ in range(2):
        run("find", "10499", "--role", "gain")
    assert described.asked == ["GET 10499"]


# -- by image set -------------------------------------------------------------------------


def test_an_image_set_is_what_lies_in_its_directory(
    run: Commands, selectable: ApacheServer
) -> None:
    mark = selectable.mark()
    assert run("find", "10499", "--image-set", "3", "--role", "movies").lines == FRAMES

    listed = {each.name for each in selectable.requests_since(mark) if each.name.endswith("/")}
    assert not [name for name in listed if name.endswith(("/movies/", "/a/", "/b/"))]
    assert run("find", "10499/data", "--image-set", "1", "--image-set", "3").lines == [
        "10499/data/a/particles.mrcs", *FRAMES, "10499/data/frames/gain.dm4",
    ]  # fmt: skip
    assert run("tree", "10499", "--image-set", "1").lines[1:] == [
        "└── data/",
        "    └── a/",
        "        └── particles.mrcs",
        "",
        "2 directories, 1 file",
    ]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["10499", "--image-set", "4"], 1, "EMPIAR-10499 has 3 image sets, and no number 4"),
        (["10499", "--image-set", "2"], 1,
         "image set 2 of EMPIAR-10499 is said to be in data/elsewhere, which isn't in the"),
        (["10500", "--image-set", "1"], 1, "EMPIAR has no description of EMPIAR-10500"),
        (["empiar", "--image-set", "1"], 2, "--image-set goes with targets in an entry"),
        (["10499", "--image-set", "0"], 2, "--image-set"),
    ],
)  # fmt: skip
def test_an_image_set_that_there_is_not_is_one_line(
    run: Commands, words: list[str], status: int, said: str
) -> None:
    done = run("find", *words)

    assert (done.status, done.out) == (status, b"")
    assert said in done.err.splitlines()[0]


# -- by number ----------------------------------------------------------------------------


def test_the_first_are_those_of_the_order(run: Commands) -> None:
    words = ("find", "10499/data/movies", "--first", "3")

    assert run(*words).lines == MOVIES[:3]
    assert run(*words, "--sort", "size", "-r").lines == MOVIES[:-4:-1]
    assert run("ls", "10499/data/movies", "--first", "2", "-r").lines == ["x_11.tif", "x_10.tif"]
    assert run("du", "-b", "10499/data/movies", "--first", "2").lines[0].split()[0] == "201"


def test_the_first_cost_no_more_listings_and_sizes_than_needed(
    run: Commands, selectable: ApacheServer
) -> None:
    mark = selectable.mark()
    found = run("find", "-l", "10499/data", "--first", "1", "--name", "*.mrcs").lines

    heads = [each for each in selectable.requests_since(mark) if each.method == "HEAD"]
    assert len(found) == len(heads) == 1


def test_a_sample_is_the_same_for_the_same_seed(run: Commands, selectable: ApacheServer) -> None:
    words = ("find", "10499/data/movies", "--role", "movies", "--sample", "4")
    first = run(*words, "--seed", "5")
    mark = selectable.mark()
    again = run(*words, "--seed", "5", "-l", "--sort", "size", "-r")

    assert len(first.lines) == 4
    assert {line.split()[-1] for line in again.lines} == set(first.lines)
    sizes = [int(line.split()[1]) for line in again.lines]
    assert sizes == sorted(sizes, reverse=True)
    heads = [each for each in selectable.requests_since(mark) if each.method == "HEAD"]
    assert {each.name.rpartition("/")[2] for each in heads} == {
        name.rpartition("/")[2] for name in first.lines
    }
    assert run(*words, "--seed", "6").lines != first.lines
    assert run(*words).lines == run(*words, "--seed", "0").lines


# -- by tables ----------------------------------------------------------------------------


def test_a_star_file_of_the_archive_names_its_stack(run: Commands) -> None:
    table = "EMPIAR-10499/data/tables/particles.star"
    done = run("find", "10499", "--from-star", table)

    assert (done.status, done.lines) == (0, ["10499/data/a/particles.mrcs"])
    assert done.err == (
        f"empiarfs: note: {table}: rlnMicrographName names MotionCorr/x_00.mrc, "
        "which wasn't found in 10499\n"
    )
    assert run("find", "-q", "10499", "--from-star", table).err == ""


def test_a_local_star_file_names_movies_and_what_is_missing_is_told(run: Commands) -> None:
    write_star(
        Path("movies.star"),
        rlnMicrographMovieName=[f"Movies/x_{number:02}.tif" for number in range(11, 13)],
    )
    done = run("find", "--url", "10499", "--from-star", "movies.star")

    assert done.status == 1
    assert done.lines == [run.url + MOVIES[11]]
    assert done.err == (
        "empiarfs: error: movies.star: rlnMicrographMovieName names Movies/x_12.tif, "
        "which wasn't found in 10499\n"
    )


def test_a_name_that_several_files_have_is_told(run: Commands) -> None:
    write_star(Path("x.star"), rlnImageName=["000001@c/particles.mrcs"])
    done = run("find", "10499", "--from-star", "x.star")

    assert done.status == 0
    assert done.lines == ["10499/data/a/particles.mrcs", "10499/data/b/particles.mrcs"]
    assert "note: x.star: 1 of the names in rlnImageName fit several files each" in done.err


def test_many_missing_files_are_a_few_lines(run: Commands) -> None:
    names = [*(f"{number}.tif" for number in range(1000)), "x_00.tif"]
    write_star(Path("x.star"), rlnMicrographMovieName=names)
    done = run("find", "10499", "--from-star", "x.star")

    assert done.lines == MOVIES[:1]
    assert len(done.err.splitlines()) == 11
    assert done.err.splitlines()[-1].endswith("and 990 more of rlnMicrographMovieName")


def test_a_table_of_cryosparc_names_what_it_imported(run: Commands) -> None:
    rows = numpy.zeros(4, dtype=[("uid", "<u8"), ("movie_blob/path", "S80")])
    rows["movie_blob/path"] = [f">J1/imported/{n:021}_x_{n:02}.tif".encode() for n in range(4)]
    with Path("exported.cs").open("wb") as file:
        numpy.save(file, rows, allow_pickle=False)
    done = run("find", "10499", "--from-cs", "exported.cs")

    assert (done.status, done.err, done.lines) == (0, "", MOVIES[:4])


def test_a_tilt_series_is_what_its_mdoc_names(run: Commands, selectable: ApacheServer) -> None:
    mdoc = "10499/data/mdocs/TS_006.mrc.mdoc"
    mark = selectable.mark()
    done = run("find", "10499", "--tilt-series", "TS_006")

    assert (done.status, sorted(done.lines)) == (0, [*FRAMES, mdoc])
    assert done.err == (
        f"empiarfs: note: {mdoc}: ImageFile names TS_006.mrc, which wasn't found in 10499\n"
    )
    pages = [each.name for each in selectable.requests_since(mark) if each.name.endswith("/")]
    assert len(pages) == len(set(pages))


def test_frames_may_lie_in_another_target_than_their_mdoc(run: Commands) -> None:
    done = run("du", "-b", "10499/data/frames", "10499/data/mdocs", "--tilt-series", "TS_006")

    assert [line.split()[:1] + line.split()[2:3] for line in done.lines] == [
        ["9", "3"], [str(len(MDOC)), "1"],
    ]  # fmt: skip


def test_all_that_is_given_has_to_match(run: Commands) -> None:
    write_star(Path("x.star"), rlnMicrographMovieName=["TS_006_001.eer", "x_00.tif"])
    words = ("find", "10499", "--tilt-series", "TS_006", "--from-star", "x.star")

    assert run(*words).lines == [FRAMES[1]]
    assert run(*words, "--role", "metadata").lines == []
    assert run(*words, "--name", "*.eer", "--first", "5").lines == [FRAMES[1]]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--role", "films"], 2, "'films' is no role; write one of movies, micrographs, "),
        (["--seed", "3"], 2, "--seed goes with --sample"),
        (["--first", "0"], 2, "--first"),
        (["--role", "gain", "--type", "d"], 2, "--type d doesn't go with what is said of files"),
        (["--from-star", "nothing.star"], 1, "nothing.star: No such file or directory"),
        (["--from-star", "."], 1, ".: is no file"),
        (["--from-star", "10499/data/no.star"], 1, "data/no.star: there is no such file in"),
        (["--from-star", "10499/data"], 1, "10499/data: is a directory"),
        (["--from-star", "https://elsewhere.org/x.star"], 2, "is not below"),
        (["--from-star", "10499/10499.pdf"], 1, "10499/10499.pdf: it names no files"),
        (["--from-cs", "10499/10499.pdf"], 1, "10499/10499.pdf: it is no .cs file"),
        (["--tilt-series", "TS_06"], 1,
         "no mdoc file of the tilt series TS_06 was found; there are TS_006, TS_007"),
        (["--tilt-series", "TS_007"], 1, "10499/data/mdocs/TS_007.mdoc: it names no files"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_one_line(
    run: Commands, words: list[str], status: int, said: str
) -> None:
    done = run("find", "10499", *words)

    assert (done.status, done.out) == (status, b"")
    assert said in done.err.splitlines()[0]
    assert "Traceback" not in done.err


def test_a_pipe_is_no_table_and_nobody_waits_for_it(run: Commands) -> None:
    os.mkfifo("x.star")

    assert run("find", "10499", "--from-star", "x.star").err == (
        "empiarfs: error: x.star: is no file\n"
    )


def test_a_table_that_names_nothing_here_is_an_error(run: Commands) -> None:
    write_star(Path("x.star"), rlnMicrographName=["a.mrc", "b.mrc"])
    done = run("find", "10499", "--from-star", "x.star")

    assert (done.status, done.out) == (1, b"")
    assert done.err == (
        "empiarfs: error: x.star: of the 2 files that it names none was found in 10499\n"
    )


def test_a_target_that_is_not_there_leaves_the_others(run: Commands) -> None:
    done = run("find", "10499/data/none", "10499/data/frames", "--tilt-series", "TS_006")
    assert (done.status, done.out) == (1, b"")

    write_star(Path("x.star"), rlnMicrographMovieName=["x_00.tif"])
    done = run("find", "10499/data/none", "10499/data/movies", "--from-star", "x.star")
    assert (done.status, done.lines) == (1, MOVIES[:1])
    assert len(done.err.splitlines()) == 1


def test_a_directory_that_can_not_be_read_is_told_once(
    run: Commands, expects_warnings: object
) -> None:
    with tree.temporary_root() as root:
        for name in FRAMES:
            tree.write_file(root / name, b"eer")
        tree.write_file(root / "10499/data/mdocs/TS_006.mdoc", MDOC)
        tree.write_file(root / "10499/data/closed/x", b"x")
        (root / "10499/data/closed").chmod(0)
        with ApacheServer(root) as server:
            done = run("find", "--archive-url", server.url, "10499", "--tilt-series", "TS_006")

    assert done.status == 1
    assert len(done.lines) == 4
    [error] = [line for line in done.err.splitlines() if "error" in line]
    assert error.startswith("empiarfs: error: 10499/data/closed/: ")
