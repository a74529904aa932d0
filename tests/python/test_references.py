"""References to frames of MRC files: zarr and xarray read them in place, with every pixel."""

from __future__ import annotations

import importlib.metadata
import json
import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy
import pytest

import empiarfs
from tests.python.conftest import use
from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.broken_server import DEFAULT_MODIFIED_S, BrokenServer
from tests.support.users import CHECKOUT

PIECE = 64 * 1024
FOLDER = "10934/data/in place"
FRAME_SIZE = 300 * 320 * 4
# By the names of types as NumPy and mrcfile have them: all modes that aren't packed.
KINDS = ("int8", "int16", "float32", "complex64", "uint16", "float16")
ODD = "f # ?%41+&Å{{x}}"
PROTOCOLS = ("empiar", "https")

needs_zarr_3 = pytest.mark.skipif(
    importlib.metadata.version("zarr").startswith("2."), reason="zarr 3 needs Python 3.11"
)


def noise(shape: tuple[int, ...], kind: str = "float32", seed: int = 1) -> Any:
    values = numpy.random.default_rng(seed).normal(0, 30, shape)
    return values.astype(kind) if kind[0] != "c" else (values + 1j * values[::-1]).astype(kind)


def write_mrc(path: Path, data: Any, *, stack: bool = False, extended: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path) as file:
        if extended:
            file.set_extended_header(numpy.zeros(extended, "V1"))
        file.set_data(data)
        if stack:
            file.set_image_stack()
        file.voxel_size = (2, 3, 4)


def write_big_endian(path: Path, data: Any) -> None:
    """Write a stack whose header and pixels have their highest byte first."""
    with mrcfile.new(path) as file:
        file.set_data(data.astype("<f4"))
        file.set_image_stack()
        header, extended = file.header.copy(), file.extended_header.tobytes()
    header = header.astype(header.dtype.newbyteorder(">"))
    header.machst[...] = (0x11, 0x11, 0, 0)
    path.write_bytes(header.tobytes() + extended + data.astype(">f4").tobytes())


def make_files(folder: Path) -> None:
    """Make a file of each kind."""
    for kind in KINDS:
        write_mrc(folder / f"{kind}.mrcs", noise((3, 9, 11), kind), stack=True)
    for number in range(3):
        write_mrc(folder / f"alike_{number}.mrc", noise((3, 8, 9), seed=number), stack=True)
    write_mrc(folder / "extended.st", noise((3, 9, 11), "int16"), stack=True, extended=700)
    write_mrc(folder / "image.mrc", noise((9, 11)))
    write_mrc(folder / "volume.map", noise((5, 9, 11)))
    write_mrc(folder / "volumes.mrc", noise((2, 5, 9, 11)))
    write_mrc(folder / f"{ODD}.mrcs", noise((3, 9, 11), "int16"), stack=True)
    for name in ("one", "changed", "gone", "short", "since"):
        write_mrc(folder / f"{name}.mrcs", noise((6, 300, 320)), stack=True)
    write_big_endian(folder / "big.mrcs", noise((3, 9, 11)))


@dataclass(frozen=True, slots=True)
class Read:
    """What the readers made of references.

    Attributes:
        folder: With the references and the images that were read.
        files: What is served, at the time when the references were made.
        said: By names of references, what xarray says, or the error.
        fetched: By protocol, how many bytes were sent of the file of which one frame was read.
    """

    folder: Path
    files: Path
    said: dict[str, Any]
    fetched: dict[str, int]

    def images(self, name: str) -> Any:
        return numpy.load(self.folder / f"{name}.npy")


