"""MRC headers, against mrcfile on files that it wrote, and on broken ones."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import mrcfile
import numpy
import pytest

from empiarfs.formats import FormatError, Window, contents_of
from empiarfs.formats.mrc import MrcHeader, parse_mrc


def window_on(data: bytes, most: int = 2**20) -> Window:
    return Window(len(data), lambda offset, size: data[offset : offset + size], most)


def written(path: Path, array: Any, **settings: Any) -> bytes:
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(array)
        file.voxel_size = settings.pop("voxel_size", 1.5)
        for name, value in settings.items():
            file.header[name] = value
    return path.read_bytes()


@pytest.fixture
def stack(tmp_path: Path) -> bytearray:
    return bytearray(written(tmp_path / "s.mrc", numpy.zeros((3, 4, 5), "int16")))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("int8", 0), ("int16", 1), ("float32", 2), ("complex64", 4), ("uint16", 6), ("float16", 12)],
)
def test_a_header_says_what_mrcfile_says(tmp_path: Path, kind: str, mode: int) -> None:
    data = written(tmp_path / "x.mrc", numpy.ones((3, 4, 5)).astype(kind), nxstart=7)
    window = window_on(data)
    header = parse_mrc(window)

    assert (header.columns, header.rows, header.sections) == (5, 4, 3)
    assert (header.mode, header.start, header.byte_order) == (mode, (7, 0, 0), "little")
    assert header.pixel_size == (1.5, 1.5, 1.5)
    assert (header.expected_size, header.problems) == (len(data), ())
    assert window.bytes_read == 1024


def test_a_header_of_the_other_byte_order_is_understood(stack: bytearray) -> None:
    swapped = bytearray(stack)
    for offset in (*range(0, 208, 4), *range(216, 224, 4)):
        swapped[offset : offset + 4] = stack[offset : offset + 4][::-1]
    swapped[212:216] = b"\x11\x11\0\0"
    header = parse_mrc(window_on(bytes(swapped)))

    assert (header.columns, header.rows, header.sections, header.mode) == (5, 4, 3, 1)
    assert (header.byte_order, header.pixel_size) == ("big", (1.5, 1.5, 1.5))


def test_an_extended_header_is_named_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.mrc"
    with mrcfile.new(path) as file:
        file.set_data(numpy.zeros((2, 2), "int8"))
        file.set_extended_header(numpy.zeros(4096, "V1"))
        file.header.exttyp = b"FEI1"
    window = window_on(path.read_bytes())
    header = parse_mrc(window)

    assert (header.extended_size, header.extended_type) == (4096, "FEI1")
    assert (header.expected_size, window.bytes_read) == (path.stat().st_size, 1024)


@pytest.mark.parametrize("size", [2**31 - 1, -1, -(2**31)])
def test_an_absurd_extended_header_costs_no_memory(stack: bytearray, size: int) -> None:
    stack[92:96] = struct.pack("<i", size)
    header = parse_mrc(window_on(bytes(stack)))

    assert header.problems
    assert header.extended_size == max(0, size)


def test_labels_are_read_as_far_as_they_count(stack: bytearray) -> None:
    stack[220:224] = struct.pack("<i", 2)
    stack[224:384] = b"first\0junk".ljust(80) + b"second".ljust(80)

    assert parse_mrc(window_on(bytes(stack))).labels == ("first", "second")
    stack[220:224] = struct.pack("<i", 1_000_000)
    assert len(parse_mrc(window_on(bytes(stack))).labels) == 10


def test_a_file_that_is_cut_off_says_so(stack: bytearray) -> None:
    header = parse_mrc(window_on(bytes(stack[:-20])))

    assert header.problems == ("the file is 20 bytes too short for its header",)


def test_what_mrcfile_complains_about_is_told(stack: bytearray) -> None:
    stack[208:216] = b"\0" * 8
    found = contents_of("old.mrc", window_on(bytes(stack)))

    assert isinstance(found.details, MrcHeader)
    assert any("Map ID" in problem for problem in found.details.problems)


def test_a_four_bit_stack_has_half_a_byte_a_pixel(stack: bytearray) -> None:
    stack[12:16] = struct.pack("<i", 101)
    header = parse_mrc(window_on(bytes(stack)))

    assert header.expected_size == 1024 + 3 * 4 * 3


@pytest.mark.parametrize("cell", [0.0, -1.0, math.nan, math.inf])
def test_a_pixel_size_that_is_none_is_not_told(stack: bytearray, cell: float) -> None:
    stack[40:44] = struct.pack("<f", cell)

    assert parse_mrc(window_on(bytes(stack))).pixel_size == (None, 1.5, 1.5)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"x" * 1023, struct.pack("<3i", -1, 4, 4).ljust(1024, b"\0")]
)
def test_what_has_no_header_is_an_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_mrc(window_on(data))


def test_a_name_alone_makes_no_mrc() -> None:
    assert contents_of("x.map", window_on(b"just some text " * 100)).kind == "text"
    assert contents_of("x.mrc", window_on(b"\xff" * 2000)).kind == "unknown"
