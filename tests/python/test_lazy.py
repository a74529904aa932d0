"""Images that are read when they are computed: those of `imread`, in threads and processes."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import mrcfile
import numpy
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

import empiarfs
from empiarfs.python.images import ImageArray, Images
from tests.python.conftest import Served, use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer
from tests.support.entry_api import EntryApi, sample_entries
from tests.support.log_guard import ExpectLog
from tests.support.users import CHECKOUT

PIECE = 64 * 1024
MOVIES = [f"10934/data/movies/movie_{number}.mrc" for number in range(3)]
LARGE = "10934/data/large.mrcs"
TIFF = "10934/data/movies/movie.tif"
RGB = "10934/data/movies/colours.tif"
IMAGE = "10934/data/image.mrc"
VOLUME = "10934/data/volume.map"
VOLUMES = "10934/data/volumes.mrc"
MRCS = (*MOVIES, LARGE, IMAGE, VOLUME, VOLUMES)
_CLUSTER = """
import sys, dask.distributed, empiarfs
if __name__ == "__main__":
    cluster = dask.distributed.LocalCluster(
        n_workers=4, threads_per_worker=1, processes=True, host="127.0.0.1",
        dashboard_address=None, local_directory=sys.argv[1],
    )
    with cluster, dask.distributed.Client(cluster, timeout="100s") as client:
        client.wait_for_workers(4, timeout="100s")
        found = empiarfs.lazy(sys.argv[2:]).astype("i8").sum(("y", "x")).compute()
        workers = len(client.run(len, "each"))
    print(found.values.tolist(), workers)
"""
_ZARR = """
import sys, warnings, empiarfs, xarray, zarr.errors
unstable = getattr(zarr.errors, "UnstableSpecificationWarning", None)
if unstable is not None:
    warnings.simplefilter("error", unstable)
for number, name in enumerate((sys.argv[2:], sys.argv[2])):
    lazily = empiarfs.lazy(name, pixel_size=1.5)
    store = f"{sys.argv[1]}/{number}.zarr"
    lazily.to_zarr(store, consolidated=False)
    back = xarray.open_dataarray(store, engine="zarr", chunks={}, consolidated=False)
    print(back.identical(lazily), back.chunks == lazily.chunks)
