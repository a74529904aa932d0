"""`empiarfs info` for files, on a real Apache."""

from __future__ import annotations

import struct

import pytest

from tests.support import science, tree
from tests.support.apache import ApacheServer
from tests.support.commands import Commands

pytestmark = pytest.mark.apache


def test_a_micrograph_tells_its_header_for_one_piece(
    commands: Commands, served: ApacheServer
) -> None:
    commands("ls", "-l", "10017/data/micrographs")
    mark = served.mark()
    found = commands("info", "--json", f"EMPIAR-{science.MICROGRAPH}").json

    contents = found["contents"]
    assert (contents["columns"], contents["rows"], contents["sections"]) == (640, 512, 1)
    assert contents["pixel_size"] == [1.77, 1.77, 1.77]
    assert contents["labels"] == ["made by a test"]
    assert (found["format"], found["problem"], found["bytes_read"]) == ("MRC", None, 1024)
    assert sum(each.size for each in served.requests_since(mark) if each.method == "GET") == 65_536


def test_a_movie_tells_its_frames(commands: Commands) -> None:
    done = commands("info", science.TIFF_MOVIE)

    assert "frames:     8" in done.lines
    assert "image:      320 × 256 pixels, 16 bits unsigned, compression none" in done.lines


def test_a_table_tells_its_blocks(commands: Commands) -> None:
    found = commands("info", "--json", science.PARTICLE_TABLE).json

    assert found["contents"]["blocks"] == [
        {"name": "optics", "columns": ["rlnOpticsGroup", "rlnVoltage"], "rows": 1},
        {"name": "particles", "columns": ["rlnImageName", "rlnCoordinateX"], "rows": 50},
    ]


def test_how_much_is_cached_is_told(commands: Commands) -> None:
    path = "10017/data/three_blocks.dat"
    before = commands("info", "--json", path).json
    commands("cat", path)
    after = commands("info", "--json", path).json

    assert (before["cached"], after["cached"]) == (0, after["size"])
    assert before["validator"].endswith(" GMT")


def test_several_files_are_told_one_by_one_and_failures_beside_them(commands: Commands) -> None:
    words = ("10017/10017.xml", "10017/nothing", "10017/data", science.MOVIE)
    done = commands("info", *words)
    found = commands("info", "--json", *words)

    assert done.status == found.status == 1
    assert [line for line in done.lines if line.startswith("format:")] == [
        "format:     XML",
        "format:     MRC",
    ]
    assert [each["format"] for each in found.json] == ["XML", "MRC"]
    assert done.err.splitlines() == [
        "empiarfs: error: 10017/nothing: there is no such file or directory in the archive",
        "empiarfs: error: 10017/data: is a directory; `empiarfs ls` lists it",
    ]


def test_what_a_file_says_can_not_steer_a_terminal(commands: Commands) -> None:
    label = b"\x1b[2Jgone\nfile: forged".ljust(80)
    header = struct.pack("<4i", 2, 2, 1, 0).ljust(208, b"\0") + b"MAP DD\0\0"
    header = header.ljust(220, b"\0") + struct.pack("<i", 1) + label
    with tree.temporary_root() as root:
        tree.write_file(root / "10099/data/x.mrc", header.ljust(1028, b"\0"))
        tree.write_file(root / "10099/data/nan.mrc", _with_nan(header).ljust(1028, b"\0"))
        with ApacheServer(root) as server:
            done = commands("info", "--archive-url", server.url, "10099/data/x.mrc")
            url = server.url
            found = commands("info", "--archive-url", url, "--json", "10099/data/nan.mrc").json

    assert b"\x1b" not in done.out
    assert "  \\x1b[2Jgone\\nfile: forged" in done.lines
    assert found["contents"]["density"][0] is None


def _with_nan(header: bytes) -> bytes:
    return header[:76] + struct.pack("<f", float("nan")) + header[80:]
