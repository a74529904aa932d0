"""An open file: as one on a local disk, of one version, and with few bytes."""

from __future__ import annotations

import errno
import gc
import io
import os
import pickle
import random
import threading
from pathlib import Path

import pytest
import tifffile

import empiarfs
from empiarfs.errors import ConfigError
from empiarfs.python.session import default_session
from tests.python.conftest import STACK, STACK_SIZE, Served, use
from tests.support import science
from tests.support.broken_server import BrokenServer, Fault
from tests.support.log_guard import ExpectLog

apache = pytest.mark.apache


def open_handles() -> int:
    """Return how many files are open in this process's parts."""
    return default_session().live().parts.files.space().files


@apache
def test_it_reads_as_the_file_itself(archive: Served) -> None:
    random_ = random.Random(1)
    with (
        empiarfs.open(science.MOVIE) as file,
        (archive.root / science.MOVIE).open("rb") as local,
    ):
        assert file.size == os.fstat(local.fileno()).st_size
        for _ in range(200):
            where, whence = random_.randint(0, 100_000), random_.choice([0, 1])
            assert file.seek(where, whence) == local.seek(where, whence)
            size = random_.choice([0, 1, 100, 70_000])
            assert file.read(size) == local.read(size)
            assert file.tell() == local.tell()
        assert file.seek(-10, os.SEEK_END) == local.seek(-10, os.SEEK_END)
        assert file.read() == local.read()
        assert file.read(1) == b""
        assert file.readinto(bytearray(5)) == 0
        file.seek(0)
        assert file.readall() == archive.bytes_of(science.MOVIE)


@apache
def test_a_few_bytes_cost_a_few_pieces(archive: Served) -> None:
    file = empiarfs.open(STACK)
    mark = archive.server.mark()

    assert file.pread(1000, 5_000_000) == archive.bytes_of(STACK)[5_000_000:5_001_000]
    assert archive.fetched_since(mark) <= 2 * 64 * 1024
    file.close()


@apache
def test_memory_is_filled_wholly_or_not_at_all(archive: Served) -> None:
    content = archive.bytes_of(STACK)
    long, short = bytearray(6_000_000), bytearray(b"as it was")
    with empiarfs.open(STACK) as file:
        file.read_into([(5_000, memoryview(long)), (0, memoryview(short)), (3, memoryview(b""))])

        assert (bytes(long), bytes(short)) == (content[5_000:6_005_000], content[:9])
        with pytest.raises(ValueError, match=f"ends at {STACK_SIZE}"):
            file.read_into([(7, memoryview(short)), (STACK_SIZE - 8, memoryview(short))])
        assert bytes(short) == content[:9]


@apache
def test_what_was_read_once_is_not_asked_for_again(archive: Served) -> None:
    with empiarfs.open(STACK) as file:
        assert file.read() == archive.bytes_of(STACK)
    empiarfs.close()
    mark = archive.server.mark()

    with empiarfs.open(STACK) as file:
        assert file.read() == archive.bytes_of(STACK)
    assert archive.server.requests_since(mark) == []


@apache
def test_a_buffer_is_filled_in_place(archive: Served) -> None:
    buffer = bytearray(STACK_SIZE + 10)
    file = empiarfs.open(STACK)

    assert file.readinto(memoryview(buffer).cast("B")) == STACK_SIZE
    assert buffer == archive.bytes_of(STACK) + bytes(10)
    file.close()


@apache
def test_it_knows_where_it_is_from(archive: Served) -> None:
    url = f"{archive.server.url}{STACK}"
    for word in (STACK, f"EMPIAR-{STACK}", f"empiar://{STACK}", url):
        with empiarfs.open(word) as file:
            assert (file.path, file.url, file.name, file.mode) == (STACK, url, STACK, "rb")
            assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)


@apache
def test_libraries_read_it(archive: Served) -> None:
    with empiarfs.open(science.TIFF_MOVIE) as file, tifffile.TiffFile(file) as movie:
        frame = movie.pages[3].asarray()
    expected = tifffile.imread(archive.root / science.TIFF_MOVIE)[3]

    assert (frame == expected).all()


@apache
def test_lines_are_read_through_a_buffer(archive: Served) -> None:
    with io.TextIOWrapper(io.BufferedReader(empiarfs.open(science.PARTICLE_TABLE))) as lines:
        found = [line for line in lines if "particles.mrcs" in line]

    assert len(found) == 50


@apache
def test_what_is_not_there_is_told_as_python_does(archive: Served) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        empiarfs.open("10002/data/nothing.mrc")
    with pytest.raises(IsADirectoryError):
        empiarfs.open("10002/data")
    with pytest.raises(ConfigError, match="neither a place in the archive"):
        empiarfs.open("nothing.mrc")

    assert missing.value.filename == "10002/data/nothing.mrc"
    assert missing.value.__cause__ is not None


