"""The archive by fsspec: names, sizes and bytes, read-only, with few requests."""

from __future__ import annotations

import datetime
import errno
import importlib.metadata
import io
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import fsspec
import mrcfile
import pytest

import empiarfs
from empiarfs.errors import ConfigError
from empiarfs.python.filesystem import EmpiarFileSystem
from tests.python.conftest import STACK, STACK_SIZE, Served, use
from tests.support import science
from tests.support.broken_server import DEFAULT_MODIFIED_S, BrokenServer, Fault
from tests.support.users import CHECKOUT

apache = pytest.mark.apache

FILES = {
    "10934/10934.xml": b"<entry/>",
    "10934/data/a.mrc": b"0123456789",
    "10934/data/b.mrc": b"abc",
    "10934/data/deep/er/c.mrc": b"c",
    "10934/data/table.json": b'{"a": [1, 2]}',
}
Fs = Any  # fsspec has no types


@pytest.fixture(autouse=True)
def _no_instances() -> Iterator[None]:
    yield
    EmpiarFileSystem.clear_instance_cache()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BrokenServer]:
    with BrokenServer(FILES) as server:
        use(monkeypatch, server.url)
        yield server
        empiarfs.close()


@pytest.fixture
def fs(server: BrokenServer) -> Fs:
    return fsspec.filesystem("empiar")


def heads(server: BrokenServer) -> int:
    return sum(request.method == "HEAD" for request in server.requests)


def test_fsspec_knows_it_by_its_name() -> None:
    [found] = importlib.metadata.entry_points(group="fsspec.specs", name="empiar")

    assert found.load() is EmpiarFileSystem
    assert fsspec.get_filesystem_class("empiar") is EmpiarFileSystem


def test_names_cost_listings_only(fs: Fs, server: BrokenServer) -> None:
    assert fs.ls("10934/data", detail=False) == [
        "10934/data/a.mrc", "10934/data/b.mrc", "10934/data/deep", "10934/data/table.json",
    ]  # fmt: skip
    assert fs.find("10934") == sorted(FILES)
    assert fs.glob("10934/**/*.mrc") == sorted(name for name in FILES if name.endswith(".mrc"))
    assert fs.glob("empiar://10934/data/?.mrc") == ["10934/data/a.mrc", "10934/data/b.mrc"]
    assert fs.glob("10934/data/*/") == ["10934/data/deep"]
    assert (fs.exists("10934/data/a.mrc"), fs.exists("10934/nothing")) == (True, False)
    assert (fs.isdir("EMPIAR-10934/data"), fs.isdir("10934/data/a.mrc")) == (True, False)
    assert (fs.isfile("10934/data/a.mrc"), fs.isfile("10934/data")) == (True, False)
    assert [row[0] for row in fs.walk("10934", maxdepth=2)] == ["10934", "10934/data"]
    assert [row[0] for row in fs.walk("10934/data", topdown=False)] == [
        "10934/data/deep/er", "10934/data/deep", "10934/data",
    ]  # fmt: skip
    assert heads(server) <= 1  # of the name that isn't there


def test_sizes_are_exact_where_they_are_asked_for(fs: Fs) -> None:
    sizes = {name: len(data) for name, data in FILES.items()}

    assert {row["name"]: row["size"] for row in fs.ls("10934/data") if row["type"] == "file"} == {
        name: size for name, size in sizes.items() if name.count("/") == 2
    }
    found = fs.find("10934", detail=True)
    assert {name: row["size"] for name, row in found.items()} == sizes
    assert fs.glob("10934/*/a.mrc", detail=True)["10934/data/a.mrc"]["size"] == 10
    assert fs.size("10934/data/b.mrc") == 3
    assert fs.sizes(["10934/data/a.mrc", "10934/data/b.mrc"]) == [10, 3]
    assert fs.du("10934") == sum(sizes.values())
    assert fs.info("10934/data") == {"name": "10934/data", "size": 0, "type": "directory"}
    assert fs.ls("10934/data/a.mrc")[0]["size"] == 10


def test_a_file_tells_its_time_version_and_url(fs: Fs, server: BrokenServer) -> None:
    name = "10934/data/a.mrc"
    seconds = DEFAULT_MODIFIED_S
    before = fs.ukey(name), fs.checksum(name)

    assert fs.info(name)["mtime"] == seconds
    assert fs.modified(name) == datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    assert fs.url(name) == f"{server.url}{name}"
    assert (fs.ukey(name), fs.checksum(name)) == before
    assert fs.unstrip_protocol(name) == f"empiar://{name}"


