"""The examples of docs/without-a-mount.md do what the page shows."""

from __future__ import annotations

import calendar
import io
import os
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import mrcfile
import numpy
import pytest

from empiarfs.config import DEFAULT_ARCHIVE_URL
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands
from tests.support.entry_api import EntryApi, sample_entries
from tests.support.pages import examples
from tests.support.users import CHECKOUT

pytestmark = pytest.mark.apache

PAGE = CHECKOUT / "docs" / "without-a-mount.md"
PARTICLES = """data_optics

loop_
_rlnOpticsGroup #1
_rlnVoltage #2
1 300.0

data_particles

loop_
_rlnImageName #1
_rlnCoordinateX #2
000001@stack.mrcs 12.5
000002@stack.mrcs 99.0
000003@stack.mrcs 140.25
000004@stack.mrcs 7.0
"""
MDOC = """ImageFile = TS_006.mrc

[ZValue = 0]
TiltAngle = 0.0
SubFramePath = D:\\frames\\TS_006_000_0.0.eer

[ZValue = 1]
TiltAngle = 3.0
SubFramePath = D:\\frames\\TS_006_001_3.0.eer
"""


def make_archive(root: Path) -> None:
    """Make what the page lists."""
    data = root / "10934/data"
    tree.write_file(root / "10934/10934.xml", b"<entry/>\n")
    for number, size in enumerate((2_100_000, 2_100_000, 2_100_500), 1):
        tree.write_file(data / f"movies/movie_{number:03}.tif", bytes(size))
    tree.write_file(data / "particles.star", PARTICLES.encode())
    with mrcfile.new(data / "stack.mrcs", numpy.zeros((15, 100, 100), "float32")) as stack:
        stack.set_image_stack()
        stack.voxel_size = 1.06
        stack.header.label[0] = "made by a test"
    for path, clock in (
        ("movies/movie_001.tif", "11:19:15"),
        ("movies/movie_002.tif", "11:20:15"),
        ("movies/movie_003.tif", "11:21:15"),
        ("particles.star", "11:22:15"),
        ("stack.mrcs", "11:23:15"),
        ("../10934.xml", "11:24:15"),
        ("movies", "12:00:00"),
        ("", "12:00:00"),
        ("..", "12:00:00"),
    ):
        seconds = calendar.timegm(time.strptime(f"2021-11-06 {clock}", "%Y-%m-%d %H:%M:%S"))
        os.utime(data / path, (seconds, seconds))


def make_tilt_series(root: Path) -> None:
    """Make the entry of a tomogram that the page looks into, and a table of cryoSPARC."""
    data = root / "10499/data"
    tree.write_file(data / "TS_006.mrc.mdoc", MDOC.encode())
    for name in ("TS_006_000_0.0", "TS_006_001_3.0", "TS_007_000_0.0"):
        tree.write_file(data / f"frames/{name}.eer", bytes(1000))
    tree.write_file(data / "frames/gain.tif", bytes(1000))
    rows = numpy.zeros(2, dtype=[("uid", "<u8"), ("movie_blob/path", "S64")])
    rows["movie_blob/path"] = [
        b">J1/imported/000000000000000000001_TS_006_001_3.0.eer",
        b">J1/imported/000000000000000000002_TS_006_002_6.0.eer",
    ]
    table = io.BytesIO()
    numpy.save(table, rows, allow_pickle=False)
    tree.write_file(data / "exported.cs", table.getvalue())


@pytest.fixture(scope="module")
def documented() -> Iterator[ApacheServer]:
    with tree.temporary_root() as root:
        make_archive(root)
        make_tilt_series(root)
        with ApacheServer(root) as server:
            yield server


@pytest.fixture(scope="module")
def described() -> Iterator[EntryApi]:
    """What EMPIAR says of the entry, with the directory that the page's archive has."""
    fields = sample_entries()[10934]
    fields["imagesets"][0]["directory"] = "/data/movies"
    with EntryApi({10934: fields}) as api:
        yield api


@pytest.mark.parametrize(("command", "printed"), examples(PAGE), ids=lambda text: text[:60])
def test_an_example_prints_what_the_page_shows(
    documented: ApacheServer,
    described: EntryApi,
    command: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    run = Commands(documented.url, tmp_path, monkeypatch, capfdbinary)
    monkeypatch.setenv("EMPIARFS_API_URL", described.url)
    if re.search(r"[|<>]", command):
        done = run.in_shell(command)
        shown = (done.stdout + done.stderr).decode()
    else:
        words = shlex.split(command)
        assert words[0] == "empiarfs"
        ended = run(*words[1:])
        shown = ended.out.decode() + ended.err

    hosts = re.compile(r"(http|ftp)://127\.0\.0\.1(:\d+)?/")
    real = DEFAULT_ARCHIVE_URL.partition("://")[2].partition("/")[0]
    shown = hosts.sub(lambda m: f"{m[1].replace('http', 'https')}://{real}/", shown)
    # A pipe that ends in `tr` has no newline at its end.
    assert shown.rstrip("\n") == printed.rstrip("\n")


def test_every_command_of_the_page_has_an_example() -> None:
    titles = re.findall(r"^## ([a-z, ]+):", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    commands = {word for title in titles for word in re.split(r", | and ", title)}

    assert commands == {command.split()[1] for command, _ in examples(PAGE)}
