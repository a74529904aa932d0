"""EMPIARreader's own cases and examples, written anew, and what is said of its interface here."""

from __future__ import annotations

import bz2
import io
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import mrcfile
import numpy
import pytest
import starfile
import tifffile

import empiarfs
from empiarfs.compat.empiarreader import EmpiarCatalog, EmpiarSource, MrcSource, StarSource
from empiarfs.errors import ConfigError
from empiarfs.python.filesystem import EmpiarFileSystem
from tests.python.conftest import Served, use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer
from tests.support.entry_api import SAMPLES, EntryApi, sample_entries

PIECE = 64 * 1024
CASE = "Unaligned movies for Case 1"
CORRECTED = "data/MotionCorr/job003/Tiff/EER/Images-Disc1/GridSquare_11149061/Data"
HOLE = "FoilHole_111616{}_Data_11149751_11149753_20210911_222712_{}"
LARGE = "10934/data/large/stack 1.mrcs"

pytestmark = pytest.mark.apache


def write_mrc(path: Path, data: Any, voxel: float = 1.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, data) as file:
        if data.ndim == 3:
            file.set_image_stack()
        file.voxel_size = voxel


def noise(shape: tuple[int, ...], kind: str, seed: int = 1) -> Any:
    return numpy.random.default_rng(seed).normal(100, 20, shape).astype(kind)


@pytest.fixture(scope="module")
def images() -> Iterator[Served]:
    with tree.temporary_root() as root:
        for number in range(3):
            name = HOLE.format(number, "EER.mrc")
            write_mrc(root / "10943" / CORRECTED / name, noise((30, 40), "f4", number))
            tree.write_file(root / "10943" / CORRECTED / HOLE.format(number, "EER.log"), b"log")
        write_mrc(root / LARGE, noise((12, 300, 320), "f4"))
        write_mrc(root / "10934/data/nine/tmp.mrc", numpy.arange(9, dtype="f4").reshape(3, 3))
        write_mrc(root / "10934/data/sizes/a.mrc", noise((30, 40), "f4"))
        write_mrc(root / "10934/data/sizes/b.mrc", noise((20, 50), "f4"))
        movie = io.BytesIO()
        tifffile.imwrite(movie, noise((4, 16, 20), "u2"), photometric="minisblack")
        tree.write_file(root / "10934/data/tiff/movie.tif", movie.getvalue())
        packed = bz2.compress(movie.getvalue())
        tree.write_file(root / "10934/data/tiff/packed_003111_fractions.tiff.bz2", packed)
        volume = bz2.compress((root / LARGE).read_bytes())
        tree.write_file(root / "10934/data/tiff/stack.mrc.bz2", volume)
        table = b"data_\n\nloop_\n_a #1\n_b #2\n1 4\n2 5\n3 6\n"
        tree.write_file(root / "10934/data/star/one.star", table)
        tree.write_file(root / "10934/data/star/pairs.star", b"data_pairs\n\n_rlnA 1\n_rlnB 2\n")
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield Served(root, server)


@pytest.fixture
def api() -> Iterator[EntryApi]:
    fields = sample_entries()[10934]
    image_set = fields["imagesets"][0] | {"name": CASE, "directory": "/data/large"}
    with EntryApi({10340: fields | {"imagesets": [image_set]}}) as api:
        yield api


@pytest.fixture
def archive(images: Served, api: EntryApi, monkeypatch: pytest.MonkeyPatch) -> Served:
    use(monkeypatch, images.server.url, api.url)
    return images