def test_bytes_are_those_of_the_slice(fs: Fs) -> None:
    name, data = "10934/data/a.mrc", FILES["10934/data/a.mrc"]
    for start in (None, 0, 3, -4, 20):
        for stop in (None, 0, 5, -2, 20):
            assert fs.cat_file(name, start, stop) == data[start:stop]
    assert fs.cat(name) == data
    assert fs.head(name, 4) == data[:4]
    assert fs.tail(name, 4) == data[-4:]
    assert fs.read_block(name, 2, 3) == data[2:5]
    with fsspec.open(f"empiar://{name}") as file:
        assert file.read(3) + file.read() == data
    with fsspec.open("empiar://10934/data/table.json", "rt") as file:
        assert json.load(file) == {"a": [1, 2]}


def test_many_ranges_are_fetched_side_by_side(fs: Fs) -> None:
    found = fs.cat_ranges(
        ["10934/data/a.mrc", "10934/data/b.mrc", "10934/data/nothing", "10934/data/a.mrc"],
        [0, 1, 0, -2], [2, 3, 5, None],
    )  # fmt: skip

    assert found[0:2] == [b"01", b"bc"]
    assert isinstance(found[2], FileNotFoundError)
    assert found[3] == b"89"
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["10934/data/nothing"], 0, 5, on_error="raise")


def test_files_are_copied_to_a_local_disk(fs: Fs, tmp_path: Path) -> None:
    fs.get("10934/data", str(tmp_path / "data"), recursive=True)

    assert (tmp_path / "data/a.mrc").read_bytes() == FILES["10934/data/a.mrc"]
    assert (tmp_path / "data/deep/er/c.mrc").read_bytes() == b"c"


def test_what_is_not_there_is_told_as_python_does(fs: Fs) -> None:
    for call in (fs.info, fs.ls, fs.open, fs.cat_file, fs.size):
        with pytest.raises(FileNotFoundError):
            call("10934/data/nothing.mrc")
    with pytest.raises(IsADirectoryError):
        fs.open("10934/data")
    assert fs.find("10934/nothing") == fs.glob("10934/nothing/*") == []


@pytest.mark.parametrize(
    "call",
    ["mkdir", "makedirs", "rmdir", "rm", "rm_file", "touch", "delete", "makedir", "mkdirs"],
)
def test_nothing_can_be_written(fs: Fs, call: str) -> None:
    with pytest.raises(OSError, match="can't be written") as refused:
        getattr(fs, call)("10934/data/a.mrc")
    assert refused.value.errno == errno.EROFS


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("pipe", ("10934/x", b"x")),
        ("pipe_file", ("10934/x", b"x")),
        ("put", ("/tmp", "10934/x")),
        ("write_text", ("10934/x", "x")),
        ("mv", ("10934/data/a.mrc", "x")),
        ("copy", ("10934/data/a.mrc", "x")),
        ("open", ("10934/x", "wb")),
        ("open", ("10934/data/a.mrc", "ab")),
    ],
)
def test_nothing_can_be_written_in_other_words(
    fs: Fs, call: str, arguments: tuple[object, ...]
) -> None:
    with pytest.raises(OSError, match="can't be written"):
        getattr(fs, call)(*arguments)


def test_a_directory_that_cannot_be_listed_is_no_gap(fs: Fs, server: BrokenServer) -> None:
    fs = fsspec.filesystem("empiar", lookup_wait="1s")
    server.fault("10934/data/deep/", Fault.answer(500), times=100)
    told: list[OSError] = []

    with pytest.raises(OSError, match="10934/data/deep"):
        fs.find("10934")
    with pytest.raises(OSError, match="10934/data/deep"):
        fs.glob("10934/**")
    assert "10934/data/a.mrc" in fs.find("10934", on_error="omit")
    assert "10934/data/a.mrc" in fs.find("10934", on_error=told.append)
    assert len(told) == 1


def test_it_pickles_and_so_do_its_files(fs: Fs) -> None:
    file = fs.open("10934/data/a.mrc")
    file.read(4)
    again, there = pickle.loads(pickle.dumps((fs, file)))

    assert again == fs
    assert again.cat_file("10934/data/b.mrc") == b"abc"
    assert there.read() == file.read() == b"456789"
    assert isinstance(file, io.BufferedReader)
    assert (there.path, there.size) == ("10934/data/a.mrc", 10)
    revive: Any = fsspec.AbstractFileSystem.from_json
    assert revive(fs.to_json()).cat_file("10934/data/b.mrc") == b"abc"