def sent(server: ApacheServer, mark: int, protocol: str) -> int:
    """Return how many bytes of the file of which one frame is read were sent."""
    requests = server.requests_since(mark)
    return sum(
        each.size
        for each in requests
        if each.path.endswith("/one.mrcs") and ("empiarfs" in each.agent) == (protocol == "empiar")
    )


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Refer to files, change some of them, and have the references read."""
    home = tmp_path_factory.mktemp("references")
    (home / "refs").mkdir()
    with tree.temporary_root() as root, pytest.MonkeyPatch.context() as patch:
        folder = root / FOLDER
        make_files(folder)
        tree.set_times(root)
        names = sorted(path.name for path in folder.iterdir())
        with ApacheServer(root) as server:
            use(patch, server.url)
            patch.setenv("EMPIARFS_CACHE_DIR", str(home / "cache"))
            patch.setenv("HOME", str(home))
            patch.setenv("XDG_CONFIG_HOME", str(home / "config"))
            for protocol in PROTOCOLS:
                for name in names:
                    save(home, name.rsplit(".", 1)[0], f"{FOLDER}/{name}", protocol)
                alike = [f"{FOLDER}/{name}" for name in names if name.startswith("alike")]
                save(home, "several", alike, protocol)
            empiarfs.close()
            before = {path.name: path.read_bytes() for path in folder.iterdir()}
            for name in ("changed", "since"):
                write_over(folder / f"{name}.mrcs", noise((6, 300, 320), seed=2))
            (folder / "gone.mrcs").unlink()
            with open(folder / "short.mrcs", "rb+") as file:
                file.truncate(1024 + 5 * FRAME_SIZE)
            mark = server.mark()
            # Another catalog, which knows what the archive has now.
            environment = os.environ | {"EMPIARFS_CACHE_DIR": str(home / "other")}
            done = subprocess.run(
                [sys.executable, "-m", "tests.support.zarr_reader", str(home / "refs")],
                cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stderr) == (0, "")
            fetched = {protocol: sent(server, mark, protocol) for protocol in PROTOCOLS}
    for name, data in before.items():
        tree.write_file(home / "files" / name, data)
    said = json.loads((home / "refs/said.json").read_text())
    return Read(home / "refs", home / "files", said, fetched)


def save(home: Path, name: str, files: str | list[str], protocol: Any) -> None:
    found = empiarfs.references(files, protocol=protocol)
    with open(home / "refs" / f"{protocol}-{name}.json", "w") as file:
        json.dump(found, file)


def write_over(path: Path, data: Any) -> None:
    """Put other bytes into a file, of the same size, as of another day."""
    with mrcfile.mmap(path, "r+") as file:
        file.data[...] = data
    os.utime(path, (1_700_000_000, 1_700_000_000))


@needs_zarr_3
@pytest.mark.apache
@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestReaders:
    """zarr and xarray, by fsspec's file system of references."""

    @pytest.mark.parametrize(
        "name", [*KINDS, "extended", "image", "volume", "volumes", "big", ODD]
    )
    def test_read_every_pixel_in_its_type(self, read: Read, protocol: str, name: str) -> None:
        [path] = read.files.glob(f"{name.replace('?', '[?]')}.*")
        expected = mrcfile.read(path)
        found = read.images(f"{protocol}-{name}")

        assert found.dtype == expected.dtype.newbyteorder("=")
        assert found.shape == expected.shape
        assert found.tobytes() == expected.astype(found.dtype).tobytes()

    @pytest.mark.parametrize(
        ("name", "dims", "chunk"),
        [
            ("int16", ["frame", "y", "x"], [1, 9, 11]),
            ("image", ["y", "x"], [9, 11]),
            ("volume", ["z", "y", "x"], [1, 9, 11]),
            ("volumes", ["volume", "z", "y", "x"], [1, 5, 9, 11]),
            ("several", ["file", "frame", "y", "x"], [1, 1, 8, 9]),
        ],
    )
    def test_see_axes_and_a_chunk_for_each_frame(
        self, read: Read, protocol: str, name: str, dims: list[str], chunk: list[int]
    ) -> None:
        said = read.said[f"{protocol}-{name}"]
        assert (said["dims"], said["chunks"]) == (dims, chunk)
        assert said["dtype"] == ("int16" if name == "int16" else "float32")

    def test_see_what_is_known_of_the_file(self, read: Read, protocol: str) -> None:
        said = read.said[f"{protocol}-volume"]
        attrs = said["attrs"]
        assert attrs.pop("source").endswith("/10934/data/in%20place/volume.map")
        assert attrs.pop("version").startswith(f"{1024 + 5 * 9 * 11 * 4:x}-")
        assert attrs.pop("modified").endswith(" GMT")
        assert attrs == {
            "entry": "EMPIAR-10934",
            "doi": "10.6019/EMPIAR-10934",
            "pixel_size": [2.0, 3.0, 4.0],
            "pixel_size_from": "header",
        }
        assert said["coords"]["y"] == [3.0 * row for row in range(9)]
        assert said["coords"]["z"] == [0.0, 4.0, 8.0, 12.0, 16.0]
        assert said["units"] == ["Å"]

    def test_see_several_files_along_an_axis(self, read: Read, protocol: str) -> None:
        paths = [read.files / f"alike_{number}.mrc" for number in range(3)]
        expected = numpy.stack([mrcfile.read(path) for path in paths])
        coords = read.said[f"{protocol}-several"]["coords"]
        assert (read.images(f"{protocol}-several") == expected).all()
        assert coords["file"] == [f"{FOLDER}/{path.name}" for path in paths]
        assert [each.rpartition("/")[2] for each in coords["source"]] == [
            path.name for path in paths
        ]
        assert len(set(coords["version"])) == 3

    def test_fetch_a_frame_and_no_more(self, read: Read, protocol: str) -> None:
        expected = mrcfile.read(read.files / "one.mrcs")
        assert (read.images(f"{protocol}-one") == expected[1]).all()
        more = 2 * PIECE if protocol == "empiar" else 0
        assert FRAME_SIZE <= read.fetched[protocol] <= FRAME_SIZE + more

    def test_never_see_zeros_for_what_can_not_be_had(self, read: Read, protocol: str) -> None:
        for name in ("gone", "short"):
            error = read.said[f"{protocol}-{name}"]["error"]
            assert error.startswith("ReferenceNotReachable") or "reshape" in error


