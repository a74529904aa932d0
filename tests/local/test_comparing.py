"""Copies that are compared with the archive before their bytes are handed out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from empiarfs.core.blocks import PIECE_SIZE
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import GaveUpError
from empiarfs.local.comparing import Equality, difference, sampled_pieces
from empiarfs.patience import Patience
from tests.support import tree
from tests.support.local_copies import Rig, put
from tests.support.log_guard import ExpectLog
from tests.support.waiting import wait_until

PATH = "10934/data/x.mrc"
PIECES = 40
DATA = tree.contents(b"x", PIECES * PIECE_SIZE - 1000)
FILES = {PATH: DATA}

MakeRig = Callable[..., Rig]


def changed(offset: int) -> bytes:
    """The file with another byte at an offset."""
    return DATA[:offset] + bytes([DATA[offset] ^ 1]) + DATA[offset + 1 :]


def test_of_a_sample_four_pieces_are_asked_for_and_no_more(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path, verify="sample")
    assert rig.read(PATH) == DATA

    asked = {
        piece
        for _, start, stop in rig.requests
        for piece in range(start // PIECE_SIZE, -(-stop // PIECE_SIZE))
    }
    assert {0, PIECES - 1} <= asked
    assert len(asked) <= 4
    before = len(rig.requests)
    assert rig.read(PATH, 10, 1_000_000) == DATA[10:1_000_000]
    assert len(rig.requests) == before


@pytest.mark.parametrize("offset", [0, len(DATA) - 1])
def test_a_sample_finds_what_differs_and_the_archives_bytes_are_read(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog, offset: int
) -> None:
    expect_log("aren't the archive's")
    put(tmp_path / PATH, changed(offset))
    rig = make_rig(FILES, tmp_path, verify="sample")

    assert rig.read(PATH) == DATA
    assert rig.counters["local_bytes"] == 0
    rig.local.closed(rig.archive.remote(PATH))
    assert rig.read(PATH) == DATA
    assert "aren't the archive's" in rig.refused()[PATH]


def test_a_sample_has_a_piece_of_each_hole(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    expect_log("aren't the archive's")
    copy = put(tmp_path / PATH, DATA)
    others = sampled_pieces(make_rig(FILES).archive.remote(PATH).name_key, len(DATA), [])
    hole = next(piece for piece in range(5, PIECES) if piece not in others)
    with copy.open("r+b") as file:
        file.truncate(hole * PIECE_SIZE)
        file.truncate((hole + 1) * PIECE_SIZE)
        file.seek((hole + 1) * PIECE_SIZE)
        file.write(DATA[(hole + 1) * PIECE_SIZE :])
    os.utime(copy, (0, 0))
    rig = make_rig(FILES, tmp_path, verify="sample")

    assert rig.read(PATH) == DATA
    assert rig.counters["local_bytes"] == 0


def test_in_full_no_piece_is_handed_out_that_was_not_compared(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path, verify="full")

    assert rig.read(PATH, 70_000, 300_000) == DATA[70_000:300_000]
    assert rig.counters["local_bytes"] == 0
    before = len(rig.requests)
    assert rig.read(PATH, PIECE_SIZE, 5 * PIECE_SIZE) == DATA[PIECE_SIZE : 5 * PIECE_SIZE]
    assert len(rig.requests) == before
    assert rig.counters["local_bytes"] == 4 * PIECE_SIZE
    assert rig.read(PATH, 0, 100) == DATA[:100]
    assert len(rig.requests) == before + 1


def test_in_full_one_byte_that_differs_gives_the_copy_up(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    expect_log("aren't the archive's")
    put(tmp_path / PATH, changed(7 * PIECE_SIZE + 5))
    rig = make_rig(FILES, tmp_path, verify="full")

    for start in range(0, len(DATA), 200_000):
        assert (
            rig.read(PATH, start, min(start + 200_000, len(DATA))) == DATA[start : start + 200_000]
        )
    assert rig.read(PATH, 0, PIECE_SIZE) == DATA[:PIECE_SIZE]
    assert rig.counters["local_bytes"] == 0


@pytest.mark.parametrize("verify", ["sample", "full"])
def test_what_was_compared_is_known_after_a_restart(
    make_rig: MakeRig, tmp_path: Path, verify: str
) -> None:
    copy, record = put(tmp_path / "copies" / PATH, DATA), tmp_path / "state/compared"
    first = make_rig(FILES, tmp_path / "copies", verify=verify, record=record)
    assert first.read(PATH) == DATA
    first.close()

    again = make_rig(FILES, tmp_path / "copies", verify=verify, record=record)
    again.is_reachable = False
    assert again.read(PATH) == DATA
    assert again.requests == []
    assert record.stat().st_mode & 0o777 == 0o600
    # Whatever happens to it, it is another copy then.
    os.utime(copy, (5, 5))
    third = make_rig(FILES, tmp_path / "copies", verify=verify, record=record)
    assert third.read(PATH) == DATA
    assert third.requests


def test_a_sample_is_not_all(make_rig: MakeRig, tmp_path: Path) -> None:
    put(tmp_path / "copies" / PATH, DATA)
    record = tmp_path / "compared"
    first = make_rig(FILES, tmp_path / "copies", verify="sample", record=record)
    assert first.read(PATH) == DATA
    first.close()

    rig = make_rig(FILES, tmp_path / "copies", verify="full", record=record)
    rig.read(PATH, 0, 100)
    assert rig.requests


@pytest.mark.parametrize(
    "text", [b"", b"f", b"f" * 33, b"\n\n\0", b"x" * 100_000], ids=lambda text: str(len(text))
)
def test_a_record_that_makes_no_sense_is_as_good_as_none(
    make_rig: MakeRig, tmp_path: Path, text: bytes
) -> None:
    put(tmp_path / "copies" / PATH, DATA)
    record = tmp_path / "compared"
    record.write_bytes(text)
    record.chmod(0o600)
    rig = make_rig(FILES, tmp_path / "copies", verify="sample", record=record)

    assert rig.read(PATH) == DATA
    assert rig.requests
    rig.close()
    again = make_rig(FILES, tmp_path / "copies", verify="sample", record=record)
    assert again.read(PATH) == DATA
    assert again.requests == []


def test_a_record_that_others_may_write_to_is_not_believed(
    make_rig: MakeRig, tmp_path: Path, expect_log: ExpectLog
) -> None:
    put(tmp_path / "copies" / PATH, DATA)
    record = tmp_path / "compared"
    first = make_rig(FILES, tmp_path / "copies", verify="full", record=record)
    assert first.read(PATH) == DATA
    first.close()
    record.chmod(0o666)
    expect_log("others may write to it")

    rig = make_rig(FILES, tmp_path / "copies", verify="full", record=record)
    assert rig.read(PATH) == DATA
    assert rig.requests


def test_a_record_that_can_not_be_written_costs_nothing_else(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    put(tmp_path / "copies" / PATH, DATA)
    (tmp_path / "file").write_bytes(b"")
    rig = make_rig(FILES, tmp_path / "copies", verify="full", record=tmp_path / "file/compared")

    assert rig.read(PATH) == DATA
    before = len(rig.requests)
    assert rig.read(PATH) == DATA
    assert len(rig.requests) == before


def test_what_is_at_hand_does_not_wait_for_a_comparison(make_rig: MakeRig, tmp_path: Path) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path, verify="sample")
    file = rig.archive.remote(PATH)
    rig.fetcher.read(file, ByteRange(0, 1_000_000), Patience(10.0))
    rig.archive.gate.clear()

    assert rig.read(PATH, 5, 900_000) == DATA[5:900_000]


def test_out_of_reach_a_copy_that_was_not_compared_is_not_read(
    make_rig: MakeRig, tmp_path: Path
) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path, verify="sample")
    rig.is_reachable = False
    rig.archive.gate.clear()

    file = rig.archive.remote(PATH)
    sample = sampled_pieces(file.name_key, file.size, [])
    start = PIECE_SIZE * next(piece for piece in range(PIECES) if piece not in sample)
    with pytest.raises(GaveUpError):
        rig.local.read(file, ByteRange(start, start + 10), Patience(0.2))
    assert rig.requests == [(PATH, start, start + PIECE_SIZE)]
    assert rig.counters["local_bytes"] == 0


def test_in_full_what_was_not_compared_is_foreseen(make_rig: MakeRig, tmp_path: Path) -> None:
    put(tmp_path / PATH, DATA)
    rig = make_rig(FILES, tmp_path, verify="full")
    file = rig.archive.remote(PATH)

    rig.local.prefetch(file, ByteRange(0, file.size))
    wait_until(lambda: rig.fetcher.holds(file, ByteRange(0, file.size)))
    assert rig.read(PATH) == DATA
    before = len(rig.requests)
    rig.local.prefetch(file, ByteRange(0, file.size))
    assert rig.local.warm(file, ByteRange(0, file.size), Patience(10.0)) == 0
    assert len(rig.requests) == before


def test_where_bytes_differ_is_told_within_a_page() -> None:
    ours = bytearray(DATA[:200_000])
    assert difference(bytes(ours), DATA[:200_000], 1_000) is None

    ours[150_001] ^= 1
    found = difference(bytes(ours), DATA[:200_000], 1_000)
    assert found is not None
    assert found <= 151_001 < found + 4096


def test_equality_counts_each_piece_once() -> None:
    equality = Equality(3 * PIECE_SIZE, is_whole=False)

    assert not equality.add(range(2))
    assert not equality.add(range(2))
    assert equality.holds(range(1, 2))
    assert not equality.holds(range(3))
    assert equality.add(range(1, 3))
    assert equality.is_whole
