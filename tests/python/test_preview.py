"""`empiarfs.preview`: what is seen in the picture, and how few bytes it takes."""

from __future__ import annotations

import bz2
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import tifffile

import empiarfs
from empiarfs.errors import ConfigError
from empiarfs.python.previews.averages import power_spectrum, stretched
from empiarfs.python.previews.drawing import nice_length
from empiarfs.python.previews.views import Shape, chosen_images, fetched_size, kind_of
from tests.python.conftest import Served, use
from tests.python.test_arrays import eer_file, eer_frame
from tests.support import pictures, tree
from tests.support.apache import ApacheServer
from tests.support.entry_api import EntryApi, sample_entries
from tests.support.pictures import MARGIN, greys
from tests.support.users import CHECKOUT

pytestmark = pytest.mark.apache

PIECE = 65_536


@pytest.fixture(scope="module")
def images() -> Iterator[Served]:
    with tree.temporary_root() as root:
        pictures.make_images(root)
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield Served(root, server)


@pytest.fixture
def shown(images: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    use(monkeypatch, images.server.url)
    return images


class Folder:
    """A directory of an entry, served for one test."""

    def __init__(self, root: Path, server: ApacheServer) -> None:
        self.root, self.server = root, server
        self.data = root / "10934/data"

    def fetched_since(self, mark: int) -> int:
        requests = self.server.requests_since(mark)
        return sum(each.size for each in requests if each.status == 206)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    with tree.temporary_root() as root:
        (root / "10934/data").mkdir(parents=True)
        with ApacheServer(root) as server:
            use(monkeypatch, server.url)
            yield Folder(root, server)


def test_a_micrograph_is_seen_beside_its_power_spectrum_with_a_scale_bar(shown: Served) -> None:
    made = empiarfs.preview(pictures.MICROGRAPH, pixels=200)
    panel = greys(made.image, MARGIN, MARGIN, 200, 150)

    assert panel[20:100, :90].mean() + 100 < panel[20:100, 110:].mean()
    # 4 pixels of 1.77 Å became one: 20 nm are 200 / 7.08 of them.
    assert pictures.bar_in(panel) == 28
    # A spectrum as high as the panel, and the gap between the two.
    assert made.image.width == max(200 + 8 + 150, 360) + 2 * MARGIN
    assert made.files == (pictures.MICROGRAPH,)
    assert made.problems == ()
    assert made.png().startswith(b"\x89PNG")
    assert made._repr_png_() == made.png()
    assert repr(made) == f"<empiarfs.Preview of {pictures.MICROGRAPH}>"


def test_a_movie_is_averaged_and_multiplied_by_the_gain_beside_it(shown: Served) -> None:
    def greys_of(**options: Any) -> set[int]:
        made = empiarfs.preview(pictures.MOVIE, pixels=200, **options)
        return set(greys(made.image, MARGIN, MARGIN, 200, 150).ravel().tolist())

    assert greys_of() == {0, 255}
    assert greys_of(gain=pictures.GAIN) == {0, 255}
    # Counts of 20, 60, 80 and 240, of which the highest are brighter than the percentile.
    assert len(greys_of(gain=False)) == 4


def test_a_gain_of_another_size_is_told_and_not_used(shown: Served) -> None:
    with pytest.raises(ValueError, match="pixels"):
        empiarfs.preview(pictures.MOVIE, gain=pictures.TOMOGRAM)


def test_a_gain_that_counts_are_divided_by_is_turned_round(folder: Folder) -> None:
    gain = pictures.chessboard()
    movie = [(pictures.halves() / gain).astype("u2")] * 2
    pictures.write_movie(folder.data / "m.tif", movie)
    tifffile.imwrite(folder.data / "x.gain", 1 / gain, photometric="minisblack")
    made = empiarfs.preview("10934/data/m.tif", pixels=200)

    assert set(greys(made.image, MARGIN, MARGIN, 200, 150).ravel().tolist()) == {0, 255}


@pytest.mark.parametrize(("frames", "most_frames"), [(None, 8), (2, 2)])
def test_no_more_frames_are_fetched_than_are_averaged(
    shown: Served, frames: int | None, most_frames: int
) -> None:
    mark = shown.server.mark()
    empiarfs.preview(pictures.MOVIE, frames=frames, gain=False)
    frame = pictures.ROWS * pictures.COLUMNS * 2

    # And the pieces at both ends, with the directories.
    assert shown.fetched_since(mark) <= most_frames * frame + 3 * PIECE


def test_nothing_is_read_ahead_of_frames_that_come_as_a_whole(folder: Folder) -> None:
    frame = numpy.repeat(pictures.halves()[:, :, None], 3, axis=2).astype("u1")
    with tifffile.TiffWriter(folder.data / "m.tif") as file:
        for _ in range(12):
            file.write(frame, contiguous=False, metadata=None, photometric="rgb")
    mark = folder.server.mark()
    made = empiarfs.preview("10934/data/m.tif", frames=4, pixels=200)

    assert folder.fetched_since(mark) <= 4 * frame.nbytes + 3 * PIECE
    assert set(greys(made.image, MARGIN, MARGIN, 200, 100).ravel().tolist()) == {0, 255}


def test_what_was_seen_once_costs_no_request(shown: Served) -> None:
    first = empiarfs.preview("10934/data", sample=3)
    mark = shown.server.mark()
    again = empiarfs.preview("10934/data", sample=3)

    assert again.png() == first.png()
    assert again.bytes_fetched == shown.fetched_since(mark) == 0
    assert first.bytes_fetched > 0


def test_a_tomogram_is_cut_in_three_directions_if_that_is_cheap(shown: Served) -> None:
    made = empiarfs.preview(pictures.TOMOGRAM, pixels=120)
    # Panels of 50 × 60, 50 × 40 and 60 × 40 pixels; the ball lies at x = 20, y = 30, z = 20.
    xy = greys(made.image, MARGIN, MARGIN, 50, 60)
    xz = greys(made.image, MARGIN + 58, MARGIN, 50, 40)
    yz = greys(made.image, MARGIN + 116, MARGIN, 60, 40)

    assert xy[30, 20] == xz[20, 20] == yz[20, 30] == 255
    assert xy[30, 40] == xz[20, 40] == yz[10, 30] == yz[20, 50] == 0
    # Its middle is cut by two of them, and the third passes it at a distance of 5.
    widths = [int((line == 255).sum()) for line in (xy[30], xz[20], yz[20])]
    assert widths == [15, 15, 13]


def test_a_large_tomogram_costs_one_section_and_a_row_of_each(folder: Folder) -> None:
    pictures.write_sparse_movie(folder.data / "t.rec", 100, 1024)
    mark = folder.server.mark()
    empiarfs.preview("10934/data/t.rec", most_bytes=16 * 2**20)

    assert folder.fetched_since(mark) <= 2**20 + 100 * 2 * PIECE + 2 * PIECE


def test_some_images_of_a_large_stack_are_shown_for_their_bytes_alone(folder: Folder) -> None:
    pictures.write_sparse_movie(folder.data / "p.mrcs", 20_000, 256)
    mark = folder.server.mark()
    made = empiarfs.preview("10934/data/p.mrcs", sample=9, pixels=300)

    assert folder.fetched_since(mark) <= 9 * 2 * PIECE + PIECE
    assert made.image.width >= 3 * (256 // 3)


def test_images_of_a_stack_are_side_by_side(shown: Served) -> None:
    made = empiarfs.preview(pictures.STACK, sample=4, pixels=200)
    panel = greys(made.image, MARGIN, MARGIN, 130, 130)

    centres = [(row, column) for row in (32, 98) for column in (32, 98)]
    assert [int(panel[place]) for place in centres] == [255] * 4
    assert panel[5, 64] == panel[3, 40] == 0


@pytest.mark.slow
def test_a_sheet_of_movies_of_500_mb_costs_4_mb_of_each(folder: Folder) -> None:
    for number in range(6):
        pictures.write_sparse_movie(folder.data / f"movie_{number}.mrc", 30)
    mark = folder.server.mark()
    made = empiarfs.preview("10934")

    assert len(made.files) == 6
    assert made.problems == ()
    assert made.size > 6 * 500e6
    assert 0 < folder.fetched_since(mark) <= 6 * (4 * 2**20 + 2 * PIECE)


def test_only_the_strips_that_are_needed_are_fetched_of_a_tiff(folder: Folder) -> None:
    frame = numpy.tile(numpy.arange(2048, dtype="u2"), (2048, 1))
    pictures.write_movie(folder.data / "m.tif", [frame] * 2, rows_per_strip=32)
    mark = folder.server.mark()
    made = empiarfs.preview("10934/data/m.tif", most_bytes=2**20, pixels=256)
    panel = greys(made.image, MARGIN, MARGIN, 190, 190)

    # Of 8 MiB; with the piece before the strips and the one behind them.
    assert folder.fetched_since(mark) <= 2**20 + 3 * PIECE
    # The middle of the frame, from the left to the right.
    assert (numpy.diff(panel[100:120].mean(axis=0)) >= 0).all()


@pytest.mark.parametrize("most_bytes", [2**20, 64 * 2**20])
def test_tiles_are_put_where_they_belong(folder: Folder, most_bytes: int) -> None:
    rows, columns = numpy.mgrid[:1000, :1000]
    image = (rows + 2 * columns).astype("u2")
    tifffile.imwrite(folder.data / "m.tif", image, tile=(128, 128), photometric="minisblack")
    made = empiarfs.preview("10934/data/m.tif", most_bytes=most_bytes, pixels=512)
    panel = greys(made.image, MARGIN, MARGIN, 300, 300).astype(int)

    assert (numpy.diff(panel, axis=0) >= 0).all()
    assert (numpy.diff(panel, axis=1) >= 0).all()


def test_what_can_not_be_read_is_an_empty_picture_in_a_sheet(folder: Folder) -> None:
    pictures.write_mrc(folder.data / "good.mrc", pictures.halves().astype("f4"))
    good = (folder.data / "good.mrc").read_bytes()
    tree.write_file(folder.data / "cut.mrc", good[:500_000])
    tree.write_file(folder.data / "empty.mrc", b"")
    tree.write_file(folder.data / "torn.tif", b"II*\0\xff\xff\xff\x7f" + bytes(3000))
    tree.write_file(folder.data / "what.dm4", b"\0\0\0\x04" + bytes(3000))
    tree.write_file(folder.data / "no_image.star", b"data_\n")
    made = empiarfs.preview("10934", pixels=64)
    told = {
        path.rpartition("/")[2]: (why, is_no_image) for path, why, is_no_image in made.problems
    }

    assert len(made.files) == 5
    assert told.keys() == {"cut.mrc", "empty.mrc", "torn.tif", "what.dm4"}
    assert all(why and is_no_image for why, is_no_image in told.values())
    assert told["what.dm4"][0].startswith("Gatan DM4")
    with pytest.raises(ValueError, match=r"10934/data/cut\.mrc: the file ends before frame 0"):
        empiarfs.preview("10934/data/cut.mrc")


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("10934/data/nothing.mrc", FileNotFoundError),
        ("10934/data/*.xyz", ValueError),
        ("empiar", ConfigError),
    ],
)
def test_what_is_not_there_is_an_error(shown: Served, word: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        empiarfs.preview(word)


def test_a_sample_is_the_same_for_the_same_seed(shown: Served) -> None:
    def sample(seed: int) -> tuple[str, ...]:
        return empiarfs.preview("10934", sample=2, seed=seed, pixels=64).files

    first = sample(0)

    assert sample(0) == first
    assert len({sample(seed) for seed in range(1, 4)} | {first}) > 1


def test_wildcards_and_several_targets_make_one_sheet(shown: Served) -> None:
    made = empiarfs.preview("10934/data/m*/*.mrc", pictures.STACK, pixels=64)

    assert set(made.files) == {pictures.MICROGRAPH, pictures.GAIN, pictures.STACK}


def test_of_several_targets_those_that_are_there_are_shown(shown: Served) -> None:
    made = empiarfs.preview("10934/data/gone.mrc", pictures.STACK, pixels=64)

    assert made.files == (pictures.STACK,)
    assert made.problems == (("10934/data/gone.mrc", "not in the archive", False),)


def test_role_and_pixel_size_come_from_empiar_where_files_do_not_tell(
    images: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = sample_entries()[10934]
    fields["imagesets"][0] |= {
        "directory": "/data/movies", "pixel_width": 2.0,
        "image_width": str(pictures.COLUMNS), "image_height": str(pictures.ROWS),
    }  # fmt: skip
    with EntryApi({10934: fields}) as api:
        use(monkeypatch, images.server.url, api.url)
        made = empiarfs.preview(pictures.MOVIE, pixels=200, frames=1)
        chosen = empiarfs.preview("10934", role="movies", pixels=64)
    panel = greys(made.image, MARGIN, MARGIN, 200, 150)

    # 4 pixels of 2 Å became one.
    assert pictures.bar_in(panel) == 25
    assert chosen.files == (pictures.MOVIE,)


def test_frames_of_eer_are_averaged_and_their_pixel_size_is_read(folder: Folder) -> None:
    pixel = b'<item name="sensorPixelSize.width" unit="m">7.4e-11</item>'
    frames = [
        eer_frame([64 * 20 + 40 + number % 2, 64 * 10 + 50, 2000, 4095]) for number in range(6)
    ]
    raw = eer_file(frames, pixel)
    tree.write_file(folder.data / "m.eer", raw)
    made = empiarfs.preview("10934/data/m.eer", pixels=64)
    panel = greys(made.image, MARGIN, MARGIN, 64, 64)

    assert panel[10, 50] == 255
    # Half as bright: an electron in every second frame.
    assert 100 < panel[20, 40] < 150
    # 64 × 0.74 Å are 47 Å; a quarter of that is a bar of 10 Å.
    assert pictures.bar_in(panel) == 14


def test_a_packed_micrograph_is_seen(folder: Folder) -> None:
    pictures.write_mrc(folder.data / "x.mrc", pictures.halves().astype("f4"))
    packed = bz2.compress((folder.data / "x.mrc").read_bytes())
    (folder.data / "x.mrc").unlink()
    tree.write_file(folder.data / "x.mrc.bz2", packed)
    panel = greys(empiarfs.preview("10934/data", pixels=100).image, MARGIN, 35, 100, 100)

    assert panel[50, 10] == 0
    assert panel[50, 90] == 255


def test_values_that_are_no_numbers_and_images_of_one_value_are_shown(folder: Folder) -> None:
    broken = pictures.halves()
    broken[::7, ::7] = numpy.nan
    broken[3, 3] = numpy.inf
    pictures.write_mrc(folder.data / "nan.mrc", pictures.halves().astype("f4"))
    # mrcfile complains of such data.
    header = (folder.data / "nan.mrc").read_bytes()[:1024]
    tree.write_file(folder.data / "nan.mrc", header + broken.astype("f4").tobytes())
    pictures.write_mrc(folder.data / "one.mrc", numpy.full((40, 30), 7, "i2"))
    made = empiarfs.preview("10934/data/nan.mrc", pixels=100)
    panel = greys(made.image, MARGIN, MARGIN, 100, 75)

    assert panel[30, 10] + 100 < panel[30, 90]
    one = empiarfs.preview("10934/data/one.mrc", pixels=64)
    assert greys(one.image, MARGIN + 20, MARGIN, 4, 4).tolist() == [[128] * 4] * 4


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_movie(folder: Folder) -> None:
    pictures.write_sparse_movie(folder.data / "m.mrc", 60, 8192)
    # Not by getrusage, whose maximum begins with that of the process that has forked.
    code = (
        "import empiarfs\n"
        "made = empiarfs.preview('10934/data/m.mrc')\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "print(made.size, *[line.split()[1] for line in lines if line.startswith('VmHWM')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        timeout=120,
        check=True,
    )
    size, most_kib = map(int, done.stdout.split())

    assert size > 4e9
    assert most_kib < 500 * 1024  # of which NumPy, Pillow and our parts take 110 MB


def test_a_picture_is_not_overwritten_by_chance(shown: Served, tmp_path: Path) -> None:
    made = empiarfs.preview(pictures.STACK, pixels=64, sample=1)
    made.save(tmp_path / "x.png")

    with pytest.raises(FileExistsError):
        made.save(tmp_path / "x.png")
    made.save(tmp_path / "x.png", overwrite=True)
    assert (tmp_path / "x.png").read_bytes() == made.png()
    assert [each.name for each in tmp_path.glob("*x.png*")] == ["x.png"]


@pytest.mark.parametrize("name", ["pixels", "frames", "sample", "most_bytes"])
def test_a_number_that_makes_no_sense_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        empiarfs.preview("10934", **{name: 0})  # type: ignore[arg-type] # any of these


# -- pure parts ------------------------------------------------------------------------------


def test_a_wave_is_two_spots_in_the_power_spectrum() -> None:
    wave = numpy.sin(numpy.arange(1024) * (2 * numpy.pi / 8)) * numpy.ones((1024, 1))
    found = power_spectrum(
        wave.astype("f4") + numpy.random.default_rng(0).normal(0, 0.1, wave.shape)
    )

    assert found is not None
    assert found.shape == (512, 512)
    # A period of 8 pixels is an eighth of 512 from the middle.
    assert {tuple(map(int, place)) for place in numpy.argwhere(found > found.max() - 0.5)} >= {
        (256, 256 - 64),
        (256, 256 + 64),
    }
    assert power_spectrum(numpy.zeros((16, 16), "f4")) is None


def test_a_few_hot_pixels_do_not_change_the_contrast() -> None:
    image = pictures.halves(200, 200)
    image[5, 5] = 1e9

    assert set(stretched(image)[100].tolist()) == {0, 255}


@pytest.mark.parametrize(
    ("name", "role", "shape", "kind"),
    [
        ("x.mrc", "unknown", Shape(4000, 4000, 1, space_group=0), "average"),
        ("x.mrc", "movies", Shape(4000, 4000, 40, space_group=1), "average"),
        ("x.mrc", "unknown", Shape(4000, 4000, 40, space_group=0), "average"),
        ("x.tif", "movies", Shape(4000, 4000, None), "average"),
        ("x.st", "unknown", Shape(4000, 4000, 41, space_group=0), "tilt"),
        ("x.mrc", "tomograms", Shape(900, 900, 300, space_group=0), "slices"),
        ("x.rec", "unknown", Shape(900, 900, 300, space_group=0), "slices"),
        ("x.mrc", "unknown", Shape(300, 300, 300, space_group=1), "slices"),
        ("x.mrcs", "unknown", Shape(300, 300, 9000, space_group=0), "grid"),
        ("classes.mrc", "particles", Shape(300, 300, 50, space_group=1), "grid"),
        ("x.mrc", "particles", Shape(64, 64, 640, depth=64, space_group=401), "slices"),
    ],
)
def test_what_is_shown_follows_from_role_name_and_shape(
    name: str, role: str, shape: Shape, kind: str
) -> None:
    assert kind_of(name, role, shape) == kind


def test_pieces_are_counted_once() -> None:
    assert fetched_size([]) == fetched_size([(5, 0)]) == 0
    assert fetched_size([(0, 1), (1, 5), (PIECE - 1, 2)]) == 2 * PIECE


def test_chosen_images_are_all_or_some_in_their_order() -> None:
    some = chosen_images(1000, 10, 3)

    assert len(set(some)) == 10
    assert sorted(some) == list(some)
    assert list(chosen_images(4, 10, 3)) == [0, 1, 2, 3]


@pytest.mark.parametrize("most", [0.3, 1.7, 9.99, 10, 349, 12_345, 3e6])
def test_a_scale_bar_has_a_round_length_that_fits(most: float) -> None:
    length, text = nice_length(most)
    number, unit = text.split(" ")

    assert most / 2.5 <= length <= most
    assert float(number) * {"Å": 1, "nm": 10, "µm": 10_000}[unit] == pytest.approx(length)
