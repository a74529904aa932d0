"""Files packed by bzip2 or gzip: the bytes of bz2 and gzip, while they come, or a plain error."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import os
import pickle
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy
import pytest
import tifffile

import empiarfs
from empiarfs.python import unpacked
from tests.python.conftest import Served, use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import BrokenServer, Fault

PACKERS: dict[str, Callable[[bytes], bytes]] = {"bz2": bz2.compress, "gz": gzip.compress}
TEXT = b"".join(b"%d of some lines\n" % number for number in range(15_000))
LARGE = "10934/data/large.mrc.gz"
LARGE_SIZE = 12_000_000


@pytest.fixture(params=sorted(PACKERS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def put(server: BrokenServer, name: str, data: bytes) -> str:
    server.put(f"10934/data/{name}", data)
    return f"10934/data/{name}"


def test_it_reads_as_the_unpacked_file_would(server: BrokenServer, kind: str) -> None:
    name = put(server, f"x.log.{kind}", PACKERS[kind](TEXT))
    with empiarfs.unpack(name) as file:
        assert file.read(10) == TEXT[:10]
        assert file.seek(200_000) == 200_000
        assert file.read(1000) == TEXT[200_000:201_000]
        assert file.seek(50) == 50
        assert file.read(5) == TEXT[50:55]
        assert file.seek(-7, os.SEEK_END) == len(TEXT) - 7
        assert file.read(100) == TEXT[-7:]
        assert (file.read(1), file.seek(10**9), file.read(1)) == (b"", 10**9, b"")
        file.seek(0)
        assert file.read() == TEXT
        assert [file.name, file.tell()] == [name, len(TEXT)]
        with pytest.raises(ValueError, match="nothing at -1"):
            file.seek(-1)
    assert file.packed.closed
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_lines_are_read_and_several_parts_are_one(server: BrokenServer, kind: str) -> None:
    pack = PACKERS[kind]
    name = put(server, f"x.{kind}", pack(TEXT[:100_001]) + pack(TEXT[100_001:]))
    with io.TextIOWrapper(io.BufferedReader(empiarfs.unpack(name))) as lines:
        assert [line.encode() for line in lines] == TEXT.splitlines(keepends=True)


def test_a_pickle_goes_on_where_it_was(server: BrokenServer, kind: str) -> None:
    name = put(server, f"x.{kind}", PACKERS[kind](TEXT))
    with empiarfs.open(name) as packed:
        file = empiarfs.unpack(packed)
        file.seek(1000)
        with pickle.loads(pickle.dumps(file)) as other:
            assert other.read(50) == file.read(50) == TEXT[1000:1050]
        del file
        assert not packed.closed


def test_memory_is_bounded_by_what_is_asked_for(server: BrokenServer) -> None:
    name = put(server, "zeros.gz", gzip.compress(bytes(30_000_000)))
    with empiarfs.unpack(name) as file:
        file.read(1)
        tracemalloc.start()
        try:
            file.seek(29_999_990)
            assert file.read(100) == bytes(10)
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw[: len(raw) // 2], "ended before the end-of-stream"),
        (lambda raw: raw[:5000] + bytes(500) + raw[5500:], r"data|CRC|block|code|length"),
    ],
)
def test_what_is_broken_is_a_value_error(
    server: BrokenServer, kind: str, change: Callable[[bytes], bytes], message: str
) -> None:
    name = put(server, f"x.{kind}", change(PACKERS[kind](TEXT)))
    with (
        empiarfs.unpack(name) as file,
        pytest.raises(ValueError, match=rf"x\.{kind}: .*{message}"),
    ):
        file.read()


def test_what_is_not_packed_is_refused(server: BrokenServer) -> None:
    name = put(server, "x.mrc.gz", b"MAP " * 100)
    with pytest.raises(ValueError, match="neither by bzip2 nor by gzip"):
        empiarfs.unpack(name)
    with pytest.raises(FileNotFoundError):
        empiarfs.unpack("10934/data/none.gz")


def parts_that_meet_at(offset: int) -> tuple[bytes, bytes]:
    """Return bytes, and the same packed in two parts, the first of which is so long."""
    noise = numpy.random.default_rng(1).bytes(offset + 300_000)
    for size in range(offset - 100, offset):
        first = gzip.compress(noise[:size], 0)
        if len(first) == offset:
            return noise, first + gzip.compress(noise[size:], 0)
    raise AssertionError(f"no part is packed into {offset} bytes")


def test_after_a_failure_the_right_bytes_are_read(
    server: BrokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is asked for at a time ends within the second part's header.
    step = 256 * 1024
    expected, packed = parts_that_meet_at(step - 5)
    name = put(server, "x.gz", packed)
    fail = [OSError(errno.EIO, "out of reach")]
    pread = empiarfs.ArchiveFile.pread

    def failing(self: empiarfs.ArchiveFile, size: int, offset: int) -> bytes:
        if offset >= step and fail:
            raise fail.pop()
        return pread(self, size, offset)

    with empiarfs.unpack(name) as file, monkeypatch.context() as patch:
        patch.setattr(empiarfs.ArchiveFile, "pread", failing)
        with pytest.raises(OSError, match="out of reach"):
            sum(1 for _ in iter(lambda: file.read(1000), None))
        at = file.tell()
        assert 0 < at < len(expected)
        assert file.readall() == expected[at:]


def images() -> dict[str, bytes]:
    """Return an MRC stack and a TIFF movie, by the end of their names."""
    frames = numpy.arange(6 * 40 * 50, dtype="int16").reshape(6, 40, 50)
    movie, stack = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(movie, frames.astype("uint16"), photometric="minisblack", metadata=None)
    with tempfile.TemporaryDirectory() as folder:
        with mrcfile.new(Path(folder, "x.mrc"), frames) as file:
            file.set_image_stack()
        stack.write(Path(folder, "x.mrc").read_bytes())
    return {"mrcs": stack.getvalue(), "tif": movie.getvalue()}


def test_packed_images_are_those_that_were_packed(server: BrokenServer, kind: str) -> None:
    for ending, raw in images().items():
        plain = put(server, f"x.{ending}", raw)
        packed = put(server, f"x.{ending}.{kind}", PACKERS[kind](raw))
        for frames in (None, 3, [5, 0], slice(4, 1, -1)):
            expected = empiarfs.imread(plain, frames, (3, 20, 0, 50))
            found = empiarfs.imread(packed, frames, (3, 20, 0, 50))
            assert found.dtype == expected.dtype
            assert (found == expected).all()
        cut = put(server, f"cut.{ending}.{kind}", PACKERS[kind](raw[:-5000]))
        with pytest.raises(ValueError, match=f"cut.{ending}.{kind}"):
            empiarfs.imread(cut)
    text = put(server, f"x.{kind}", PACKERS[kind](b"words"))
    with pytest.raises(ValueError, match="text, and no image"):
        empiarfs.imread(text)


def test_no_more_is_put_on_a_disk_than_leaves_room(
    server: BrokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = images()["tif"]
    name = put(server, "x.tif.gz", gzip.compress(raw))
    monkeypatch.setattr(unpacked, "_IN_MEMORY", 0)
    assert empiarfs.imread(name).shape == (6, 40, 50)
    full = shutil.disk_usage("/")._replace(total=10**12, free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(OSError, match="no room to unpack"):
        empiarfs.imread(name)


@pytest.mark.apache
def test_of_a_packed_stack_no_more_is_fetched_than_is_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = images()["mrcs"]
    with tree.temporary_root() as root:
        noise = numpy.random.default_rng(1).bytes(LARGE_SIZE)
        tree.write_file(root / LARGE, gzip.compress(raw + noise, 0))
        tree.set_times(root)
        with ApacheServer(root) as apache:
            use(monkeypatch, apache.url)
            archive = Served(root, apache)
            mark = apache.mark()
            assert empiarfs.imread(LARGE, 1).shape == (40, 50)
            assert archive.fetched_since(mark) < LARGE_SIZE / 2
            empiarfs.close()


def test_an_archive_out_of_reach_is_told_as_such(
    server: BrokenServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPIARFS_WAIT", "1s")
    noise = numpy.random.default_rng(1).bytes(600_000)
    name = put(server, f"x.{kind}", PACKERS[kind](noise))
    with empiarfs.unpack(name) as file:
        server.fault(lambda request: True, Fault.busy(500), times=1000)
        with pytest.raises(OSError, match=rf"x\.{kind}") as caught:
            file.read()
    assert caught.value.errno is not None
