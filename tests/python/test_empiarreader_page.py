"""The examples of docs/empiarreader.md do what the page shows."""

from __future__ import annotations

import doctest
import shlex
from collections.abc import Iterator
from pathlib import Path

import mrcfile
import numpy
import pytest

from empiarfs.config import DEFAULT_ARCHIVE_URL
from tests.python.conftest import use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands
from tests.support.entry_api import EntryApi, sample_entries
from tests.support.pages import examples, shown_by
from tests.support.users import CHECKOUT

pytestmark = pytest.mark.apache

PAGE = CHECKOUT / "docs" / "empiarreader.md"
STAR = b"data_optics\n\nloop_\n_rlnVoltage #1\n300\n\ndata_particles\n\nloop_\n_rlnImageName #1\n"
STAR += b"".join(b"%06d@stack.mrcs\n" % number for number in (1, 2, 3))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve what the page looks into."""
    with tree.temporary_root() as root:
        data = root / "10934/data"
        tree.write_file(data / "particles.star", STAR)
        (data / "micrographs").mkdir()
        for number in (1, 2, 3):
            path = data / f"micrographs/movie_00{number}.mrc"
            with mrcfile.new(path, numpy.full((8, 256, 320), number, "float32")) as movie:
                movie.set_image_stack()
                movie.voxel_size = 1.5
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield server.url


@pytest.fixture
def api() -> Iterator[EntryApi]:
    fields = sample_entries()[10934]
    fields["imagesets"][0] |= {
        "name": "Micrographs of human Pol kappa", "directory": "/data/micrographs",
    }  # fmt: skip
    with EntryApi({10934: fields}) as api:
        yield api


def test_the_examples_in_python_print_what_the_page_shows(
    url: str, api: EntryApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, url, api.url)
    page = PAGE.read_text(encoding="utf-8").replace(DEFAULT_ARCHIVE_URL, url)
    test = doctest.DocTestParser().get_doctest(page, {}, PAGE.name, str(PAGE), 0)
    said: list[str] = []
    doctest.DocTestRunner().run(test, out=said.append)

    assert len(test.examples) > 15
    assert "".join(said) == ""


@pytest.mark.parametrize(("command", "printed"), examples(PAGE), ids=lambda text: text[:60])
def test_a_command_prints_what_the_page_shows(
    url: str,
    command: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    name, *words = shlex.split(command)
    done = Commands(url, tmp_path, monkeypatch, capfdbinary)(*words)

    assert (name, done.status, done.err) == ("empiarfs", 0, "")
    assert shown_by(printed.replace(DEFAULT_ARCHIVE_URL, url), done.out.decode())
