"""The TIFF writer, read back by tifffile."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from empiarfs.demo.tiff import tiff_movie


def read(data: bytes) -> npt.NDArray[Any]:
    pixels: npt.NDArray[Any] = tifffile.imread(io.BytesIO(data))
    return pixels


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, ">u2"])
@pytest.mark.parametrize("pages", [1, 3])
def test_frames_come_back(kind: Any, pages: int) -> None:
    frames = np.arange(pages * 6 * 4).reshape(pages, 6, 4).astype(kind)

    assert np.array_equal(read(tiff_movie(list(frames))), frames if pages > 1 else frames[0])


def test_the_same_array_twice_makes_two_pages() -> None:
    frame = np.ones((2, 2), np.uint8)

    assert read(tiff_movie([frame, frame])).shape == (2, 2, 2)


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [np.ones((2, 2), np.float32)],
        [np.ones((3, 3), np.uint8)],  # an odd number of bytes
        [np.ones((2, 2), np.uint8), np.ones((2, 4), np.uint8)],
        [np.ones((2, 2, 2), np.uint8)],
    ],
)
def test_other_frames_are_refused(frames: list[npt.NDArray[Any]]) -> None:
    with pytest.raises(ValueError, match=r"page|image|frames"):
        tiff_movie(frames)
