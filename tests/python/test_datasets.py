"""Images for training: what they are, what is fetched for them, and what is fetched ahead."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy
import pytest
import tifffile

import empiarfs
from empiarfs.python.batches import Batch
from empiarfs.python.session import default_session
from tests.python.conftest import Served, use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer
from tests.support.waiting import wait_until

PIECE = 64 * 1024
MOVIE = "10934/data/movie.mrcs"
IMAGE = "10934/data/image.mrc"
TIFF = "10934/data/movie.tif"
STACK = "10028/data/Extract/stack.mrcs"
TABLE = "10028/data/Extract/particles.star"
# In the order of the table.
ROWS = (4, 1, 9, 2)
SOURCES = [MOVIE, TABLE, IMAGE, TIFF]
COUNT = 6 + 4 + 1 + 3


def noise(shape: tuple[int, ...], kind: str, seed: int = 1) -> Any:
    return numpy.random.default_rng(seed).normal(100, 20, shape).astype(kind)


def write_mrc(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, data) as file:
        if data.ndim == 3:
            file.set_image_stack()


@pytest.fixture(scope="module")
def images() -> Iterator[Served]:
    with tree.temporary_root() as root:
        write_mrc(root / MOVIE, noise((6, 300, 400), "i2"))
        write_mrc(root / IMAGE, noise((300, 400), "f4"))
        write_mrc(root / STACK, noise((10, 90, 110), "f4"))
        movie = noise((3, 300, 400), "u2")
        tifffile.imwrite(root / TIFF, movie, photometric="minisblack", metadata=None)
        rows = "".join(f"{row:06d}@Extract/stack.mrcs\n" for row in ROWS)
        star = f"data_particles\n\nloop_\n_rlnImageName #1\n{rows}"
        tree.write_file(root / TABLE, star.encode())
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield Served(root, server)


@pytest.fixture
def archive(images: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    use(monkeypatch, images.server.url)
    return images


def truth(archive: Served) -> list[Any]:
    """Return all images, in the order of the sources."""
    stack = mrcfile.read(archive.root / STACK)
    return [
        *mrcfile.read(archive.root / MOVIE),
        *(stack[row - 1] for row in ROWS),
        mrcfile.read(archive.root / IMAGE),
        *tifffile.imread(archive.root / TIFF),
    ]


def halved(image: Any) -> Any:
    return image / 2


@pytest.mark.apache
class TestImages:
    """Of stacks, movies, micrographs and tables, one after the other."""

    def test_are_those_of_the_files(self, archive: Served) -> None:
        expected = truth(archive)
        found = empiarfs.ImageDataset(SOURCES)
        assert len(found) == COUNT
        assert found.lengths == (6, 4, 1, 3)
        for index, image in enumerate(expected):
            assert found[index].dtype == numpy.float32
            assert (found[index] == image.astype("f4")).all()
        assert (found[-1] == expected[-1]).all()
        assert [found.name(index) for index in (1, 6, 10, 11)] == [
            f"000002@{MOVIE}", f"000004@{STACK}", f"000001@{IMAGE}", f"000001@{TIFF}",
        ]  # fmt: skip
        for index in (COUNT, -COUNT - 1):
            with pytest.raises(IndexError, match="there is no image"):
                found[index]

    def test_of_a_batch_are_those_of_its_numbers(self, archive: Served) -> None:
        expected = truth(archive)
        wanted = [9, 0, 13, 10, 5, 9]
        found = empiarfs.ImageDataset(SOURCES, dtype=None).__getitems__(wanted)
        assert [image.dtype for image in found] == [expected[index].dtype for index in wanted]
        assert all((image == expected[n]).all() for n, image in zip(wanted, found, strict=True))

    def test_have_labels_and_become_what_is_made_of_them(self, archive: Served) -> None:
        expected = truth(archive)
        labels = [f"label {index}" for index in range(COUNT)]
        found = empiarfs.ImageDataset(SOURCES, labels=labels, transform=halved)
        [(image, label)] = pickle.loads(pickle.dumps(found)).__getitems__([7])
        assert (image == expected[7] / 2).all()
        assert (label, found[7][1], found[-1][1]) == ("label 7", "label 7", "label 13")
        with pytest.raises(ValueError, match="13 labels for 14 images"):
            empiarfs.ImageDataset(SOURCES, labels=labels[1:])

    def test_may_be_those_of_particles_and_open_files(self, archive: Served) -> None:
        expected = truth(archive)
        with empiarfs.open(IMAGE) as file:
            found = empiarfs.ImageDataset([empiarfs.particles(TABLE), file])
        assert (found[2] == expected[8]).all()
        assert (found[4] == expected[10]).all()
        assert len(empiarfs.ImageDataset([])) == 0

    def test_cost_their_bytes_and_no_others(self, archive: Served) -> None:
        found = empiarfs.ImageDataset([MOVIE])
        mark = archive.server.mark()
        found.__getitems__([1, 4])
        # 240,000 bytes lie in five pieces at most.
        assert 2 * 240_000 <= archive.fetched_since(mark) <= 2 * 5 * PIECE

    def test_in_stock_cost_no_request(self, archive: Served) -> None:
        found = empiarfs.ImageDataset(SOURCES)
        found.__getitems__(list(range(COUNT)))
        mark = archive.server.mark()
        found.__getitems__(list(range(COUNT)))
        assert archive.server.requests_since(mark) == []


@pytest.mark.apache
class TestCrops:
    """At places that differ from epoch to epoch, and from nothing else."""

    def test_are_parts_of_the_images(self, archive: Served) -> None:
        expected = truth(archive)
        found = empiarfs.ImageDataset(SOURCES, crop=(40, 50))
        for index, image in enumerate(expected):
            crop = found[index]
            assert crop.shape == (40, 50)
            windows = numpy.lib.stride_tricks.sliding_window_view(image, (40, 50))
            firsts = numpy.argwhere(windows[:, :, 0, 0] == crop[0, 0])
            assert any((windows[y, x] == crop).all() for y, x in firsts)

    def test_follow_from_seed_epoch_and_number(self, archive: Served) -> None:
        found = empiarfs.ImageDataset([MOVIE], crop=(20, 20))
        first, again, alone, other, seeded = (
            found.__getitems__(Batch([3], seed, epoch))[0]
            for seed, epoch in ((0, 0), (0, 0), (0, 0), (0, 1), (1, 0))
        )
        assert (first == again).all()
        assert (alone == found[3]).all()
        assert (first != other).any()
        assert (first != seeded).any()

    def test_cost_their_rows(self, archive: Served) -> None:
        found = empiarfs.ImageDataset([MOVIE], crop=(10, 10))
        mark = archive.server.mark()
        found.__getitems__(Batch([2], seed=1))
        assert archive.fetched_since(mark) <= 2 * PIECE

    def test_that_do_not_fit_are_a_value_error(self, archive: Served) -> None:
        found = empiarfs.ImageDataset(SOURCES, crop=(200, 200))
        # Neither is it for those that only are foreseen.
        found.__getitems__(Batch([0, 1], later=[[6]]))
        with pytest.raises(ValueError, match=r"stack\.mrcs has 90 × 110 pixels, fewer than"):
            found[6]


@pytest.mark.apache
class TestWhatComesNext:
    """Is fetched while a batch is used."""

    @pytest.mark.parametrize("crop", [None, (60, 80)])
    def test_is_there_when_it_is_read(self, archive: Served, crop: tuple[int, int] | None) -> None:
        first, *later = (
            Batch([0, 6], 2, number=0, later=[[8, 13], [5, 10]]),
            Batch([8, 13], 2, number=1, later=[[5, 10]]),
            Batch([5, 10], 2, number=2),
        )
        fresh = empiarfs.ImageDataset(SOURCES, crop=crop)
        expected = [image for each in later for image in fresh.__getitems__(Batch(each, 2))]
        empiarfs.configure(cache_dir=f"{os.environ['EMPIARFS_CACHE_DIR']}-other")
        mark = archive.server.mark()
        found = empiarfs.ImageDataset(SOURCES, crop=crop)
        found.__getitems__(first)
        wait_until(lambda: pieces_of(found, later) <= fetched(archive, mark), 60.0, every_s=0.05)
        # Neither does a request go on that was made twice, for want of an answer.
        client = default_session().live().parts.client
        wait_until(lambda: client.oldest_request_s is None, 60.0)
        before = archive.server.requests_since(mark)
        images = [image for batch in later for image in found.__getitems__(batch)]

        for one, other in zip(images, expected, strict=True):
            assert numpy.array_equal(one, other)
        assert archive.server.requests_since(mark) == before

    def test_may_be_said_by_hand(self, archive: Served) -> None:
        found = empiarfs.ImageDataset([MOVIE])
        mark = archive.server.mark()
        found.prefetch([2])
        # Those between the first and the last, which others have as well.
        wait_until(lambda: {(MOVIE, 8), (MOVIE, 9), (MOVIE, 10)} <= fetched(archive, mark), 60.0)


def fetched(archive: Served, mark: int) -> set[tuple[str, int]]:
    """Return which pieces of which files were sent."""
    return {
        (request.name, piece)
        for request in archive.server.requests_since(mark)
        if request.status == 206 and request.method == "GET"
        for first, last in [request.range.removeprefix("bytes=").split("-")]
        for piece in range(int(first) // PIECE, int(last) // PIECE + 1)
    }


def pieces_of(dataset: empiarfs.ImageDataset, batches: list[Batch]) -> set[tuple[str, int]]:
    """Return in which pieces of which files some batches are, but for those of the table."""
    places = [(index, batch, *dataset._place(index)) for batch in batches for index in batch]
    return {
        (path, piece)
        for index, batch, source, number in places
        if SOURCES[source] != TABLE
        for _, path, part in dataset._sources[source].hints(
            [(number, dataset._cropped(index, batch))]
        )
        for piece in range(part.start // PIECE, -(-part.stop // PIECE))
    } | {(STACK, (1024 + 39_600 * 8) // PIECE)}


def test_what_is_not_there_fails_when_it_is_read_and_not_before(
    server: BrokenServer, tmp_path: Path
) -> None:
    write_mrc(tmp_path / "a.mrcs", noise((3, 20, 20), "f4"))
    server.put("10934/data/a.mrcs", (tmp_path / "a.mrcs").read_bytes())
    table = empiarfs.particles(["2@10934/data/a.mrcs", "1@10934/data/none.mrcs"])
    found = empiarfs.ImageDataset([table])
    [image] = found.__getitems__(Batch([0], later=[[1]]))

    assert (image == noise((3, 20, 20), "f4")[1]).all()
    with pytest.raises(FileNotFoundError, match=r"none\.mrcs"):
        found[1]


def test_what_is_no_image_is_a_value_error(server: BrokenServer) -> None:
    server.put("10934/data/a.txt", b"words")
    with pytest.raises(ValueError, match="text, and no image"):
        empiarfs.ImageDataset(["10934/data/a.txt"])
    with pytest.raises(FileNotFoundError):
        empiarfs.ImageDataset(["10934/data/none.star"])
