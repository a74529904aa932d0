"""The stored format: its very bytes, and that no damage ever passes for a block."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from empiarfs.core.block_format import (
    HEADER_STEP,
    MAX_HEADER_SIZE,
    MAX_NAME_SIZE,
    MAX_STORED_SIZE,
    BlockHeader,
    encode_header,
    encode_name,
    file_key_of,
    header_size,
    make_header,
    parse_header,
    piece_checksum,
)
from empiarfs.core.blocks import BLOCK_SIZE, PIECE_SIZE
from empiarfs.core.files import FileVersion, RemoteFile
from empiarfs.errors import CorruptBlockError

FILE = RemoteFile(
    "https://a/", "10002/data/x.mrc", FileVersion(BLOCK_SIZE + 70_000, 1_700_000_000)
)
NAME = encode_name(FILE.name_key)


def header_of(places: dict[int, bytes], index: int = 0, name: bytes = NAME) -> BlockHeader:
    checksums = {place: piece_checksum(data) for place, data in places.items()}
    return make_header(name, index, FILE.size, checksums)


def test_the_format_has_these_very_bytes() -> None:
    last = b"z" * (70_000 - PIECE_SIZE)

    encoded = encode_header(header_of({0: bytes(PIECE_SIZE), 1: last}, index=1))

    assert encoded[:24].hex() == "89454d504941520a01000300001000002a00000000000000"
    assert encoded[24:40].hex() == "01000000000000007011110000000000"
    assert encoded[40:56].hex() == "aa5cb602d302b233ca14a4eae602fea1"
    assert encoded[56:104] == b"https://a/10002/data/x.mrc@111170-6553f100" + bytes(6)
    assert encoded[-8:].hex() == "fe26008a7be3453f"
    assert len(encoded) == 4096


def test_a_header_comes_back_as_it_was() -> None:
    header = header_of({3: b"a" * PIECE_SIZE, 15: b"b" * PIECE_SIZE})

    assert parse_header(encode_header(header), 4096 + 2 * PIECE_SIZE) == header
    assert header.places == 1 << 3 | 1 << 15
    assert header.offsets[3] == 4096
    assert header.offsets[15] == 4096 + PIECE_SIZE


def test_the_header_of_a_micrograph_takes_68_kib() -> None:
    assert header_of({0: b"h" * PIECE_SIZE}).stored_size == 68 * 1024


def test_a_very_long_name_makes_the_header_a_multiple_of_a_page() -> None:
    header = header_of({0: bytes(PIECE_SIZE)}, name=b"n" * 5000)
    encoded = encode_header(header)

    assert header_size(encoded[:HEADER_STEP]) == len(encoded) == 8192
    assert parse_header(encoded, 8192 + PIECE_SIZE) == header


def test_a_name_that_has_no_room_is_refused() -> None:
    whole = {place: bytes(PIECE_SIZE) for place in range(16)}

    assert header_of(whole, name=b"n" * MAX_NAME_SIZE).stored_size == MAX_STORED_SIZE
    with pytest.raises(ValueError, match="name"):
        header_of(whole, name=b"n" * (MAX_NAME_SIZE + 1))


@pytest.mark.parametrize("places", [{}, {2: b""}, {-1: b""}])
def test_places_that_the_block_cannot_have_are_refused(places: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="places"):
        header_of(places, index=1)  # the file ends at place 1 of it


def test_a_name_leads_to_the_files_key_whatever_its_bytes() -> None:
    odd = RemoteFile("https://a/", "10002/\udcff ü.mrc", FileVersion(1, None, "tag"))

    assert file_key_of(encode_name(odd.name_key)) == odd.short_key


@given(position=st.integers(0, 4095), change=st.integers(1, 255))
@example(position=200, change=1)  # in the padding
def test_any_changed_byte_of_the_header_is_found(position: int, change: int) -> None:
    header = header_of({0: bytes(PIECE_SIZE)})
    damaged = bytearray(encode_header(header))
    damaged[position] ^= change

    with pytest.raises(CorruptBlockError):
        parse_header(bytes(damaged), header.stored_size)


@given(st.binary(max_size=200), st.integers(0, 3 * HEADER_STEP), st.integers(0, BLOCK_SIZE * 2))
def test_rubbish_is_never_a_header(start: bytes, size: int, stored_size: int) -> None:
    with pytest.raises(CorruptBlockError):
        parse_header(start.ljust(size, b"\0"), stored_size)


FIELDS = st.tuples(
    st.integers(0, 0xFFFF),  # places
    st.sampled_from([0, 1, 4095, 4096, 8192, MAX_HEADER_SIZE, MAX_HEADER_SIZE + 4096, 2**32 - 1]),
    st.integers(0, 2**32 - 1) | st.integers(0, 100),  # size of the name
    st.integers(0, 1),
    st.integers(0, 2**64 - 1) | st.integers(0, 3),  # index
    st.integers(0, 2**64 - 1) | st.integers(0, 3 * BLOCK_SIZE),  # size of the file
)


@given(FIELDS, st.integers(0, 2**64 - 1) | st.sampled_from([HEADER_STEP + PIECE_SIZE]))
@example((1, 4096, 4, 0, 0, 2**64 - 1), HEADER_STEP + PIECE_SIZE)
def test_a_well_summed_header_of_any_fields_is_consistent_or_refused(
    fields: tuple[int, int, int, int, int, int], stored_size: int
) -> None:
    places, size, name_size, zero, index, file_size = fields
    fixed = struct.pack(
        "<8sHHIIIQQ", b"\x89EMPIAR\n", 1, places, size, name_size, zero, index, file_size
    )
    length = size if HEADER_STEP <= size <= MAX_HEADER_SIZE else HEADER_STEP
    body = fixed.ljust(length - 8, b"\0")
    data = body + struct.pack("<Q", xxh3_64_intdigest(body))

    try:
        header = parse_header(data, stored_size)
    except CorruptBlockError:
        return

    assert header.stored_size == stored_size
    assert encode_header(header) == data


def test_a_piece_with_a_changed_byte_fails() -> None:
    data = bytearray(os.urandom(2 * PIECE_SIZE))
    header = header_of({4: bytes(data[:PIECE_SIZE]), 5: bytes(data[PIECE_SIZE:])})

    header.verify(4, 5, bytes(data))
    data[PIECE_SIZE + 7] ^= 1
    header.verify(4, 4, bytes(data))
    with pytest.raises(CorruptBlockError):
        header.verify(4, 5, bytes(data))


def test_a_piece_that_is_cut_short_fails() -> None:
    data = bytes(PIECE_SIZE)
    header = header_of({4: data})

    with pytest.raises(CorruptBlockError):
        header.verify(4, 4, data[:-1])


def test_pieces_in_the_wrong_order_fail() -> None:
    one, two = b"1" * PIECE_SIZE, b"2" * PIECE_SIZE
    header = header_of({0: one, 1: two})

    with pytest.raises(CorruptBlockError):
        header.verify(0, 1, two + one)
