"""The same arrays as the real EMPIARreader's, from fewer bytes of the same server.

It needs an environment of its own, whose interpreter `EMPIARREADER_PYTHON` names.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy
import pytest

from tests.python.conftest import Served, use
from tests.support.entry_api import EntryApi, Fields, sample_entries

PYTHON = os.environ.get("EMPIARREADER_PYTHON")

pytestmark = [
    pytest.mark.apache,
    pytest.mark.skipif(not PYTHON, reason="EMPIARREADER_PYTHON names no interpreter"),
]

# The addresses are part of its source.
_THEIRS = """
import sys
from empiarreader import EmpiarCatalog, EmpiarSource
url, api, save = sys.argv[1:4]
first = 5  # what comes before are the headings of the listing and the link to its parent
EmpiarSource._empiar_url_ftp_over_https_base = url.rstrip("/")
EmpiarCatalog._empiar_url_api_base = api.rstrip("/")
"""
# What is done by both, with `found` as its outcome.
_MOVIE = 'EmpiarSource(10017, "data/movies", filename="*.mrcs")'
_CASES = {
    "a frame of a partition": f"found = {_MOVIE}.read_partition(0)[5]",
    "a frame by dask": f"found = {_MOVIE}.to_dask().raster[0, 5]",
    "a row of a micrograph": (
        r'source = EmpiarSource(10017, "data/micrographs", filename=r".*_\d+\.mrc", regexp=True)'
        "\nfound = source.read_partition(0)[200]"
    ),
    "all of a movie": f"found = {_MOVIE}.read().raster",
    "an image set": 'found = EmpiarCatalog(10017)["Movies"].read_partition(first)[7]',
    "a table": (
        'source = EmpiarSource(10028, "data/particles", filename="*.star")\n'
        'found = source.read().rlnCoordinateX'
    ),
}  # fmt: skip
# Of their bytes, at most so many are ours; where all is read, as many.
_SHARES = {"a frame of a partition": 0.2, "a frame by dask": 0.2, "a row of a micrograph": 0.2}
_SAVE = """
import numpy
labels = {name: found.coords[name].values for name in found.coords}
told = [str(found.dims), str(found.attrs.get("filename")), str(found.attrs.get("voxel_size"))]
numpy.savez(save, values=found.values, told=numpy.array(told), **labels)
"""


@pytest.fixture
def api() -> Any:
    def fields(directory: str) -> Fields:
        known = sample_entries()[10934]
        [image_set, *_] = known["imagesets"]
        image_set |= {"name": "Movies", "directory": directory, "data_format": "MRCS"}
        return known | {"imagesets": [image_set]}

    with EntryApi({10017: fields("data/movies"), 10028: fields("data/other")}) as api:
        yield api


def outcome(path: Path) -> dict[str, Any]:
    with numpy.load(path) as saved:
        return dict(saved)


@pytest.mark.parametrize("case", _CASES)
def test_arrays_are_the_same_and_cost_no_more(
    archive: Served, api: EntryApi, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, archive.server.url, api.url)
    script = f"{_CASES[case]}\n{_SAVE}"
    mark = archive.server.mark()
    theirs = [str(PYTHON), "-W", "ignore", "-c", _THEIRS + script]
    words = [archive.server.url, api.url, str(tmp_path / "theirs.npz")]
    subprocess.run([*theirs, *words], timeout=100, check=True)
    their_bytes = sent_since(archive, mark)
    mark = archive.server.mark()
    names = {"save": str(tmp_path / "ours.npz"), "first": 0}
    exec(f"from empiarfs.compat.empiarreader import *\n{script}", names)
    our_bytes = sent_since(archive, mark)
    expected, found = outcome(tmp_path / "theirs.npz"), outcome(tmp_path / "ours.npz")
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        numpy.testing.assert_array_equal(found[name], values)
    assert our_bytes <= their_bytes * _SHARES.get(case, 1)


def sent_since(archive: Served, mark: int) -> int:
    """Return how many bytes were sent since `ApacheServer.mark`, of files alone."""
    files = (
        each
        for each in archive.server.requests_since(mark)
        if each.method == "GET" and not each.path.partition("?")[0].endswith("/")
    )
    return sum(each.size for each in files if each.status in (200, 206))
