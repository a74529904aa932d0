"""Entries: what EMPIAR says of them, and their files by what they are."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import empiarfs
from empiarfs.errors import ConfigError
from tests.python.conftest import Served, use
from tests.support.broken_server import BrokenServer, Fault
from tests.support.entry_api import EntryApi, sample_entries
from tests.support.users import CHECKOUT

FILES = {
    "10934/10934.xml": b"<entry/>",
    "10934/data/movies/a_001.tif": b"1",
    "10934/data/movies/a_002.tif": b"22",
    "10934/data/movies/gain.mrc": b"g",
    "10934/data/mics/b_001.mrc": b"m",
    "10934/data/mics/b_002.MRC": b"m",
    "10934/data/particles.star": b"data_",
}


@pytest.fixture
def api() -> Iterator[EntryApi]:
    fields = sample_entries()[10934]
    fields["imagesets"][0]["directory"] = "/data/mics"
    fields["imagesets"][0]["category"] = "('T1', '')"
    with EntryApi({10934: fields}) as api:
        yield api


@pytest.fixture
def server(api: EntryApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as server:
        use(monkeypatch, server.url, api.url)
        yield server
        empiarfs.close()


def test_it_asks_for_nothing_before_it_is_asked(server: BrokenServer, api: EntryApi) -> None:
    entry = empiarfs.entry(10934)
    entry.files("**/*.mrc", role="movies").sample(3).first(2)

    assert (entry.number, entry.accession) == (10934, "EMPIAR-10934")
    assert "EMPIAR-10934" in repr(entry)
    assert (server.requests, api.asked) == ([], [])


def test_its_metadata_are_asked_for_once(server: BrokenServer, api: EntryApi) -> None:
    entry = empiarfs.entry("EMPIAR-10934")
    fields = sample_entries()[10934]

    assert (entry.title, entry.doi) == (fields["title"], "10.6019/EMPIAR-10934")
    assert entry.image_sets[0].directory == "data/mics"
    assert entry.metadata.number == 10934
    assert empiarfs.entry("10.6019/EMPIAR-10934").title == entry.title
    assert pickle.loads(pickle.dumps(entry)).title == entry.title
    assert api.asked == ["GET 10934"]


def test_an_entry_that_there_is_not_is_not_found(server: BrokenServer) -> None:
    with pytest.raises(FileNotFoundError):
        assert empiarfs.entry(10935).title
    with pytest.raises(FileNotFoundError):
        list(empiarfs.entry(10935).files())
    with pytest.raises(ConfigError, match="is no entry"):
        empiarfs.entry("empiar:")


@pytest.mark.parametrize(
    ("globs", "found"),
    [
        ((), sorted(FILES)),
        (("*.mrc",), ["10934/data/mics/b_001.mrc", "10934/data/movies/gain.mrc"]),
        (("**/*.mrc",), ["10934/data/mics/b_001.mrc", "10934/data/movies/gain.mrc"]),
        (("data/mics/*",), ["10934/data/mics/b_001.mrc", "10934/data/mics/b_002.MRC"]),
        (("*.xml", "*.star"), ["10934/10934.xml", "10934/data/particles.star"]),
        (("nothing",), []),
    ],
)
def test_files_are_chosen_by_patterns(
    server: BrokenServer, globs: tuple[str, ...], found: list[str]
) -> None:
    assert sorted(empiarfs.entry(10934).files(*globs)) == found


def test_files_are_chosen_by_roles_and_image_sets(server: BrokenServer) -> None:
    entry = empiarfs.entry(10934)

    assert list(entry.files(role="gain")) == ["10934/data/movies/gain.mrc"]
    assert sorted(entry.files(role=["metadata", "gain"], ignore_case=True)) == [
        "10934/10934.xml", "10934/data/movies/gain.mrc", "10934/data/particles.star",
    ]  # fmt: skip
    assert len(entry.files("*.mrc", image_set=1, ignore_case=True)) == 2
    with pytest.raises(OSError, match="no number 7"):
        len(entry.files(image_set=7))
    with pytest.raises(ValueError, match="'films' is no role"):
        entry.files(role="films")
    with pytest.raises(ValueError, match="counted from 1"):
        entry.files(image_set=0)


def test_files_are_chosen_by_tables(server: BrokenServer, tmp_path: Path) -> None:
    star = "data_particles\n\nloop_\n_rlnMicrographName #1\nmics/b_001.mrc\nmics/b_009.mrc\n"
    server.put("10934/data/particles.star", star.encode())
    server.put("10934/data/TS_1.mdoc", b"[ZValue = 0]\nSubFramePath = D:\\movies\\a_001.tif\n")
    local = tmp_path / "mine.star"
    local.write_text(star.replace("b_009", "b_001"))
    entry = empiarfs.entry(10934)

    with pytest.warns(UserWarning, match="names mics/b_009.mrc, which the entry doesn't have"):
        assert list(entry.files(from_star="10934/data/particles.star")) == [
            "10934/data/mics/b_001.mrc"
        ]
    assert list(entry.files("*.mrc", from_star=[local])) == ["10934/data/mics/b_001.mrc"]
    assert sorted(entry.files(tilt_series="TS_1")) == [
        "10934/data/TS_1.mdoc", "10934/data/movies/a_001.tif",
    ]  # fmt: skip
    assert list(entry.files("*.tif", tilt_series="TS_1").first(1)) == [
        "10934/data/movies/a_001.tif"
    ]
    with pytest.raises(OSError, match="no mdoc file of the tilt series TS_2"):
        list(entry.files(tilt_series="TS_2"))
    with pytest.raises(FileNotFoundError):
        list(entry.files(from_star=tmp_path / "none.star"))
    with pytest.raises(OSError, match="is no file"):
        list(entry.files(from_star=tmp_path))
    with pytest.raises(FileNotFoundError):
        list(entry.files(from_star="10934/data/none.star"))
    with pytest.raises(OSError, match=r"a_001\.tif"):
        list(entry.files(from_cs="10934/data/movies/a_001.tif"))


def test_without_a_description_roles_are_told_by_names_with_a_warning(
    server: BrokenServer, api: EntryApi
) -> None:
    api.fail_next("broken_json", 10)

    with pytest.warns(UserWarning, match="told by names alone"):
        assert list(empiarfs.entry(10934).files(role="gain")) == ["10934/data/movies/gain.mrc"]


def test_files_are_a_sequence(server: BrokenServer) -> None:
    files = empiarfs.entry(10934).files("*.tif")

    assert (len(files), files[0], files[-1]) == (2, *list(files))
    assert files[:1] == ("10934/data/movies/a_001.tif",)
    assert "10934/data/movies/a_002.tif" in files
    assert "2 of them" in repr(files)
    assert list(pickle.loads(pickle.dumps(files)).first(1)) == [files[0]]
    with empiarfs.open(files[1]) as file:
        assert file.read() == b"22"


def test_the_first_few_cost_no_more_listings_than_that_takes(server: BrokenServer) -> None:
    files = empiarfs.entry(10934).files("data/mics/*").first(1)

    assert list(files) == ["10934/data/mics/b_001.mrc"]
    assert list(empiarfs.entry(10934).files().first(100)) == list(empiarfs.entry(10934).files())
    with pytest.raises(ValueError, match="isn't between"):
        files.first(0)


def test_a_sample_is_that_of_the_commands(server: BrokenServer) -> None:
    files = empiarfs.entry(10934).files("*").sample(3, seed=7)
    words = ["find", "10934", "--type", "f", "--sample", "3", "--seed", "7"]
    done = subprocess.run(
        [sys.executable, "-m", "empiarfs", *words],
        cwd=CHECKOUT, env=dict(os.environ), capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert sorted(files) == sorted(done.stdout.split())
    assert list(files) == list(empiarfs.entry(10934).files("*").sample(3, seed=7))
    assert list(files) != list(empiarfs.entry(10934).files("*").sample(3, seed=8))


def test_a_directory_that_cannot_be_listed_is_no_gap(server: BrokenServer) -> None:
    empiarfs.configure(lookup_wait="1s")
    server.fault("10934/data/mics/", Fault.answer(500), times=100)

    with pytest.raises(OSError, match="10934"):
        list(empiarfs.entry(10934).files())


@pytest.mark.apache
def test_it_works_on_a_real_server(archive: Served) -> None:
    files = empiarfs.entry(10017).files("**/*.mrc*")

    assert sorted(files) == [
        "10017/data/gain.mrc", "10017/data/micrographs/Falcon_001.mrc",
        "10017/data/movies/movie_001.mrcs",
    ]  # fmt: skip
