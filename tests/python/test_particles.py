"""Single images of stacks and of tables that name them, from little more than their bytes."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy
import pytest

import empiarfs
from empiarfs.errors import ConfigError
from empiarfs.python import particles as module
from tests.python.conftest import Served, use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer

PIECE = 64 * 1024
LARGE = "10934/data/large.mrcs"
TABLE = "10934/data/Extract/particles.star"
A, B = "10934/data/Extract/job1/a.mrcs", "10934/data/Extract/job2/a.mrcs"


def write_stack(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, data) as file:
        file.set_image_stack()
        file.voxel_size = 1.5


def noise(count: int, side: int, seed: int = 1) -> Any:
    return numpy.random.default_rng(seed).normal(size=(count, side, side)).astype("f4")


def star(*names: str) -> bytes:
    rows = "".join(f"{number} {name}\n" for number, name in enumerate(names))
    return f"data_particles\n\nloop_\n_rlnGroup #1\n_rlnImageName #2\n{rows}".encode()


@pytest.fixture(scope="module")
def stacks() -> Iterator[Served]:
    with tree.temporary_root() as root:
        write_stack(root / LARGE, noise(120, 160))
        write_stack(root / A, noise(20, 16, seed=2))
        write_stack(root / B, noise(20, 16, seed=3))
        names = [f"Extract/job{1 + n % 2}/a.mrcs" for n in range(40)]
        rows = [f"{1 + n // 2:06d}@{name}" for n, name in enumerate(names)]
        tree.write_file(root / TABLE, star(*rows))
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield Served(root, server)


@pytest.fixture
def archive(stacks: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    use(monkeypatch, stacks.server.url)
    return stacks


def put_stack(server: BrokenServer, folder: Path, name: str, data: Any) -> None:
    write_stack(folder / "stack.mrcs", data)
    server.put(name, (folder / "stack.mrcs").read_bytes())
    (folder / "stack.mrcs").unlink()


@pytest.mark.apache
class TestOfAStack:
    """As its array, by any index."""

    def test_an_index_means_what_it_means_for_arrays(self, archive: Served) -> None:
        expected = mrcfile.read(archive.root / LARGE)
        stack = empiarfs.particles(LARGE)
        assert (len(stack), stack.shape, stack.dtype) == (120, expected.shape, expected.dtype)
        assert stack.pixel_size == 1.5
        mask = numpy.arange(120) % 50 == 7
        for index in (7, -1, numpy.int64(3), slice(5, 2, -1), [8, 3, 8, -2], [], mask):
            found, true = stack[index], expected[index]
            assert (found.shape, found.dtype) == (true.shape, true.dtype)
            assert (found == true).all()
        assert stack.name(7) == f"000008@{LARGE}"

    def test_what_is_not_there_is_an_index_error(self, archive: Served) -> None:
        stack = empiarfs.particles(LARGE)
        for index in (120, -121, [3, 120], numpy.ones(119, bool), [[1, 2], [3, 4]]):
            with pytest.raises(IndexError):
                stack[index]

    def test_the_bytes_of_what_is_wanted_are_fetched_and_no_others(self, archive: Served) -> None:
        wanted = [int(n) for n in numpy.random.default_rng(3).permutation(120)[:10]]
        stack = empiarfs.particles(LARGE)
        mark = archive.server.mark()
        stack[wanted]

        # 102,400 bytes lie in at most three pieces.
        assert archive.fetched_since(mark) <= 10 * 3 * PIECE

    def test_what_was_hinted_at_is_there(self, archive: Served) -> None:
        expected = mrcfile.read(archive.root / LARGE)
        stack = empiarfs.particles(LARGE)
        stack.prefetch([50, 3])
        mark = archive.server.mark()
        found = stack[[50, 3]]

        assert (found == expected[[50, 3]]).all()
        assert archive.fetched_since(mark) <= 2 * 3 * PIECE

    def test_a_pickle_is_the_same_stack(self, archive: Served) -> None:
        stack = empiarfs.particles(LARGE)
        found = pickle.loads(pickle.dumps(stack))
        assert (found[5] == stack[5]).all()


@pytest.mark.apache
class TestOfATable:
    """Row by row, wherever the images are."""

    def test_rows_are_the_images_that_they_name(self, archive: Served) -> None:
        both = [mrcfile.read(archive.root / name) for name in (A, B)]
        expected = numpy.stack([both[n % 2][n // 2] for n in range(40)])
        picked = empiarfs.particles(TABLE)
        assert (len(picked), picked.shape) == (40, (40, 16, 16))
        for index in (0, 1, [39, 4, 2], [2, 4], slice(30, None), []):
            assert (picked[index] == expected[index]).all()
        assert picked.name(-1) == f"000020@{B}"

    def test_a_local_table_names_images_of_an_entry(self, archive: Served, tmp_path: Path) -> None:
        (tmp_path / "my.star").write_bytes(star("2@job2/a.mrcs"))
        picked = empiarfs.particles(tmp_path / "my.star", entry=10934)
        assert (picked[0] == mrcfile.read(archive.root / B)[1]).all()
        with pytest.raises(ConfigError):
            empiarfs.particles(tmp_path / "my.star")

    def test_names_are_images_as_well(self, archive: Served) -> None:
        picked = empiarfs.particles([f"000003@{A}", f"000001@{LARGE}"])
        assert (picked[0] == mrcfile.read(archive.root / A)[2]).all()
        with pytest.raises(ValueError, match="its images are 160 × 160 of float32, and"):
            picked[[0, 1]]
        with pytest.raises(ValueError, match="names no image"):
            empiarfs.particles([f"000000@{A}"])

    def test_few_stacks_are_open_and_many_are_read(
        self, archive: Served, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_MOST_OPEN", 1)
        picked = empiarfs.particles(TABLE)
        expected = picked[:]
        wrong: list[object] = []

        def read(start: int) -> None:
            own = range(start, 40, 3)
            wrong.extend(n for n in own if not (picked[n] == expected[n]).all())

        threads = [threading.Thread(target=read, args=(start,)) for start in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert len(picked._opened) == 1


class TestWhatIsWrong:
    """A plain error for it, and nothing for the others."""

    def test_a_stack_that_is_not_there_fails_those_who_read_it(
        self, server: BrokenServer, tmp_path: Path
    ) -> None:
        put_stack(server, tmp_path, "10934/data/a.mrcs", noise(3, 8))
        server.put("10934/data/x.star", star("1@gone.mrcs", "3@a.mrcs", "4@a.mrcs"))
        with pytest.warns(UserWarning, match=r"it names gone\.mrcs, which"):
            picked = empiarfs.particles("10934/data/x.star")
        assert picked.shape == (3, 8, 8)
        picked.prefetch([0, 1])
        assert (picked[1] == noise(3, 8)[2]).all()
        with pytest.raises(FileNotFoundError, match=r"gone\.mrcs"):
            picked[[1, 0]]
        with pytest.raises(IndexError, match=r"a\.mrcs: there is no image 3 of 3"):
            picked[2]

    def test_of_files_that_are_meant_alike_that_beside_the_table_is_taken(
        self, server: BrokenServer, tmp_path: Path
    ) -> None:
        for number, folder in enumerate(("one", "two", "three")):
            put_stack(server, tmp_path, f"10934/data/{folder}/a.mrcs", noise(1, 8, number))
        server.put("10934/data/two/x.star", star("1@a.mrcs"))
        server.put("10934/data/x.star", star("1@a.mrcs"))
        assert (empiarfs.particles("10934/data/two/x.star")[0] == noise(1, 8, 1)[0]).all()
        with pytest.warns(UserWarning, match="can't be told"):
            picked = empiarfs.particles("10934/data/x.star")
        with pytest.raises(ValueError, match=r"may be any of 10934/data/one/a\.mrcs"):
            picked[0]
        with pytest.raises(ValueError, match="there is no image"):
            _ = picked.shape

    @pytest.mark.parametrize(
        ("name", "data", "message"),
        [
            ("x.star", b"data_\nloop_\n_rlnA\n1\n", "no column rlnImageName"),
            ("x.star", star("zero@a.mrcs"), "names no image"),
            ("x.star", star("1@"), "names no image"),
            ("x.mrcs", b"", "empty, and no stack"),
            ("x.mrcs", b"\x1f\x8b\x08" + bytes(2000), "gzip, packed, and no stack"),
            ("x.tif", b"II*\0" + bytes(2000), "TIFF, and no stack"),
        ],
    )
    def test_what_is_neither_is_a_value_error(
        self, server: BrokenServer, name: str, data: bytes, message: str
    ) -> None:
        server.put(f"10934/data/{name}", data)
        with pytest.raises(ValueError, match=message):
            empiarfs.particles(f"10934/data/{name}")

    def test_a_stack_that_was_cut_off_has_what_is_before(
        self, server: BrokenServer, tmp_path: Path
    ) -> None:
        write_stack(tmp_path / "b.mrcs", noise(3, 8))
        server.put("10934/data/b.mrcs", (tmp_path / "b.mrcs").read_bytes()[:-1])
        stack = empiarfs.particles("10934/data/b.mrcs")
        assert (stack[1] == noise(3, 8)[1]).all()
        with pytest.raises(ValueError, match="ends before frame 2"):
            stack[2]