"""


def noise(shape: tuple[int, ...], kind: str, seed: int = 1) -> Any:
    return numpy.random.default_rng(seed).normal(100, 20, shape).astype(kind)


def write_mrc(path: Path, data: Any, *, stack: bool = False, voxel: Any = 1.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, data) as file:
        if stack:
            file.set_image_stack()
        file.voxel_size = voxel


@pytest.fixture(scope="module")
def images() -> Iterator[Served]:
    with tree.temporary_root() as root:
        for number, name in enumerate(MOVIES):
            write_mrc(root / name, noise((4, 30, 40), "i2", number), stack=True)
        write_mrc(root / LARGE, noise((12, 300, 320), "f4"), stack=True, voxel=0)
        write_mrc(root / IMAGE, noise((30, 40), "f4"), voxel=(2, 3, 1))
        write_mrc(root / VOLUME, noise((5, 30, 40), "f4"), voxel=(2, 3, 4))
        write_mrc(root / VOLUMES, noise((2, 5, 30, 40), "f4"))
        movie = noise((4, 50, 60), "u2")
        tifffile.imwrite(root / TIFF, movie, photometric="minisblack", metadata=None)
        tifffile.imwrite(root / RGB, noise((20, 30, 3), "u1"), photometric="rgb", metadata=None)
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield Served(root, server)


@pytest.fixture
def archive(images: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    use(monkeypatch, images.server.url)
    return images


def stacked(archive: Served) -> Any:
    return numpy.stack([mrcfile.read(archive.root / name) for name in MOVIES])


@pytest.mark.apache
class TestOneFile:
    """Its axes, its frames, and what is known of it."""

    @pytest.mark.parametrize(
        ("name", "dims", "chunk"),
        [
            (MOVIES[0], ("frame", "y", "x"), (1, 30, 40)),
            (IMAGE, ("y", "x"), (30, 40)),
            (VOLUME, ("z", "y", "x"), (1, 30, 40)),
            (VOLUMES, ("volume", "z", "y", "x"), (1, 5, 30, 40)),
            (TIFF, ("frame", "y", "x"), (1, 50, 60)),
            (RGB, ("y", "x", "sample"), (20, 30, 3)),
        ],
    )
    def test_is_that_of_mrcfile_and_tifffile(
        self, archive: Served, name: str, dims: tuple[str, ...], chunk: tuple[int, ...]
    ) -> None:
        path = archive.root / name
        expected = mrcfile.read(path) if name in MRCS else tifffile.imread(path)
        found = empiarfs.lazy(name)
        assert (found.dims, found.shape, found.dtype) == (dims, expected.shape, expected.dtype)
        assert found.data.chunksize == chunk
        assert (found.values == expected).all()
        assert (found[..., 3:7, 2].values == expected[..., 3:7, 2]).all()
        assert (found[::-1][0].values == expected[::-1][0]).all()

    def test_says_where_it_is_from_and_how_large_a_pixel_is(self, archive: Served) -> None:
        found = empiarfs.lazy(VOLUME)
        assert found.attrs == {
            "pixel_size": [2.0, 3.0, 4.0],
            "pixel_size_from": "header",
            "entry": "EMPIAR-10934",
            "doi": "10.6019/EMPIAR-10934",
            "source": archive.server.url + VOLUME,
        }
        assert found.x.values[:3].tolist() == [0.0, 2.0, 4.0]
        assert found.y.values[-1] == 29 * 3.0
        assert found.z.attrs["units"] == "Å"
        assert empiarfs.lazy(IMAGE).attrs["pixel_size"] == [2.0, 3.0]
        assert "y" not in empiarfs.lazy(LARGE).coords
        given = empiarfs.lazy(LARGE, pixel_size=0.5)
        assert given.attrs["pixel_size_from"] == "given"
        assert given.y.values[:2].tolist() == [0.0, 0.5]

    def test_is_fetched_as_it_is_computed(self, archive: Served) -> None:
        mark = archive.server.mark()
        found = empiarfs.lazy(LARGE)
        assert archive.fetched_since(mark) <= PIECE
        frame = found[5].compute()
        assert archive.fetched_since(mark) <= (1 + 7) * PIECE
        rows = found[10, 100:120, 7:9].compute()
        assert archive.fetched_since(mark) <= (1 + 7 + 2) * PIECE
        mark = archive.server.mark()
        assert (found[5].values == frame).all()
        assert archive.server.requests_since(mark) == []

        expected = mrcfile.read(archive.root / LARGE)
        assert (frame.values == expected[5]).all()
        assert (rows.values == expected[10, 100:120, 7:9]).all()

    def test_of_a_pixel_size_that_only_empiar_knows(
        self, images: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fields = sample_entries()[10934]
        fields["imagesets"][0] |= {
            "directory": "data/movies", "pixel_width": "0.5", "pixel_height": "0.25",
        }  # fmt: skip
        with EntryApi({10934: fields}) as api:
            use(monkeypatch, images.server.url, api.url)
            found = empiarfs.lazy(TIFF)
            assert found.attrs["pixel_size"] == [0.5, 0.25]
            assert found.attrs["pixel_size_from"] == "EMPIAR"
            assert empiarfs.lazy(LARGE).coords.keys() == set()


@pytest.mark.apache
class TestSeveralFiles:
    """An axis of files before the others."""

    def test_are_one_array(self, archive: Served) -> None:
        expected = stacked(archive)
        found = empiarfs.lazy(MOVIES)
        assert (found.dims, found.shape) == (("file", "frame", "y", "x"), (3, 4, 30, 40))
        assert found.data.chunksize == (1, 1, 30, 40)
        assert (found.values == expected).all()
        assert found.file.values.tolist() == MOVIES
        assert found.source.values.tolist() == [archive.server.url + name for name in MOVIES]
        assert found.attrs["doi"] == "10.6019/EMPIAR-10934"
        named = found.sel(file=MOVIES[1]).isel(frame=2)
        assert (named.values == expected[1, 2]).all()
        mean = found.mean("frame").compute()
        assert numpy.allclose(mean, expected.mean(1))

    def test_may_be_those_of_an_entry(self, archive: Served) -> None:
        files = empiarfs.entry(10934).files("data/movies/*.mrc")
        assert (empiarfs.lazy(files).values == stacked(archive)).all()
        with empiarfs.open(MOVIES[1]) as file:
            found = empiarfs.lazy([file])
        assert (found.values == stacked(archive)[1:2]).all()

    def test_that_are_not_alike_are_a_value_error(self, archive: Served) -> None:
        with pytest.raises(ValueError, match=r"large\.mrcs has 12 × 300 × 320 of float32, and"):
            empiarfs.lazy([MOVIES[0], LARGE])
        with pytest.raises(ValueError, match="no file"):
            empiarfs.lazy([])
        with pytest.raises(FileNotFoundError):
            empiarfs.lazy([MOVIES[0], "10934/data/none.mrc"])


@pytest.mark.apache
class TestElsewhere:
    """In threads and processes, by parts of their own."""

    @pytest.mark.parametrize("scheduler", ["threads", "processes"])
    def test_it_is_computed_by(self, archive: Served, scheduler: str) -> None:
        with dask.config.set(scheduler=scheduler, num_workers=2):
            found = empiarfs.lazy(MOVIES).astype("i8").sum(("y", "x")).compute()
            tiff = empiarfs.lazy(TIFF).values
        assert (found.values == stacked(archive).astype("i8").sum((2, 3))).all()
        assert (tiff == tifffile.imread(archive.root / TIFF)).all()

    def test_it_is_computed_by_a_cluster(self, archive: Served, tmp_path: Path) -> None:
        # A machine that is busy takes long to begin four processes.
        environment = {**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "100s"}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _CLUSTER, str(tmp_path / "work"), *MOVIES],
            cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        expected = stacked(archive).astype("i8").sum((2, 3)).tolist()
        assert done.stdout == f"{expected} 4\n", done.stderr

    def test_settings_go_along(
        self, archive: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        url = archive.server.url
        monkeypatch.setenv("EMPIARFS_ARCHIVE_URL", "http://127.0.0.1:9/")
        empiarfs.configure(archive_url=url, cache_dir=str(tmp_path / "other"))
        try:
            found = pickle.loads(pickle.dumps(empiarfs.lazy(MOVIES)))
        finally:
            empiarfs.configure(archive_url=None, cache_dir=None)
        assert (found.values == stacked(archive)).all()

    def test_it_is_written_as_zarr(self, archive: Served, tmp_path: Path) -> None:
        # In a process of its own, since zarr keeps a loop of events open for good.
        done = subprocess.run(
            [sys.executable, "-c", _ZARR, str(tmp_path), *MOVIES],
            cwd=CHECKOUT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout == "True True\nTrue True\n", done.stderr


@given(data=st.data())
def test_any_part_is_that_of_the_array(data: st.DataObject) -> None:
    whole = numpy.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    source = ImageArray([_InMemory.of(each) for each in whole], is_one=False)
    index = tuple(
        data.draw(st.integers(-size, size - 1) | st.slices(size)) for size in whole.shape
    )[: data.draw(st.integers(1, 4))]

    found = source[index]
    assert found.shape == whole[index].shape
    assert (found == whole[index]).all()
    rows = data.draw(st.lists(st.integers(-4, 3), min_size=1, max_size=5))
    assert (source[:, 1:, rows, ::-1] == whole[:, 1:, rows, ::-1]).all()


class _InMemory(Images):
    """Images that are read from an array; it stands in for the file."""

    @classmethod
    def of(cls, array: Any) -> Images:
        return cls(array, None, ("frame", "y", "x"), array.shape, array.dtype)

    def read(self, frames: Any, region: Any) -> Any:
        array: Any = self.file
        rows = slice(region.top, region.bottom)
        return array[list(frames), rows, region.left : region.right]


class TestWhatIsWrong:
    """Is said when it is known."""

    def test_what_can_not_be_read_in_parts_is_a_value_error(
        self, server: BrokenServer, tmp_path: Path
    ) -> None:
        write_mrc(tmp_path / "a.mrc", noise((3, 8, 8), "f4"), stack=True)
        whole = (tmp_path / "a.mrc").read_bytes()
        for number, (data, message) in enumerate(
            (
                (b"", "empty"),
                (whole[:-1], "ends before frame 2"),
                (b"\x1f\x8b\x08" + bytes(3000), "gzip, packed"),
                (b"II*\0" + b"\xff" * 3000, r"3\.mrc"),
                (whole[:8] + b"\xff\xff\xff\x7f" + whole[12:], "ends before frame"),
            )
        ):
            server.put(f"10934/data/{number}.mrc", data)
            with pytest.raises(ValueError, match=message):
                empiarfs.lazy(f"10934/data/{number}.mrc")

    def test_a_file_that_has_changed_is_not_read(
        self, server: BrokenServer, tmp_path: Path, expect_log: ExpectLog
    ) -> None:
        expect_log("has changed in the archive")
        for seed in (1, 2):
            write_mrc(tmp_path / f"{seed}.mrc", noise((3, 300, 300), "f4", seed), stack=True)
        server.put("10934/data/x.mrc", (tmp_path / "1.mrc").read_bytes())
        found = empiarfs.lazy("10934/data/x.mrc")
        server.put("10934/data/x.mrc", (tmp_path / "2.mrc").read_bytes(), 1_700_000_000)
        with pytest.raises(OSError, match=r"x\.mrc") as caught:
            found[2].compute()

        assert caught.value.errno == errno.ESTALE

    def test_pixel_sizes_that_differ_give_no_coordinates(
        self, server: BrokenServer, tmp_path: Path
    ) -> None:
        for voxel in (1, 2):
            write_mrc(tmp_path / "a.mrc", noise((3, 8, 8), "f4"), stack=True, voxel=voxel)
            server.put(f"10934/data/{voxel}.mrc", (tmp_path / "a.mrc").read_bytes())
            (tmp_path / "a.mrc").unlink()
        with pytest.warns(UserWarning, match="pixel sizes differ"):
            found = empiarfs.lazy(["10934/data/1.mrc", "10934/data/2.mrc"])
        assert "y" not in found.coords
        assert "pixel_size" not in found.attrs

    @pytest.mark.parametrize("missing", ["xarray", "dask"])
    def test_what_is_missing_is_named(self, missing: str) -> None:
        script = f"import sys; sys.modules[{missing!r}] = None; import empiarfs; "
        done = subprocess.run(
            [sys.executable, "-c", f"{script}empiarfs.lazy('10934/data/x.mrc')"],
            cwd=CHECKOUT, capture_output=True, text=True, check=False,
        )  # fmt: skip

        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"ImportError: {missing}")
        assert last.endswith("is missing: pip install 'empiarfs[arrays]'")