class TestItsOwnCases:
    """What the tests, the notebooks and the pages of EMPIARreader do with it."""

    def test_an_image_set_of_the_catalog(self, archive: Served, api: EntryApi) -> None:
        catalog = EmpiarCatalog(10340)
        assert api.asked == []
        assert CASE in catalog.keys()  # noqa: SIM118 # as theirs does
        source = catalog[list(catalog.keys())[0]]  # noqa: RUF015
        assert isinstance(source, EmpiarSource)
        assert source.directory == "/data/large"
        assert source.imageset_metadata["frames_per_image"] == 45
        assert EmpiarCatalog.fetch_entry_data(10340)["imagesets"][0]["name"] == CASE
        assert api.asked == ["GET 10340"]
        with pytest.raises(KeyError):
            catalog["none"]

    def test_a_regular_expression_for_names(self, archive: Served) -> None:
        source = EmpiarSource(10943, CORRECTED, filename=".*EER\\.mrc", regexp=True)
        part = source.read_partition(1)
        name = f"10943/{CORRECTED}/{HOLE.format(1, 'EER.mrc')}"
        assert part.filename == archive.server.url + name
        assert part[0][0] == pytest.approx(mrcfile.read(archive.root / name)[0, 0])
        assert source.npartitions == 3

    def test_an_mrc_file(self, archive: Served) -> None:
        found = MrcSource("10934/data/nine/tmp.mrc").read()
        assert found.raster.dims == ("partition", "y", "x")
        assert found.raster.values.tolist() == [[[0, 1, 2], [3, 4, 5], [6, 7, 8]]]

    def test_a_star_file(self, archive: Served) -> None:
        source = EmpiarSource(10934, "data/star", filename="*one.star")
        frame = source.read().sel(frame=0, partition=0).to_dataframe()
        expected = starfile.read(archive.root / "10934/data/star/one.star")
        assert expected.equals(frame.drop(columns=["filename", "frame"]))
        assert source.read_partition(0).filename.endswith("/one.star")

    def test_a_packed_movie(self, archive: Served) -> None:
        source = EmpiarSource(10934, "data/tiff", filename="*003111*.tiff.bz2", regexp=False)
        part = source.read_partition(0)
        assert part.dims == ("frame", "y", "x")
        assert (part.values == noise((4, 16, 20), "u2")).all()


class TestImages:
    """Fetched as they are looked at."""

    def test_a_frame_costs_little_more_than_its_bytes(self, archive: Served) -> None:
        expected = mrcfile.read(archive.root / LARGE)
        source = EmpiarSource(10934, "data/large/", filename="*/stack 1.mrcs")
        mark = archive.server.mark()
        part = source.read_partition(0)
        assert (part.dims, part.shape, part.dtype) == (("frame", "y", "x"), (12, 300, 320), "f4")
        assert part.coords["x"].values.tolist() == list(range(320))
        assert part.voxel_size.x == pytest.approx(1.5)
        assert archive.fetched_since(mark) <= PIECE
        assert (part[5].values == expected[5]).all()
        assert (part[10, 100:120, [9, 7]].values == expected[10, 100:120, [9, 7]].T).all()
        assert archive.fetched_since(mark) <= (1 + 7 + 2) * PIECE
        assert (part.values == expected).all()
        mark = archive.server.mark()
        assert isinstance(part.data, numpy.ndarray)
        assert archive.server.requests_since(mark) == []

    def test_a_part_goes_along_and_may_be_written_to(self, archive: Served) -> None:
        part = EmpiarSource(10934, "data/large").read_partition(0)
        again = pickle.loads(pickle.dumps(part))
        again[3, 0, 0] = -7
        assert again.values[3, 0, 0] == -7
        assert part.values[3, 0, 0] == mrcfile.read(archive.root / LARGE)[3, 0, 0]

    def test_all_partitions_are_computed_by_dask(self, archive: Served) -> None:
        with EmpiarSource(10943, CORRECTED, filename="*.mrc") as source:
            lazily = source.to_dask()
            assert lazily.raster.chunks[0] == (1, 1, 1)
            assert (
                lazily.raster.sel(partition=2).values.tolist() == noise((30, 40), "f4", 2).tolist()
            )
            whole = source.read()
            assert isinstance(whole.raster.data, numpy.ndarray)
            assert [name.rpartition("/")[2] for name in whole.filename.values] == [
                HOLE.format(number, "EER.mrc") for number in range(3)
            ]

    def test_what_is_to_come_isn_t_fetched_for_dask(self, archive: Served) -> None:
        mark = archive.server.mark()
        found = EmpiarSource(10934, "data/large").to_dask()
        assert archive.fetched_since(mark) <= PIECE
        frame = found.raster[0, 7].compute()
        assert archive.fetched_since(mark) <= (1 + 7) * PIECE
        assert (frame.values == mrcfile.read(archive.root / LARGE)[7]).all()

    def test_sizes_may_differ(self, archive: Served) -> None:
        found = EmpiarSource(10934, "data/sizes").read().raster
        assert found.shape == (2, 30, 50)
        assert (found[1, :20].values == noise((20, 50), "f4")).all()
        assert numpy.isnan(found[1, 20:]).all()

    def test_tiff_and_packed_mrc(self, archive: Served) -> None:
        movie = MrcSource("10934/data/tiff/movie.tif").read().raster
        assert (movie[0].values == noise((4, 16, 20), "u2")).all()
        packed = MrcSource("10934/data/tiff/stack.mrc.bz2")
        part = packed.read_partition(0)
        assert (part.values == mrcfile.read(archive.root / LARGE)).all()
        assert part.voxel_size.z == pytest.approx(1.5)
        assert packed.to_dask().raster.shape == (1, 12, 300, 320)


