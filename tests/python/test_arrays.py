"""Images as arrays: those of mrcfile and tifffile, from little more than their bytes."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mrcfile
import numpy
import pytest
import tifffile

import empiarfs
from tests.python.conftest import Served, use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer
from tests.support.users import CHECKOUT

PIECE = 64 * 1024
MOVIE = "10934/data/movie.mrcs"
PARTICLES = "10934/data/particles.mrcs"
LONG = "10934/data/long.mrc"
TIFF = "10934/data/movie.tif"
EER = "10934/data/movie.eer"


def noise(shape: tuple[int, ...], kind: str) -> Any:
    values = numpy.random.default_rng(1).normal(100, 20, shape)
    return (
        (values + 1j * values[..., ::-1]).astype(kind) if kind[0] == "c" else values.astype(kind)
    )


def write_mrc(path: Path, data: Any, *, stack: bool = True, extended: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path) as file:
        if extended:
            file.set_extended_header(numpy.zeros(extended, "V1"))
        file.set_data(data)
        if stack and data.ndim == 3:
            file.set_image_stack()


def eer_frame(hits: list[int]) -> bytes:
    """Return electrons at these pixels as EER packs them: 7 bits to skip, 4 of a place within.

    https://github.com/fei-company/EerReaderLib has the format.
    """
    bits, last = "", -1
    for hit in sorted(hits):
        skip = hit - last - 1
        while skip >= 127:
            bits += format(127, "07b")[::-1]
            skip -= 127
        bits += format(skip, "07b")[::-1] + "0000"
        last = hit
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def eer_file(frames: list[bytes], item: bytes = b'<item name="numberOfFrames">6</item>') -> bytes:
    """Return frames of 64 × 64 pixels as a BigTIFF file, as a detector writes it."""
    metadata = b"<metadata>" + item + b"</metadata>"
    raw = b"II+\0" + struct.pack("<HHQ", 8, 0, 16 + len(metadata) + sum(map(len, frames)))
    raw += metadata + b"".join(frames)
    offset = 16 + len(metadata)
    for number, frame in enumerate(frames):
        tags = {256: 64, 257: 64, 258: 8, 259: 65001, 262: 1, 273: offset, 277: 1, 278: 64,
                279: len(frame)}  # fmt: skip
        rows = [struct.pack("<HHQQ", tag, 16, 1, value) for tag, value in tags.items()]
        rows.append(struct.pack("<HHQQ", 65001, 7, len(metadata), 16))
        raw += struct.pack("<Q", len(rows)) + b"".join(rows)
        is_last = number == len(frames) - 1
        raw += struct.pack("<Q", 0 if is_last else len(raw) + 8)
        offset += len(frame)
    return raw


@pytest.fixture(scope="module")
def images() -> Iterator[Served]:
    """Serve images that are large against a piece."""
    with tree.temporary_root() as root:
        write_mrc(root / MOVIE, noise((40, 512, 512), "i2"), extended=5000)
        write_mrc(root / PARTICLES, noise((600, 64, 64), "f4"))
        write_mrc(root / LONG, noise((4, 200_000), "f4"))
        tifffile.imwrite(
            root / TIFF, noise((12, 300, 400), "u2"), photometric="minisblack",
            rowsperstrip=50, metadata=None,
        )  # fmt: skip
        frames = [eer_frame([5 + number, 1000, 4095]) for number in range(6)]
        (root / EER).write_bytes(eer_file(frames))
        tree.set_times(root)
        with ApacheServer(root) as server:
            yield Served(root, server)


@pytest.fixture
def archive(images: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    use(monkeypatch, images.server.url)
    return images


def put(server: BrokenServer, path: Path) -> str:
    """Serve a local file, and return its path in the archive."""
    server.put(f"10934/data/{path.name}", path.read_bytes())
    return f"10934/data/{path.name}"


class TestEveryKindOfMrc:
    """What mrcfile reads is what is read."""

    @pytest.mark.parametrize("kind", ["int8", "int16", "float32", "complex64", "u2", "float16"])
    def test_of_every_type(self, server: BrokenServer, tmp_path: Path, kind: str) -> None:
        write_mrc(tmp_path / "a.mrcs", noise((5, 20, 31), kind), extended=300)
        name = put(server, tmp_path / "a.mrcs")
        expected = mrcfile.read(tmp_path / "a.mrcs")
        whole = empiarfs.imread(name)

        assert whole.dtype == expected.dtype
        assert (whole == expected).all()
        assert (empiarfs.imread(name, 2) == expected[2]).all()
        assert (empiarfs.imread(name, slice(1, 4)) == expected[1:4]).all()
        assert (empiarfs.imread(name, [4, 0]) == expected[[4, 0]]).all()
        part = empiarfs.imread(name, slice(None, None, 2), (3, 9, 10, 30))
        assert (part == expected[::2, 3:9, 10:30]).all()

    def test_of_the_other_byte_order(self, server: BrokenServer, tmp_path: Path) -> None:
        write_mrc(tmp_path / "a.mrc", noise((2, 6, 7), "i2").astype(">i2"))
        name = put(server, tmp_path / "a.mrc")
        expected = mrcfile.read(tmp_path / "a.mrc")
        found = empiarfs.imread(name)

        assert expected.dtype.byteorder == found.dtype.byteorder == ">"
        assert (found == expected).all()

    def test_of_every_shape(self, server: BrokenServer, tmp_path: Path) -> None:
        write_mrc(tmp_path / "image.mrc", noise((6, 7), "f4"))
        write_mrc(tmp_path / "volume.map", noise((3, 6, 7), "f4"), stack=False)
        write_mrc(tmp_path / "flat.map", noise((1, 6, 7), "f4"), stack=False)
        write_mrc(tmp_path / "volumes.mrc", noise((4, 3, 6, 7), "f4"))
        for path in tmp_path.glob("*.m*"):
            expected, name = mrcfile.read(path), put(server, path)
            found = empiarfs.imread(name)
            assert found.shape == expected.shape, name
            assert (found == expected).all()
            first = expected if expected.ndim == 2 else expected[0]
            part = empiarfs.imread(name, 0, (1, 3, 2, 7))
            assert (part == first[..., 1:3, 2:7]).all(), name

    def test_of_four_bits(self, server: BrokenServer, tmp_path: Path) -> None:
        pixels = numpy.random.default_rng(2).integers(0, 16, (3, 4, 7)).astype("u1")
        padded = numpy.zeros((3, 4, 8), "u1")
        padded[:, :, :7] = pixels
        packed = padded[:, :, 0::2] | padded[:, :, 1::2] << 4
        write_mrc(tmp_path / "a.mrc", numpy.zeros((3, 4, 7), "i1"))
        raw = bytearray((tmp_path / "a.mrc").read_bytes()[:1024])
        raw[12:16] = (101).to_bytes(4, "little")
        server.put("10934/data/a.mrc", bytes(raw) + packed.tobytes())

        assert (empiarfs.imread("10934/data/a.mrc") == pixels).all()
        part = empiarfs.imread("10934/data/a.mrc", slice(0, 2), (1, 3, 3, 6))
        assert (part == pixels[:2, 1:3, 3:6]).all()

    def test_of_pairs_of_integers(self, server: BrokenServer, tmp_path: Path) -> None:
        values = noise((2, 3, 4, 2), "i2")
        write_mrc(tmp_path / "a.mrc", numpy.zeros((2, 3, 4), "c8"))
        raw = bytearray((tmp_path / "a.mrc").read_bytes()[:1024])
        raw[12:16] = (3).to_bytes(4, "little")
        server.put("10934/data/a.mrc", bytes(raw) + values.tobytes())
        found = empiarfs.imread("10934/data/a.mrc")

        assert found.dtype == numpy.complex64
        assert (found == values[..., 0] + 1j * values[..., 1]).all()

    def test_no_frame_is_an_empty_array(self, server: BrokenServer, tmp_path: Path) -> None:
        write_mrc(tmp_path / "a.mrcs", noise((5, 20, 30), "f4"))
        name = put(server, tmp_path / "a.mrcs")

        assert empiarfs.imread(name, slice(3, 3)).shape == (0, 20, 30)
        assert empiarfs.imread(name, 1, (5, 5, 0, 30)).shape == (0, 30)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw[:-1], "the file ends before frame 4"),
        (lambda raw: raw[:500], "no image that can be read"),
        (lambda raw: b"", "empty"),
        (lambda raw: raw[:12] + b"\x63\0\0\0" + raw[16:], "its mode, 99, isn't known"),
        (lambda raw: raw[:8] + b"\xff\xff\xff\x7f" + raw[12:], "the file ends before frame"),
        (lambda raw: raw[:92] + b"\xff\xff\xff\x7f" + raw[96:], "the file ends before frame 4"),
        (lambda raw: b"\x89HDF\r\n\x1a\n" + bytes(2000), "HDF5, and no image"),
    ],
)
def test_what_is_no_image_is_a_value_error(
    server: BrokenServer, tmp_path: Path, change: Any, message: str
) -> None:
    write_mrc(tmp_path / "a.mrcs", noise((5, 20, 30), "f4"))
    server.put("10934/data/a.mrcs", change((tmp_path / "a.mrcs").read_bytes()))

    with pytest.raises(ValueError, match=message):
        empiarfs.imread("10934/data/a.mrcs")


def test_a_frame_before_the_end_of_a_file_that_was_cut_is_read(
    server: BrokenServer, tmp_path: Path
) -> None:
    write_mrc(tmp_path / "a.mrcs", noise((5, 20, 30), "f4"))
    server.put("10934/data/a.mrcs", (tmp_path / "a.mrcs").read_bytes()[:-1])

    found = empiarfs.imread("10934/data/a.mrcs", slice(0, 4))
    assert (found == mrcfile.read(tmp_path / "a.mrcs")[:4]).all()
    with pytest.raises(IndexError, match="no frame 5 of 5"):
        empiarfs.imread("10934/data/a.mrcs", 5)
    with pytest.raises(ValueError, match="isn't within 20 × 30 pixels"):
        empiarfs.imread("10934/data/a.mrcs", 0, (0, 21, 0, 30))
    with pytest.raises(FileNotFoundError):
        empiarfs.imread("10934/data/none.mrcs")


@pytest.mark.apache
class TestWhatIsFetched:
    """The bytes that are returned, and hardly any more."""

    def test_of_eight_frames(self, archive: Served) -> None:
        mark = archive.server.mark()
        found = empiarfs.imread(MOVIE, slice(8, 16))

        assert (found == mrcfile.read(archive.root / MOVIE)[8:16]).all()
        assert archive.fetched_since(mark) <= 1.1 * found.nbytes

    def test_of_a_band_of_some_frames(self, archive: Served) -> None:
        mark = archive.server.mark()
        found = empiarfs.imread(MOVIE, slice(0, 40, 10), (100, 164, 20, 84))

        assert (found == mrcfile.read(archive.root / MOVIE)[::10, 100:164, 20:84]).all()
        assert archive.fetched_since(mark) <= (1 + 4 * 2) * PIECE

    def test_of_a_narrow_part_of_long_rows(self, archive: Served) -> None:
        mark = archive.server.mark()
        found = empiarfs.imread(LONG, 0, (0, 4, 100_000, 101_000))

        assert (found == mrcfile.read(archive.root / LONG)[:, 100_000:101_000]).all()
        assert archive.fetched_since(mark) <= (1 + 4 * 2) * PIECE

    def test_of_random_particles(self, archive: Served) -> None:
        wanted = [int(n) for n in numpy.random.default_rng(3).permutation(600)[:20]]
        mark = archive.server.mark()
        found = empiarfs.imread(PARTICLES, wanted)

        assert (found == mrcfile.read(archive.root / PARTICLES)[wanted]).all()
        assert archive.fetched_since(mark) <= (1 + 20 * 2) * PIECE

    def test_of_the_first_frames_of_a_tiff(self, archive: Served) -> None:
        mark = archive.server.mark()
        found = empiarfs.imread(TIFF, slice(0, 2))

        assert (found == tifffile.imread(archive.root / TIFF)[:2]).all()
        assert archive.fetched_since(mark) < (archive.root / TIFF).stat().st_size / 2

    def test_nothing_again(self, archive: Served) -> None:
        with empiarfs.open(MOVIE) as file:
            first = empiarfs.imread(file, 3)
            mark = archive.server.mark()
            assert (empiarfs.imread(file, 3) == first).all()
            assert not file.closed
        assert archive.server.requests_since(mark) == []


@pytest.mark.apache
@pytest.mark.parametrize("name", [TIFF, EER])
def test_frames_of_tiff_and_eer_are_those_of_tifffile(archive: Served, name: str) -> None:
    expected = tifffile.imread(archive.root / name)
    last = len(expected) - 1

    assert expected.any()
    assert (empiarfs.imread(name) == expected).all()
    assert (empiarfs.imread(name, 1) == expected[1]).all()
    assert (empiarfs.imread(name, -1) == expected[-1]).all()
    assert (empiarfs.imread(name, slice(2, 100)) == expected[2:]).all()
    assert (empiarfs.imread(name, slice(None, None, -1)) == expected[::-1]).all()
    assert empiarfs.imread(name, slice(3, 3)).shape == (0, *expected.shape[1:])
    part = empiarfs.imread(name, [0, last], (10, 60, 5, 50))
    assert (part == expected[[0, last], 10:60, 5:50]).all()
    with pytest.raises(IndexError, match=f"no frame {last + 1} of {last + 1}"):
        empiarfs.imread(name, last + 1)


@pytest.mark.apache
def test_threads_may_read_one_open_tiff(archive: Served) -> None:
    expected = tifffile.imread(archive.root / TIFF)
    with empiarfs.open(TIFF) as file, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda frame: empiarfs.imread(file, frame), [*range(12)] * 4))

    assert (numpy.stack(found) == numpy.concatenate([expected] * 4)).all()


@pytest.mark.parametrize(
    "raw",
    [
        b"II*\0" + b"\xff" * 100,
        b"II*\0" + struct.pack("<IH", 8, 60_000),
        eer_file([b"\xff" * 50] * 2),
        eer_file([eer_frame([4095])] * 2)[:100],
    ],
)
def test_a_broken_tiff_is_a_value_error(server: BrokenServer, raw: bytes) -> None:
    server.put("10934/data/a.tif", raw)

    with pytest.raises(ValueError, match=r"10934/data/a\.tif"):
        empiarfs.imread("10934/data/a.tif")


def test_a_frame_that_is_said_to_be_huge_is_refused(server: BrokenServer) -> None:
    raw = eer_file([eer_frame([4095])])
    size = struct.pack("<HHQQ", 256, 16, 1, 64), struct.pack("<HHQQ", 256, 16, 1, 2**31)
    server.put("10934/data/a.eer", raw.replace(*size))

    with pytest.raises(ValueError, match="can't be in those that it has"):
        empiarfs.imread("10934/data/a.eer", 0)


@pytest.mark.apache
@pytest.mark.parametrize("missing", ["tifffile", "imagecodecs"])
def test_what_is_missing_is_named(archive: Served, missing: str) -> None:
    script = f"""
import sys
sys.modules[{missing!r}] = None
import empiarfs
empiarfs.imread({EER!r}, 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]

    assert last.startswith(f"ImportError: {missing} is missing")
    assert last.endswith("pip install 'empiarfs[arrays]'")
