"""TIFF directories, against tifffile on files that it wrote, and on hostile ones."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st

from empiarfs.formats import FormatError, Window, contents_of
from empiarfs.formats.tiff import Image, parse_tiff


def window_on(data: bytes, most: int = 2**20) -> Window:
    return Window(len(data), lambda offset, size: data[offset : offset + size], most)


def written(frames: Any, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    order = settings.pop("byteorder", "<")
    with tifffile.TiffWriter(buffer, bigtiff=settings.pop("bigtiff", False), byteorder=order) as t:
        for frame in frames:
            t.write(frame, contiguous=False, metadata=None, **settings)
    return buffer.getvalue()


def frames_of(kind: str, count: int = 3) -> Any:
    return numpy.arange(count * 40 * 30).reshape(count, 40, 30).astype(kind)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize(
    ("kind", "bits", "name"),
    [("uint8", 8, "unsigned"), ("int16", 16, "signed"), ("float32", 32, "real")],
)
def test_directories_say_what_tifffile_says(
    kind: str, bits: int, name: str, bigtiff: bool, byteorder: str
) -> None:
    data = written(frames_of(kind), bigtiff=bigtiff, byteorder=byteorder, description="a gain")
    found = parse_tiff(window_on(data))

    with tifffile.TiffFile(io.BytesIO(data)) as true:
        assert found.frames == len(true.pages) == 3
    assert found.images == ((Image(30, 40, bits, 1, name, "none"), 3),)
    assert found.variant == ("BigTIFF" if bigtiff else "TIFF")
    assert found.byte_order == ("little" if byteorder == "<" else "big")
    assert (found.description, found.problems) == ("a gain", ())


def test_only_directories_are_read() -> None:
    data = written(numpy.zeros((4, 500, 500), "uint16"))
    window = window_on(data)
    parse_tiff(window)

    assert len(data) > 2_000_000
    assert window.bytes_read < 2_000


def test_colours_have_samples() -> None:
    data = written([numpy.zeros((40, 30, 3), "uint8")], photometric="rgb")

    assert parse_tiff(window_on(data)).images[0][0].samples == 3
    assert parse_tiff(window_on(data)).images[0][0].bits == 8


def test_different_images_are_told_apart() -> None:
    data = written([*frames_of("uint8", 2), *frames_of("uint16", 1)])

    assert [count for _, count in parse_tiff(window_on(data)).images] == [2, 1]


def eer(frames: int, *, following: int | None = None) -> bytes:
    """Return a BigTIFF as EER is one: small images that nobody unpacks, and XML in the first."""
    xml = b'<m><item name="numberOfFrames">3</item><item name="dose" unit="e">40</item></m>'
    out = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16))
    for number in range(frames):
        tags = [(256, 3, 1, struct.pack("<Q", 4096)), (257, 3, 1, struct.pack("<Q", 4096)),
                (259, 3, 1, struct.pack("<Q", 65002))]  # fmt: skip
        size = 8 + 20 * (len(tags) + (number == 0)) + 8
        end = len(out) + size
        if number == 0:
            tags.append((65001, 7, len(xml), struct.pack("<Q", end)))
            end += len(xml)
        out += struct.pack("<Q", len(tags))
        for tag, kind, count, field in tags:
            out += struct.pack("<HHQ", tag, kind, count) + field
        last = number == frames - 1
        out += struct.pack("<Q", (following or 0) if last else end)
        if number == 0:
            out += xml
    return bytes(out)


def test_eer_is_known_by_its_compression_and_tells_its_metadata() -> None:
    found = parse_tiff(window_on(eer(3)))

    assert (found.variant, found.frames) == ("EER", 3)
    assert found.images[0][0].compression == "EER"
    assert found.metadata == {"numberOfFrames": "3", "dose": "40"}


def test_a_loop_of_directories_ends() -> None:
    found = parse_tiff(window_on(eer(3, following=16)))

    assert found.frames == 3
    assert "earlier one" in found.problems[0]


@pytest.mark.parametrize("following", [10**6, 2**64 - 1])
def test_a_directory_beyond_the_end_keeps_those_before(following: int) -> None:
    found = parse_tiff(window_on(eer(2, following=following)))

    assert found.frames == 2
    assert found.problems[0].startswith("directory 3 can't be read")


@pytest.mark.parametrize("count", [0, 5000, 2**63, 2**64 - 1])
def test_an_absurd_count_of_tags_is_an_error(count: int) -> None:
    with pytest.raises(FormatError):
        parse_tiff(window_on(struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, count) + bytes(100)))


def test_many_directories_are_bounded_by_the_bytes_read() -> None:
    found = parse_tiff(window_on(eer(2000), most=10_000))

    assert 0 < found.frames < 200
    assert "more than 10000 bytes" in found.problems[0]


@pytest.mark.parametrize(
    "data", [b"", b"II", b"II*\0", b"II*\0\0\0\0\0", b"II,\0\x08\0\0\0", b"XX*\0" * 4]
)
def test_what_is_no_tiff_is_an_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_tiff(window_on(data))


@example([(8, 255), (9, 255)])
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8))
def test_any_damage_is_told_or_harmless(changes: list[tuple[int, int]]) -> None:
    for whole in (eer(3), written(frames_of("uint8"), description="x")):
        data = bytearray(whole)
        for offset, value in changes:
            data[offset % len(data)] = value
        found = contents_of("x.tif", window_on(bytes(data), most=10_000))

        assert found.problem or found.details or found.kind in ("unknown", "text")
