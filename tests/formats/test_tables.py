"""The files that STAR tables, mdoc files and cryoSPARC's tables name."""

from __future__ import annotations

import io
import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy

from empiarfs.formats import FormatError, Window
from empiarfs.formats.cs import files_in_cs
from empiarfs.formats.mdoc import files_in_mdoc
from empiarfs.formats.star import files_in_star


def window_on(data: bytes, most: int = 2**30) -> Window:
    return Window(len(data), lambda offset, size: data[offset : offset + size], most)


# -- STAR ---------------------------------------------------------------------------------


def test_a_table_names_what_starfile_reads(tmp_path: Path) -> None:
    path = tmp_path / "particles.star"
    frame = import_module("pandas").DataFrame
    particles = {
        "rlnCoordinateX": [1.5] * 3000,
        "rlnImageName": [f"{i + 1:06}@Extract/job 1/x_{i // 100}.mrcs" for i in range(3000)],
        "rlnMicrographName": [f"MotionCorr/x_{i // 100}.mrc" for i in range(3000)],
    }
    blocks = {"optics": frame({"rlnOpticsGroup": [1]}), "particles": frame(particles)}
    starfile.write(blocks, path)
    true = starfile.read(path)["particles"]

    assert files_in_star(window_on(path.read_bytes())).columns == {
        column: list(dict.fromkeys(each.rpartition("@")[2] for each in true[column]))
        for column in ("rlnImageName", "rlnMicrographName")
    }


def test_single_values_texts_and_comments_are_understood() -> None:
    data = (
        b"# rlnImageName\ndata_\n_rlnMicrographMovieName 'Movies/a b.tif'\n"
        b";\nloop_\n_rlnImageName\n1@no.mrcs\n;\n"
        b'data_x\nloop_\n_rlnMicrographMovieName\n_rlnOther\n"it\'s.tif" 1\n\nd\xff.tif 2\n'
        b"loop_\n_rlnOther\nno.tif\n"
    )

    assert files_in_star(window_on(data)).columns == {
        "rlnMicrographMovieName": ["Movies/a b.tif", "it's.tif", "d\udcff.tif"]
    }


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "names no files"),
        (b"data_x\nloop_\n_rlnVoltage\n300\n", "names no files: none of its columns is rlnMicro"),
        (b"data_x\nloop_\n_a\n_rlnImageName\n1 1@x\n2\n", r"has 1 of 2 values: '2'"),
        (b"data_x\nloop_\n_rlnImageName\n1@" + b"x" * 5000, "longer than 4096"),
    ],
)
def test_a_broken_table_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        files_in_star(window_on(data))


def test_a_table_is_read_wholly_or_not_at_all() -> None:
    with pytest.raises(FormatError, match="it has 1000 bytes, and 999 may be read"):
        files_in_star(window_on(bytes(1000), most=999))


# -- mdoc ---------------------------------------------------------------------------------


def test_an_mdoc_file_names_frames_and_stack() -> None:
    data = (
        b"ImageFile = TS_006.mrc\n[ZValue = 0]\nSubFramePath = X:\\a b\\TS_006_000.eer\n"
        b"[ZValue = 1]\r\nSubFramePath = X:\\a b\\TS_006_001.eer\r\n"
        b"[ZValue = 2]\nSubFramePath = X:\\a b\\TS_006_001.eer\n"
    )

    assert files_in_mdoc(window_on(data)).columns == {
        "ImageFile": ["TS_006.mrc"],
        "SubFramePath": ["X:\\a b\\TS_006_000.eer", "X:\\a b\\TS_006_001.eer"],
    }


def test_an_mdoc_file_without_names_is_refused() -> None:
    with pytest.raises(FormatError, match="neither SubFramePath nor ImageFile"):
        files_in_mdoc(window_on(b"[ZValue = 0]\nTiltAngle = 1\n"))


# -- .cs ----------------------------------------------------------------------------------


def cs(fields: list[Any], rows: list[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    npy.write_array(stream, numpy.array(rows, dtype=fields), **options)
    return stream.getvalue()


def test_a_table_of_cryosparc_names_its_blobs() -> None:
    fields = [("uid", "<u8"), ("movie_blob/path", "S40"), ("movie_blob/shape", "<u4", (3,)),
              ("gain_ref_blob/path", "U20"), ("other/path", "S4")]  # fmt: skip
    rows = [
        (n, f">J1/imported/{n // 2:021}_x.tif".encode(), (9, 8, 7), "J1/gain.mrc", b"no")
        for n in range(50_000)
    ]
    for version in ((1, 0), (2, 0)):
        names = files_in_cs(window_on(cs(fields, rows, version=version)))

        assert names.columns == {
            "movie_blob/path": [f"J1/imported/{n:021}_x.tif" for n in range(25_000)],
            "gain_ref_blob/path": ["J1/gain.mrc"],
        }


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no .cs file"),
        (b"data_particles\nloop_\n", "is no .cs file"),
        (b"\x94CSDAT" + bytes(20), "CSDAT"),
        (b"\x93NUMPY\x09\0" + bytes(20), "format 9.0 isn't known"),
        (b"\x93NUMPY\x02\0\xff\xff\xff\xff", "a header of 4294967295 bytes"),
        (header("{     "), "header is broken"),
        (header("(" * 300), "header is broken"),
        (header("{'descr': [('blob/path', 'S9')], 'fortran_order': False, 'shape': (9,)}"),
         "9 rows of 9 bytes, and it has"),
        (header("{'descr': [('blob/path', 'S9')], 'fortran_order': False, 'shape': (-9,)}"),
         "-9 rows"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}"), "names no files"),
        (header("{'descr': [('blob/path', 'S9')], 'fortran_order': False, 'shape': (0, 1)}"),
         "2 dimensions"),
        (header("{'descr': [('blob/path', '<f4')], 'fortran_order': False, 'shape': (0,)}"),
         "objects of Python"),
    ],
)  # fmt: skip
def test_what_is_no_such_table_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        files_in_cs(window_on(data))


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was read",))


def test_a_pickle_is_never_read() -> None:
    stream = io.BytesIO()
    rows = numpy.array([(_Evil(), b"x")], dtype=[("a", "O"), ("blob/path", "S4")])
    npy.write_array(stream, rows, allow_pickle=True)
    for data in (stream.getvalue(), pickle.dumps(_Evil())):
        with pytest.raises(FormatError):
            files_in_cs(window_on(data))


@given(st.binary(max_size=300))
def test_whatever_stands_in_the_header_the_answer_is_an_error(noise: bytes) -> None:
    data = b"\x93NUMPY\x01\0" + len(noise).to_bytes(2, "little") + noise
    with pytest.raises(FormatError):
        files_in_cs(window_on(data))