@needs_zarr_3
@pytest.mark.apache
class TestOtherVersions:
    """Of a file that was changed since it was referred to."""

    @pytest.mark.parametrize("name", ["changed", "since", "short"])
    def test_empiar_reads_none(self, read: Read, name: str) -> None:
        assert "it isn't the version that is meant" in read.said[f"empiar-{name}"]["error"]

    def test_https_reads_what_there_is(self, read: Read) -> None:
        assert (read.images("https-changed") == noise((6, 300, 320), seed=2)).all()

    def test_https_reads_none_where_the_server_is_told(self, read: Read) -> None:
        assert "412" in read.said["https-since"]["error"]


@needs_zarr_3
@pytest.mark.apache
def test_readers_by_https_need_no_empiarfs(read: Read) -> None:
    assert read.said["https-big"]["has_empiarfs"] is False
    assert read.said["empiar-big"]["has_empiarfs"] is True


def stack_bytes(folder: Path) -> bytes:
    write_mrc(folder / "a.mrc", noise((3, 8, 8)), stack=True)
    return (folder / "a.mrc").read_bytes()


def test_a_reference_is_json_of_version_1(
    server: BrokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dask", "fsspec", "xarray", "zarr"):
        monkeypatch.setitem(sys.modules, name, None)  # none of them is needed
    server.put("10934/data/a.mrc", stack_bytes(tmp_path))
    found = empiarfs.references("EMPIAR-10934/data/a.mrc", pixel_size=1.5)
    refs = found["refs"]
    version = f"{1024 + 3 * 256:x}-{DEFAULT_MODIFIED_S:x}"
    images = json.loads(refs["images/zarr.json"])

    assert json.loads(json.dumps(found)) == found
    assert found["version"] == 1
    assert refs["images/c/2/0/0"] == [
        f"empiar://version={version}/10934/data/a.mrc", 1024 + 2 * 256, 256
    ]  # fmt: skip
    assert sorted(refs) == sorted(
        ["zarr.json", "images/zarr.json", "y/zarr.json", "y/c/0", "x/zarr.json", "x/c/0"]
        + [f"images/c/{frame}/0/0" for frame in range(3)]
    )
    assert images["codecs"] == [{"name": "bytes", "configuration": {"endian": "little"}}]
    assert images["attributes"]["pixel_size_from"] == "given"
    with empiarfs.open("10934/data/a.mrc") as file:
        by_https = empiarfs.references([file], protocol="https")["refs"]
    assert by_https["images/c/0/2/0/0"] == [f"{server.url}10934/data/a.mrc", 1024 + 512, 256]


def test_only_headers_are_read_to_make_them(server: BrokenServer, tmp_path: Path) -> None:
    write_mrc(tmp_path / "large.mrc", noise((10, 300, 320)), stack=True)
    server.put("10934/data/large.mrc", (tmp_path / "large.mrc").read_bytes())
    empiarfs.references("10934/data/large.mrc")

    ranges = [request.headers.get("range", "") for request in server.requests]
    assert {each for each in ranges if each} <= {"bytes=0-65535", "bytes=0-0"}


class TestWhatCanNotBeReferredTo:
    """Is a ValueError that says why."""

    def test_because_of_its_bytes(self, server: BrokenServer, tmp_path: Path) -> None:
        whole = stack_bytes(tmp_path)
        many = struct.pack("<4i", 1, 1, 2_000_000, 0) + whole[16:1024] + bytes(2_000_000)
        for number, (data, message) in enumerate(
            (
                (b"", "empty"),
                (whole[:-1], "the file ends before frame 2"),
                (whole[:12] + b"\x03" + whole[13:], r"pairs of 16-bit integers \(mode 3\)"),
                (whole[:12] + b"\x65" + whole[13:], r"numbers of 4 bits \(mode 101\)"),
                (whole[:12] + b"\x63" + whole[13:], "its mode, 99, isn't known"),
                (b"\x1f\x8b\x08" + bytes(3000), "gzip, packed"),
                (b"II*\0" + b"\xff" * 3000, "TIFF, and no stack of MRC's kind"),
                (many, "2000000 frames are more than 1000000"),
            )
        ):
            server.put(f"10934/data/{number}.mrc", data)
            with pytest.raises(ValueError, match=message):
                empiarfs.references(f"10934/data/{number}.mrc")

    def test_because_there_is_no_such_thing(self, server: BrokenServer, tmp_path: Path) -> None:
        server.put("10934/data/a.mrc", stack_bytes(tmp_path))
        with pytest.raises(ValueError, match="the protocol is 's3'"):
            empiarfs.references("10934/data/a.mrc", protocol="s3")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no file"):
            empiarfs.references([])
        with pytest.raises(FileNotFoundError):
            empiarfs.references("10934/data/none.mrc")
