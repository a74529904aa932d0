"""STAR, mdoc and HDF5 files, and which format a file is of."""

from __future__ import annotations

import struct
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from empiarfs.formats import FormatError, Window, contents_of
from empiarfs.formats.hdf5 import SIGNATURE, Hdf5File, parse_hdf5
from empiarfs.formats.mdoc import all_of_mdoc, parse_mdoc
from empiarfs.formats.star import parse_star

MDOC = """PixelSpacing = 2.7
Voltage = 300
ImageFile = TS_006.st

[T = SerialEM: a title = with a sign]
[T = Tilt axis angle = 85.3]

[ZValue = 0]
TiltAngle = -60.01
ExposureDose = 3.1
SubFramePath = D:\\frames\\TS_006_000.eer

[ZValue = 1]
TiltAngle = 59.9
RotationAngle = nan
"""


def window_on(data: bytes, most: int = 2**20) -> Window:
    return Window(len(data), lambda offset, size: data[offset : offset + size], most)


# -- STAR ---------------------------------------------------------------------------------


def table(columns: dict[str, list[Any]]) -> Any:
    return import_module("pandas").DataFrame(columns)


def test_blocks_columns_and_rows_are_those_that_starfile_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.star"
    blocks = {
        "general": {"rlnVersion": 3, "rlnName": "a b"},
        "optics": table({"rlnOpticsGroup": [1], "rlnVoltage": [300.0]}),
        "particles": table({"rlnImageName": [f"{i}@data_1/x.mrcs" for i in range(1000)],
                            "rlnCoordinateX": [1.5] * 1000}),
    }  # fmt: skip
    starfile.write(blocks, path)
    found = parse_star(window_on(path.read_bytes()))
    true = starfile.read(path)

    assert found.is_complete
    assert [block.name for block in found.blocks] == list(true)
    for block in found.blocks:
        value = true[block.name]
        assert block.columns == list(value)
        assert block.rows == (1 if isinstance(value, dict) else len(value))


def test_comments_texts_and_empty_lines_are_no_rows() -> None:
    table_with_gaps = b"# c\ndata_\n\nloop_ \n_a #1\n_b\n1 2\n# c\n\n3 4\r\n"
    text = b";\ndata_x\nloop_\n;\n"
    found = parse_star(window_on(table_with_gaps + text + b"\n DATA_two\n_c 7\n"))

    assert [(b.name, b.columns, b.rows) for b in found.blocks] == [
        ("", ["a", "b"], 2),
        ("two", ["c"], 1),
    ]


def test_a_file_that_is_too_long_is_told_in_part() -> None:
    text = b"data_x\nloop_\n_a\n" + b"1\n" * 100_000
    found = parse_star(window_on(text, most=50_000))

    assert not found.is_complete
    assert 20_000 < found.blocks[0].rows < 25_000


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_star_and_mdoc(data: bytes) -> None:
    parse_star(window_on(b"data_\n" + data))
    parse_mdoc(window_on(data))


def test_a_line_without_end_takes_no_memory() -> None:
    assert (
        parse_star(window_on(b"data_x\nloop_\n_a\n" + b"1" * 3_000_000, 2**23)).blocks[0].rows == 1
    )


# -- mdoc ---------------------------------------------------------------------------------


def test_an_mdoc_tells_of_the_whole_and_of_each() -> None:
    found = parse_mdoc(window_on(MDOC.encode()))

    assert found.values == {"PixelSpacing": "2.7", "Voltage": "300", "ImageFile": "TS_006.st"}
    assert found.titles == ("SerialEM: a title = with a sign", "Tilt axis angle = 85.3")
    assert (found.sections, found.tilt_angles) == (2, (-60.01, 59.9))
    assert found.section_keys == ("TiltAngle", "ExposureDose", "SubFramePath", "RotationAngle")


# -- HDF5 ---------------------------------------------------------------------------------


def superblock(version: int, end: int, offset: int = 0) -> bytes:
    if version < 2:
        head = bytes([version, 0, 0, 0, 0, 8, 8, 0]) + bytes(8 + 4 * version)
    else:
        head = bytes([version, 8, 8, 0])
    return bytes(offset) + SIGNATURE + head + struct.pack("<4Q", 0, 2**64 - 1, end, 0) + bytes(40)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize("offset", [0, 512, 2048])
def test_a_superblock_is_found_where_it_may_be(version: int, offset: int) -> None:
    size = len(superblock(version, 0, offset))

    assert parse_hdf5(window_on(superblock(version, size, offset))) == Hdf5File(
        offset, version, size, ()
    )


def test_a_file_that_is_cut_off_says_so() -> None:
    assert "shorter than it says" in parse_hdf5(window_on(superblock(0, 10**6))).problems[0]


@pytest.mark.parametrize(
    "data", [b"", bytes(5000), SIGNATURE, SIGNATURE + b"\x09" * 90, SIGNATURE + bytes(90)]
)
def test_what_is_no_hdf5_is_an_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_hdf5(window_on(data))


# -- kinds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("x", b"", "empty"),
        ("x.star", b"data_\n", "STAR"),
        ("x.mdoc", b"[ZValue = 0]", "mdoc"),
        ("x.mrc.mdoc", b"A = b", "mdoc"),
        ("x.h5", superblock(2, 100), "HDF5"),
        ("x.anything", superblock(2, 100), "HDF5"),
        ("x.tif.bz2", b"BZh91AY", "bzip2, packed"),
        ("x.mrc.gz", b"\x1f\x8b\x08", "gzip, packed"),
        ("x.xml", b"<?xml version", "XML"),
        ("x.dm4", b"\0\0\0\x04" + bytes(50), "Gatan DM4"),
        ("x.txt", "Å".encode() * 600, "text"),
        ("x.bin", b"\xff\xfe\x80" * 5, "unknown"),
    ],
)
def test_the_first_bytes_tell_the_format_and_the_name_where_they_can_not(
    name: str, data: bytes, kind: str
) -> None:
    assert contents_of(name, window_on(data)).kind == kind


def test_a_broken_file_keeps_its_format_and_says_why() -> None:
    found = contents_of("x.h5", window_on(b"nothing"))

    assert (found.kind, found.details) == ("HDF5", None)
    assert "signature" in found.problem


@given(st.text(alphabet="[]=ZValueTFrmSt 0123456789.-+e\n", max_size=400))
def test_of_an_mdoc_file_every_line_is_told_or_none(text: str) -> None:
    window = window_on(text.encode())
    try:
        found = all_of_mdoc(window)
    except FormatError:
        return
    told = parse_mdoc(window_on(text.encode()))

    assert (found.values.keys(), found.titles) == (told.values.keys(), told.titles)
    assert len(found.sections) == told.sections
    assert {name for each in found.sections for name in each.values} == set(told.section_keys)
