"""A file of more than 4 GiB: offsets that need more than 32 bits, read without its holes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tree
from tests.support.apache import ApacheServer
from tests.support.mounts import Mount, mounted

pytestmark = [pytest.mark.fuse, pytest.mark.apache]

BIG_FILE = "10028/data/stack.mrcs"


@pytest.fixture(scope="module")
def server() -> Iterator[ApacheServer]:
    with tree.temporary_root() as root:
        tree.make_big_file(root / BIG_FILE)
        tree.set_times(root)
        with ApacheServer(root) as started:
            yield started


@pytest.fixture(scope="module")
def mount(server: ApacheServer) -> Iterator[Mount]:
    with mounted(server.url) as made:
        yield made


@pytest.fixture(scope="module")
def big_file(mount: Mount) -> Path:
    return mount.path / BIG_FILE


def test_its_size_is_exact(big_file: Path) -> None:
    status = big_file.stat()

    assert status.st_size == tree.BIG_FILE_SIZE
    assert status.st_blocks == -(-tree.BIG_FILE_SIZE // 512)


@pytest.mark.parametrize("marker", tree.BIG_FILE_MARKERS, ids=lambda marker: hex(marker.offset))
def test_what_stands_at_an_offset_is_read_there(big_file: Path, marker: tree.Marker) -> None:
    start = max(0, marker.offset - 100)

    with big_file.open("rb") as file:
        assert os.pread(file.fileno(), 300, start) == tree.big_file_contents(start, 300)


@pytest.mark.parametrize("marker", tree.BIG_FILE_MARKERS, ids=lambda marker: hex(marker.offset))
def test_what_stands_at_an_offset_is_mapped_there(big_file: Path, marker: tree.Marker) -> None:
    with big_file.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        found = mapped[marker.offset : marker.offset + len(marker.data)]

    assert found == marker.data


def test_a_read_over_its_end_is_cut_there(big_file: Path) -> None:
    with big_file.open("rb") as file:
        assert os.pread(file.fileno(), 100, tree.BIG_FILE_SIZE - 10) == tree.big_file_contents(
            tree.BIG_FILE_SIZE - 10, 10
        )
        assert os.pread(file.fileno(), 100, tree.BIG_FILE_SIZE) == b""


def test_dd_copies_a_piece_across_four_gigabytes(big_file: Path, mount: Mount) -> None:
    start = 2**32 - 2**20 - 777
    skip = [f"skip={start}", "iflag=skip_bytes,count_bytes", "bs=99991", f"count={2**21}"]

    done = mount.run("dd", f"if={big_file}", *skip, "status=none")

    assert done.stdout == tree.big_file_contents(start, 2**21)


def test_scattered_reads_ask_for_little_more_than_they_need(server: ApacheServer) -> None:
    # In no order, and without a stride that could be foreseen.
    offsets = (0, 3_100_000_001, 700_000_003, 4_299_000_017, 1_200_000_043, 2_500_000_079)
    with mounted(server.url) as mount:
        mark = server.mark()
        with (mount.path / BIG_FILE).open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            for offset in offsets:
                os.pread(file.fileno(), 16, offset)
        transferred = sum(access.size for access in server.requests_since(mark))

    # At most two pieces of 64 KiB each, should one lie across a border, and the listings.
    assert transferred < 2 * len(offsets) * 65_536 + 10_000
