"""One block as a file: whatever happens to it, no wrong byte comes out."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from empiarfs.cache.block_file import OpenBlock, write_block_file
from empiarfs.core.block_format import (
    encode_header,
    encode_name,
    make_header,
    piece_checksum,
)
from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.errors import CorruptBlockError
from tests.cache.blocks import make_file, pieces_at

FILE = make_file(size=3 * PIECE_SIZE + 777)
PIECES = pieces_at(FILE, 0)
WHOLE = b"".join(PIECES.values())


def stored(path: Path) -> Path:
    checksums = {place: piece_checksum(data) for place, data in PIECES.items()}
    header = make_header(encode_name(FILE.name_key), 0, FILE.size, checksums)
    path.unlink(missing_ok=True)
    write_block_file(os.fspath(path), [encode_header(header), *PIECES.values()])
    return path


def opened(path: Path) -> OpenBlock:
    return OpenBlock(os.fspath(path), lambda block, exc: None)


DAMAGE = st.tuples(
    st.sampled_from(["flip", "cut", "append", "zero", "shift"]),
    st.integers(0, 4096 + len(WHOLE) - 1),
    st.integers(1, 70_000),
)


@given(DAMAGE, st.integers(0, len(WHOLE) - 1), st.integers(1, len(WHOLE)))
@example(("cut", 4096, 1), 0, 1)
@example(("cut", 0, 1), 0, 1)
@example(("zero", 4096, PIECE_SIZE), 0, 5)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_ever_leads_to_a_wrong_byte(
    tmp_path: Path, damage: tuple[str, int, int], start: int, size: int
) -> None:
    path = stored(tmp_path / "block")
    data = bytearray(path.read_bytes())
    kind, position, amount = damage
    if kind == "flip":
        data[position] ^= amount & 0xFF or 1
    elif kind == "cut":
        del data[position:]
    elif kind == "append":
        data += bytes(amount)
    elif kind == "zero":
        data[position : position + amount] = bytes(len(data[position : position + amount]))
    else:
        data[position:position] = bytes(amount)
    path.write_bytes(data)
    stop = min(start + size, len(WHOLE))

    try:
        found = opened(path).read(start, stop)
    except CorruptBlockError:
        return

    assert found == WHOLE[start:stop]


def test_damage_after_the_open_is_found_and_told(tmp_path: Path) -> None:
    told: list[object] = []
    path = stored(tmp_path / "block")
    block = OpenBlock(os.fspath(path), lambda block, exc: told.append(block))
    with path.open("r+b") as file:
        file.seek(4096 + PIECE_SIZE)
        file.write(b"x")

    assert block.read(0, PIECE_SIZE) == WHOLE[:PIECE_SIZE]
    assert told == []
    with pytest.raises(CorruptBlockError):
        block.read(PIECE_SIZE, PIECE_SIZE + 1)
    assert told == [block]


def test_a_file_cut_after_the_open_is_no_bus_error(tmp_path: Path) -> None:
    path = stored(tmp_path / "block")
    block = opened(path)
    os.truncate(path, 5000)

    with pytest.raises(CorruptBlockError):
        block.read(0, 1)


def test_what_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    stored(tmp_path / "block")
    (tmp_path / "link").symlink_to("block")
    os.mkfifo(tmp_path / "fifo")

    for name in ("link", "fifo", "."):
        with pytest.raises(CorruptBlockError):
            opened(tmp_path / name)


def test_an_existing_file_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("target")

    for name in ("target", "link"):
        with pytest.raises(FileExistsError):
            write_block_file(os.fspath(tmp_path / name), [b"x"])
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_more_buffers_than_the_kernel_takes_at_once_are_written(tmp_path: Path) -> None:
    write_block_file(os.fspath(tmp_path / "many"), [b"ab", b"", memoryview(b"c")] * 1000)

    assert (tmp_path / "many").read_bytes() == b"abc" * 1000


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        # The first call writes 100,000 bytes, the second none: a short write, then an error.
        with pytest.raises(OSError, match="too large"):
            write_block_file(os.fspath(tmp_path / "big"), [bytes(65_536)] * 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(tmp_path.iterdir()) == []


def test_the_descriptor_goes_with_the_last_reference(tmp_path: Path) -> None:
    path = stored(tmp_path / "block")
    before = len(os.listdir("/proc/self/fd"))
    block = opened(path)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del block

    assert len(os.listdir("/proc/self/fd")) == before


def test_an_aligned_read_is_not_copied(tmp_path: Path) -> None:
    block = opened(stored(tmp_path / "block"))

    assert block.is_whole
    assert block.read(0, PIECE_SIZE * 2) == WHOLE[: PIECE_SIZE * 2]
    # A pread into a bytes object, and that object: nothing else could have its exact size.
    assert block.read(PIECE_SIZE, len(WHOLE)) == WHOLE[PIECE_SIZE:]