@apache
def test_a_closed_file_is_closed(archive: Served) -> None:
    file = empiarfs.open(STACK)
    assert open_handles() == 1
    file.close()

    for call in (file.read, file.tell, lambda: file.pread(1, 0), lambda: pickle.dumps(file)):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert open_handles() == 0


@apache
def test_a_file_that_is_forgotten_is_let_go_of(archive: Served) -> None:
    file = empiarfs.open(STACK)
    circle = [file]
    circle.append(circle)  # type: ignore[arg-type] # only the collector of garbage frees it
    del file, circle
    gc.collect()
    empiarfs.open(science.MOVIE).close()

    assert open_handles() == 0


@pytest.mark.parametrize(("size", "offset"), [(-1, 0), (0, -1)])
@apache
def test_there_are_no_negative_bytes(archive: Served, size: int, offset: int) -> None:
    with empiarfs.open(STACK) as file:
        with pytest.raises(ValueError, match="can't be read"):
            file.pread(size, offset)
        with pytest.raises(ValueError, match="nothing at -1"):
            file.seek(-1)
        with pytest.raises(ValueError, match="whence"):
            file.seek(0, 9)
        assert file.pread(10, STACK_SIZE) == file.pread(10, 10 * STACK_SIZE) == b""


@apache
def test_threads_share_a_file_and_its_position(archive: Served) -> None:
    expected = archive.bytes_of(STACK)
    file = empiarfs.open(STACK)
    parts: list[bytes] = []
    wrong: list[int] = []

    def go_on() -> None:
        while data := file.read(100_000):
            parts.append(data)

    def jump(seed: int) -> None:
        random_ = random.Random(seed)
        for _ in range(50):
            offset = random_.randrange(STACK_SIZE)
            if file.pread(5_000, offset) != expected[offset : offset + 5_000]:
                wrong.append(offset)

    threads = [threading.Thread(target=go_on) for _ in range(4)]
    threads += [threading.Thread(target=jump, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()

    assert wrong == []
    assert sorted(parts) == sorted(
        expected[at : at + 100_000] for at in range(0, STACK_SIZE, 100_000)
    )


@apache
def test_a_pickled_file_goes_on_where_it_was(archive: Served) -> None:
    file = empiarfs.open(STACK)
    file.seek(1_000_000)
    raw = pickle.dumps(file)
    file.close()
    empiarfs.close()
    again = pickle.loads(raw)

    assert len(raw) < 1_000
    assert again.tell() == 1_000_000
    assert again.read(100) == archive.bytes_of(STACK)[1_000_000:1_000_100]
    again.close()


@apache
def test_settings_go_along_with_what_is_pickled(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPIARFS_ARCHIVE_URL", "http://127.0.0.1:9/")
    empiarfs.configure(archive_url=served.server.url)
    raw = pickle.dumps(empiarfs.open(STACK))
    empiarfs.configure(archive_url=None)

    with pickle.loads(raw) as file:
        assert file.read(10) == served.bytes_of(STACK)[:10]


class TestWhenTheArchiveChanges:
    """A file is one version; the others are another file's."""

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> BrokenServer:
        server = BrokenServer({"10934/data/x.mrc": b"a" * 200_000})
        use(monkeypatch, server.url)
        return server

    def test_reads_of_the_old_version_fail_and_an_open_sees_the_new(
        self, server: BrokenServer, expect_log: ExpectLog
    ) -> None:
        expect_log("has changed in the archive")
        with server:
            file = empiarfs.open("10934/data/x.mrc")
            assert file.pread(3, 0) == b"aaa"
            server.put("10934/data/x.mrc", b"b" * 200_001, 1_700_000_000)

            with pytest.raises(OSError, match="has changed") as changed:
                file.pread(3, 100_000)
            assert changed.value.errno == errno.ESTALE
            with pytest.raises(OSError, match="has changed"):
                file.pread(3, 0)
            with empiarfs.open("10934/data/x.mrc") as newer:
                assert newer.read() == b"b" * 200_001
            empiarfs.close()

    def test_a_pickled_file_is_pinned_to_its_version(
        self, server: BrokenServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with server:
            raw = pickle.dumps(empiarfs.open("10934/data/x.mrc"))
            server.put("10934/data/x.mrc", b"b" * 200_000, 1_700_000_000)
            empiarfs.close()
            monkeypatch.setenv("EMPIARFS_CACHE_DIR", str(tmp_path / "other"))
            file = pickle.loads(raw)
            with pytest.raises(OSError, match="has changed") as changed:
                file.read()
            assert changed.value.errno == errno.ESTALE
            empiarfs.close()

    def test_an_archive_that_is_silent_is_given_up(
        self, server: BrokenServer, expect_log: ExpectLog
    ) -> None:
        with server:
            empiarfs.configure(wait="1s")
            file = empiarfs.open("10934/data/x.mrc")
            server.fault(lambda request: True, Fault.silence(), times=1000)

            with pytest.raises(TimeoutError, match="no answer within 1 s"):
                file.read()
            assert file.tell() == 0
            server.forget_faults()
            server.release()
            empiarfs.close()
