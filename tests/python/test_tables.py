"""STAR and mdoc files in Python: what starfile reads, never in part, and typed sections."""

from __future__ import annotations

import bz2
import gzip
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import starfile

import empiarfs
from tests.support.broken_server import BrokenServer
from tests.support.users import CHECKOUT

STAR = "10934/data/x.star"
MDOC = b"""PixelSpacing = 2.7
ImageSize = 5760 4092
Voltage = 300
ImageFile = 006

[T = SerialEM: Titan on Krios = 3]

[ZValue = 0]
TiltAngle = -60.01
StagePosition = -12.3 4
ExposureDose = 3.1
Magnification = 42000
SubFramePath = D:\\frames\\TS_006_000.eer
DateTime = 26-Aug-19  18:42:01
Note =

[ZValue = 1]
TiltAngle = nan
Defocus = -3
[Image = TS_006.st]
PixelSpacing = 1e1
"""


def put(server: BrokenServer, name: str, data: bytes) -> str:
    server.put(f"10934/data/{name}", data)
    return f"10934/data/{name}"


def table(columns: dict[str, list[Any]]) -> Any:
    return import_module("pandas").DataFrame(columns)


class TestStar:
    """Blocks by name."""

    def test_has_the_blocks_that_starfile_reads(
        self, server: BrokenServer, tmp_path: Path
    ) -> None:
        path = tmp_path / "x.star"
        blocks = {
            "general": {"rlnVersion": 3, "rlnName": "a b"},
            "optics": table({"rlnOpticsGroup": [1], "rlnVoltage": [300.0]}),
            "particles": table({"rlnImageName": [f"{i}@data_1/x.mrcs" for i in range(200)]}),
        }
        starfile.write(blocks, path)
        expected = starfile.read(path)
        for name, data in (
            ("x.star", path.read_bytes()),
            ("x.star.gz", gzip.compress(path.read_bytes())),
            ("x.star.bz2", bz2.compress(path.read_bytes())),
        ):
            found = empiarfs.read_star(put(server, name, data))
            assert list(found) == list(expected)
            assert found["general"] == expected["general"]
            for block in ("optics", "particles"):
                assert expected[block].equals(found[block])

    def test_of_one_block_is_a_dict_as_well(self, server: BrokenServer) -> None:
        name = put(server, "x.star", b"data_\n\nloop_\n_rlnA #1\n_rlnB #2\n1 b\n2 c\n")
        with empiarfs.open(name) as file:
            file.seek(7)
            found = empiarfs.read_star(file)
            assert file.tell() == 7
        assert list(found) == [""]
        assert list(found[""]["rlnA"]) == [1, 2]

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "no block"),
            (b"hello\n", "no block"),
            (b"\0" * 5000, "no block"),
            (b"data_x\n", "no STAR file that can be read"),
            (b"data_x\nloop_\n_a\n1\n\xff\xfe\n", "UTF-8"),
            (b"data_x\nloop_\n_a\n_b\n1 2 3\n1 2\n", "no STAR file that can be read"),
            (b"data_x\nloop_\n_a\n1\ndata_x\nloop_\n_a\n2\n", "two blocks have one name"),
            (gzip.compress(b"data_x\nloop_\n_a\n1\n", mtime=0)[:-9], "end-of-stream"),
        ],
    )
    def test_that_can_not_be_read_as_a_whole_is_a_value_error(
        self, server: BrokenServer, data: bytes, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message) as caught:
            empiarfs.read_star(put(server, "x.star", data))

        assert str(caught.value).startswith(STAR)

    def test_is_not_read_if_it_is_too_long(
        self, server: BrokenServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("empiarfs.python.tables._MOST_BYTES", 1000)
        with pytest.raises(ValueError, match="more than 1000 bytes"):
            empiarfs.read_star(put(server, "x.star", b"data_\n" * 200))

    def test_without_starfile_says_what_to_install(self) -> None:
        script = "import sys; sys.modules['starfile'] = None; import empiarfs; empiarfs.read_star"
        done = subprocess.run(
            [sys.executable, "-c", f"{script}('10934/data/x.star')"],
            cwd=CHECKOUT, capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert done.stderr.splitlines()[-1] == (
            "ImportError: starfile is missing: pip install 'empiarfs[arrays]'"
        )


class TestMdoc:
    """Typed values, section by section."""

    def test_has_numbers_as_numbers(self, server: BrokenServer) -> None:
        found = empiarfs.read_mdoc(put(server, "x.mdoc", MDOC))
        assert found.values == {
            "PixelSpacing": 2.7, "ImageSize": (5760, 4092), "Voltage": 300, "ImageFile": "006",
        }  # fmt: skip
        assert found.titles == ("SerialEM: Titan on Krios = 3",)
        first, second, third = found.sections
        assert [first.kind, first.number, second.number] == ["ZValue", 0, 1]
        assert [third.kind, third.number, third.name] == ["Image", None, "TS_006.st"]
        assert first.values["StagePosition"] == (-12.3, 4.0)
        assert first.values["DateTime"] == "26-Aug-19  18:42:01"
        assert first.values["Note"] == ""
        assert first.values["Magnification"] == 42000

    def test_has_names_for_what_is_wanted_most(self, server: BrokenServer) -> None:
        packed = put(server, "x.mdoc.gz", gzip.compress(MDOC, mtime=0))
        first, second, third = empiarfs.read_mdoc(packed).sections
        assert (first.tilt_angle, first.exposure_dose) == (-60.01, 3.1)
        assert first.movie == r"D:\frames\TS_006_000.eer"
        assert second.tilt_angle != second.tilt_angle
        assert (second.defocus, second.movie, second.exposure_dose) == (-3.0, None, None)
        assert third.pixel_spacing == 10.0

    def test_that_says_nothing_is_a_value_error(self, server: BrokenServer) -> None:
        with pytest.raises(ValueError, match="no mdoc"):
            empiarfs.read_mdoc(put(server, "x.mdoc", b"\0\1\2"))

    def test_is_not_read_if_it_is_too_long(self, server: BrokenServer) -> None:
        bomb = gzip.compress(bytes(17 * 1024**2))
        with pytest.raises(ValueError, match="may be read"):
            empiarfs.read_mdoc(put(server, "x.mdoc.gz", bomb))
