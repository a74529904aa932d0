"""The examples of docs/python.md do what the page shows."""

from __future__ import annotations

import bz2
import doctest
import importlib.metadata
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mrcfile
import numpy
import pytest
import tifffile

import empiarfs
from empiarfs.config import DEFAULT_ARCHIVE_URL
from empiarfs.python.filesystem import EmpiarFileSystem
from tests.python.conftest import use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.entry_api import EntryApi, sample_entries
from tests.support.training import needs_torch
from tests.support.users import CHECKOUT

pytestmark = pytest.mark.apache

STAR = b"data_optics\n\nloop_\n_rlnVoltage #1\n300\n\ndata_particles\n\nloop_\n_rlnImageName #1\n"
STAR += b"".join(b"%06d@stack.mrcs\n" % number for number in (7, 2, 3))
MDOC = b"""ImageSize = 5760 4092

[ZValue = 0]
TiltAngle = -60.01
StagePosition = -12.3 4

[ZValue = 1]
TiltAngle = -57.0
"""
PAGE = CHECKOUT / "docs" / "python.md"
# NumPy has threads, though none that matters to a fork.
IGNORED = ("-W", "ignore:This process:DeprecationWarning")


@pytest.fixture
def url() -> Iterator[str]:
    """Serve what the page looks into."""
    with tree.temporary_root() as root:
        data = root / "10934/data"
        movie = io.BytesIO()
        tifffile.imwrite(movie, numpy.zeros((8, 256, 320), "uint16"), photometric="minisblack")
        for number in (1, 2, 3):
            tree.write_file(data / f"movies/movie_00{number}.tif", movie.getvalue())
        tree.write_file(data / "particles.star", STAR)
        tree.write_file(data / "movies/TS_006.mdoc", MDOC)
        with mrcfile.new(data / "stack.mrcs", numpy.zeros((15, 100, 100), "float32")) as stack:
            stack.set_image_stack()
            stack.voxel_size = 1.5
        packed = bz2.compress((data / "stack.mrcs").read_bytes())
        tree.write_file(data / "movies/old_001.mrcs.bz2", packed)
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield server.url


@pytest.fixture
def api() -> Iterator[EntryApi]:
    fields = sample_entries()[10934]
    fields["imagesets"][0]["directory"] = "/data/movies"
    with EntryApi({10934: fields}) as api:
        yield api


def shown() -> str:
    """Return the page as doctest reads it."""
    return PAGE.read_text(encoding="utf-8").replace("…", "...")


def test_the_examples_print_what_the_page_shows(
    url: str, api: EntryApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, url, api.url)
    page = shown().replace(DEFAULT_ARCHIVE_URL, url)
    test = doctest.DocTestParser().get_doctest(page, {}, "docs/python.md", str(PAGE), 0)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    EmpiarFileSystem.clear_instance_cache()

    assert len(test.examples) > 25
    assert "".join(said) == ""


def programs(title: str) -> str:
    """Return the programs of a section of the page, one after the other."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")
    section, _, _ = rest.partition("\n## ")
    return "\n".join(["import empiarfs", *re.findall(r"```python\n(.*?)```", section, re.DOTALL)])


def run(title: str, folder: Path) -> str:
    """Run the programs of a section as users do, and return what they complain of."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *IGNORED, "-c", programs(title)],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return done.stderr or str(done.returncode)


def test_the_section_on_zarr_is_right(
    url: str, api: EntryApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if importlib.metadata.version("zarr").startswith("2."):
        pytest.skip("zarr 3 needs Python 3.11")
    use(monkeypatch, url, api.url)

    assert run("Stacks in place, for zarr", tmp_path) == "0"
    assert [path.name for path in tmp_path.glob("*.json")] == ["stack.json"]


@needs_torch
def test_the_section_on_training_is_right(
    url: str, api: EntryApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, url, api.url)

    assert run("Training", tmp_path) == "0"


def test_the_sections_with_programs_have_some() -> None:
    assert programs("Stacks in place, for zarr").count("assert") == 2
    assert programs("Training").count("assert") == 1


def test_every_name_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    names = [name for name in empiarfs.__all__ if name[0].islower()]

    assert [name for name in names if not re.search(rf"\bempiarfs\.{name}\b", text)] == []