def test_a_path_may_name_the_version_that_is_meant(fs: Fs, server: BrokenServer) -> None:
    version = fs.info("10934/data/a.mrc")["version"]
    meant = f"empiar://version={version}/EMPIAR-10934/data/a.mrc"

    assert fs.cat_file(meant, 2, 5) == b"234"
    assert fs.cat_ranges([meant, "10934/data/b.mrc"], [0, 0], [2, 2]) == [b"01", b"ab"]
    assert fs.open(meant).read() == b"0123456789"
    assert (fs.info(meant)["version"], fs.isfile(meant)) == (version, True)
    assert fs.url(meant) == f"{server.url}10934/data/a.mrc"
    assert fs._parent(meant) == "10934/data"
    # Only what a version looks like is one.
    assert not fs.exists("version=1/10934/data/a.mrc")


def test_another_version_than_is_meant_is_not_read(fs: Fs) -> None:
    meant = f"version={10:x}-{DEFAULT_MODIFIED_S - 1:x}/10934/data/a.mrc"
    for read in (fs.cat_file, fs.open, fs.info, fs.checksum):
        with pytest.raises(OSError, match="isn't the version that is meant") as caught:
            read(meant)
        assert caught.value.errno == errno.ESTALE
    [found] = fs.cat_ranges([meant], 0, 5)
    assert found.errno == errno.ESTALE


@apache
def test_nothing_behind_a_part_is_fetched(archive: Served) -> None:
    mark = archive.server.mark()
    found = EmpiarFileSystem().cat_file(STACK, 0, 9_000_000)

    assert found == archive.bytes_of(STACK)[:9_000_000]
    assert archive.fetched_since(mark) <= 9_000_000 + 64 * 1024


def test_settings_may_be_given(server: BrokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPIARFS_ARCHIVE_URL", "http://127.0.0.1:9/")
    fs = fsspec.filesystem("empiar", archive_url=server.url)

    assert fs.cat_file("10934/data/b.mrc") == b"abc"
    assert pickle.loads(pickle.dumps(fs)).cat_file("10934/data/b.mrc") == b"abc"
    with pytest.raises(ConfigError, match="no_such is no setting"):
        fsspec.filesystem("empiar", no_such="x")


def test_what_is_configured_counts_for_file_systems_that_are_there(
    server: BrokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPIARFS_ARCHIVE_URL", "http://127.0.0.1:9/")
    fs = fsspec.filesystem("empiar")
    empiarfs.configure(archive_url=server.url)
    raw = pickle.dumps(fs)
    assert fs.cat_file("10934/data/b.mrc") == b"abc"
    empiarfs.configure(archive_url=None)

    assert pickle.loads(raw).cat_file("10934/data/b.mrc") == b"abc"


def test_without_fsspec_the_error_says_what_to_install() -> None:
    script = """
import sys
sys.modules["fsspec"] = None
import empiarfs.python.filesystem
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )

    assert done.stderr.splitlines()[-1] == (
        "ImportError: fsspec is missing: pip install 'empiarfs[fsspec]'"
    )


@apache
def test_libraries_read_by_it_with_few_bytes(archive: Served) -> None:
    fs = fsspec.filesystem("empiar")
    mark = archive.server.mark()
    with fs.open(STACK) as file:
        file.seek(6_000_000)
        data = file.read(1000)

    assert data == archive.bytes_of(STACK)[6_000_000:6_001_000]
    # The buffer asks for a piece's worth, which lies in two.
    assert archive.fetched_since(mark) <= 2 * 64 * 1024
    with fs.open(science.MICROGRAPH) as file:
        data = mrcfile.mrcinterpreter.MrcInterpreter(file).data
    assert (data == mrcfile.read(archive.root / science.MICROGRAPH)).all()


@apache
def test_a_hundred_ranges_of_a_stack_are_read_together(archive: Served) -> None:
    fs = fsspec.filesystem("empiar")
    starts = [number * 120_000 for number in range(100)]
    found = fs.cat_ranges([STACK] * 100, starts, [start + 5_000 for start in starts])

    expected = archive.bytes_of(STACK)
    assert found == [expected[start : start + 5_000] for start in starts]


@apache
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_it_works_in_other_processes(archive: Served, method: str) -> None:
    fs = fsspec.filesystem("empiar")
    fs.cat_file(STACK, 0, 10)
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        found = list(pool.map(fs.cat_file, [STACK] * 3, [0, 5, 10], [5, 10, STACK_SIZE]))

    expected = archive.bytes_of(STACK)
    assert found == [expected[:5], expected[5:10], expected[10:]]