class TestTables:
    """Beyond what theirs reads."""

    def test_pairs_are_a_table_of_one_row(self, archive: Served) -> None:
        found = StarSource("10934/data/star/pairs.star").read_partition(0)
        assert found.rlnB.values.tolist() == [[2]]

    def test_several_have_an_axis(self, archive: Served) -> None:
        name = "10934/data/star/one.star"
        source = StarSource([name, name])
        assert source.read().a.sel(partition=1, frame=0).values.tolist() == [1, 2, 3]
        assert source.to_dask().a.chunks is not None


class TestWhichFiles:
    """By patterns, drivers and what EMPIAR says."""

    def test_a_pattern_may_be_spelt_as_the_url_is_sent(self, archive: Served) -> None:
        for pattern in ("*stack%201.mrcs", "*stack 1.mrcs", f"{archive.server.url}*"):
            assert EmpiarSource("EMPIAR-10934", "data/large", filename=pattern).files == (LARGE,)
        assert EmpiarSource(10934, "data/large", filename="stack*").files == ()
        expected = f"{archive.server.url}10934/data/large"
        assert EmpiarSource(10934, "/data/large").data_directory_url == expected

    def test_a_driver_of_ones_own_gets_what_fsspec_opens(self, archive: Served) -> None:
        class Driver:
            def __init__(self, urlpath: list[str]) -> None:
                self.files = fsspec.open_files(urlpath)

            def read_partition(self, i: int) -> bytes:
                with self.files[i] as file:
                    data: bytes = file.read()
                return data

        found = EmpiarSource(10934, "data/star", driver=Driver).read_partition(1)
        EmpiarFileSystem.clear_instance_cache()
        assert found == archive.bytes_of("10934/data/star/pairs.star")
        named = EmpiarSource(10934, "data/large", driver="mrc")
        assert named.read_partition(0).shape == (12, 300, 320)

    def test_the_metadata_of_a_directory(self, archive: Served, api: EntryApi) -> None:
        assert EmpiarSource(10340, "data/large").imageset_metadata["name"] == CASE
        assert EmpiarSource(10340, "data/nowhere").imageset_metadata == {}

    def test_image_sets_are_told_without_the_api(
        self, monkeypatch: pytest.MonkeyPatch, api: EntryApi
    ) -> None:
        with BrokenServer() as server:
            server.put("10934/10934.xml", (SAMPLES / "10934.xml").read_bytes())
            use(monkeypatch, server.url, api.url)
            [source] = EmpiarCatalog(10934).values()
            assert source.imageset_metadata["data_format"] == "TIFF"
            assert source.directory == "data/CL44-1_20201106_111915"
            empiarfs.close()


class TestWhatGoesWrong:
    """As Python calls it."""

    def test_files_that_there_are_not(self, archive: Served) -> None:
        with pytest.raises(FileNotFoundError):
            EmpiarSource(10934, "data/nowhere").read_partition(0)
        with pytest.raises(FileNotFoundError, match="none of its files is meant"):
            EmpiarSource(10934, "data/large", filename="*.tif").read()
        with pytest.raises(NotADirectoryError):
            EmpiarSource(10934, LARGE.partition("/")[2]).npartitions  # noqa: B018
        for number in (-1, 1):
            with pytest.raises(IndexError, match="1 partition"):
                EmpiarSource(10934, "data/large").read_partition(number)

    def test_what_no_image_is(self, archive: Served) -> None:
        source = EmpiarSource(10943, CORRECTED, filename="*.log")
        with pytest.raises(ValueError, match=r"EER\.log"):
            source.read_partition(0)

    def test_arguments(self, archive: Served) -> None:
        with pytest.raises(ValueError, match="'xml' is no driver"):
            EmpiarSource(10934, "data", driver="xml")
        with pytest.raises(ConfigError):
            EmpiarCatalog("nothing")
        with pytest.raises(ValueError, match="no file"):
            MrcSource([])
        with pytest.raises(FileNotFoundError):
            list(EmpiarCatalog(99999))

    def test_a_package_that_is_missing_is_named(
        self, archive: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delitem(sys.modules, "empiarfs.compat.empiarreader.lazily", raising=False)
        monkeypatch.setitem(sys.modules, "xarray", None)
        for read in (MrcSource(LARGE).read, StarSource("10934/data/star/one.star").read):
            with pytest.raises(ImportError, match=r"xarray is missing.*empiarfs\[arrays\]"):
                read()
        with pytest.raises(ImportError, match=r"empiarfs\[arrays\]"):
            MrcSource(LARGE).read_partition(0)
