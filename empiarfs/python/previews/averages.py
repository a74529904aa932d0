"""From pixels to pictures: frames are averaged and made smaller, contrast is stretched.

    Average          the frames of a movie, corrected for gain, in bounded memory
    stretched        a picture of 256 greys, by percentiles, so that hot pixels don't matter
    power_spectrum   of the middle of an image, as its logarithm

Pixels that are no numbers count as 0.

Pure: neither files nor clocks; an `Average` belongs to one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Rows that are worked on at a time, so that a frame of 100 megapixels needs no copies of it.
_BAND = 512
# In pixels of the file; 16 patches of 512 make a smooth spectrum.
_MIDDLE = 2048
_PATCH = 512
_SMALLEST_PATCH = 32
_DARKEST, _BRIGHTEST = 0.5, 99.5
# For percentiles; more change nothing that could be seen.
_MOST_VALUES = 1_000_000


def plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return pixels as real numbers of 32 bits, rows × columns, none of them infinite."""
    if numpy.iscomplexobj(values):
        values = numpy.abs(values)
    if values.ndim == 3:
        values = values.mean(axis=2)
    made: NDArray[Any] = values.astype("f4")
    if values.dtype.kind == "f":
        numpy.nan_to_num(made, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return made


class Average:
    """The average of frames of one size, made smaller by a whole factor.

    Args:
        rows: Of each frame.
        columns: Likewise.
        factor: How many pixels along each axis become one.
        gain: By what each pixel is multiplied, or None.

    Attributes:
        factor: As given, but a narrow image keeps at least a pixel.
        frames: How many were added.
    """

    def __init__(
        self, rows: int, columns: int, factor: int, gain: NDArray[Any] | None = None
    ) -> None:
        self.factor = min(factor, rows, columns)
        self.frames = 0
        self._gain = gain
        side = min(rows, columns, _MIDDLE)
        self._top, self._left, self._side = (rows - side) // 2, (columns - side) // 2, side
        self._middle = numpy.zeros((side, side), "f4")
        self._small = numpy.zeros((rows // self.factor, columns // self.factor), "f8")

    def add(self, frame: NDArray[Any]) -> None:
        """Add a frame, of whatever type."""
        factor, (rows, columns) = self.factor, self._small.shape
        band = max(1, _BAND // factor)
        for row in range(0, rows, band):
            stop = min(row + band, rows)
            some = self._corrected(frame, row * factor, stop * factor)[:, : columns * factor]
            parts = some.reshape(stop - row, factor, columns, factor)
            self._small[row:stop] += parts.mean(axis=(1, 3))
        for top in range(0, self._side, _BAND):
            stop = min(top + _BAND, self._side)
            some = self._corrected(frame, self._top + top, self._top + stop)
            self._middle[top:stop] += some[:, self._left : self._left + self._side]
        self.frames += 1

    def _corrected(self, frame: NDArray[Any], top: int, bottom: int) -> NDArray[Any]:
        made = plain(frame[top:bottom])
        if self._gain is not None:
            made *= self._gain[top:bottom]
        return made

    @property
    def small(self) -> NDArray[Any]:
        """The average, made smaller."""
        made: NDArray[Any] = self._small / max(1, self.frames)
        return made

    @property
    def middle(self) -> NDArray[Any]:
        """A square in the middle of the average, as it is."""
        made: NDArray[Any] = self._middle / numpy.float32(max(1, self.frames))
        return made


def factor_for(side: int, pixels: int) -> int:
    """Return by which factor a side has to be made smaller to have at most so many pixels.

    >>> factor_for(1000, 1024), factor_for(4096, 1000)
    (1, 5)
    """
    return max(1, -(-side // pixels))


def smaller(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return an image made smaller by a whole factor."""
    made = Average(values.shape[0], values.shape[1], factor)
    made.add(values)
    return made.small


def stretched(values: NDArray[Any]) -> NDArray[Any]:
    """Return a picture of bytes; an image of one value is grey."""
    step = max(1, int((values.size / _MOST_VALUES) ** 0.5))
    some = values[::step, ::step]
    low, high = (float(each) for each in numpy.percentile(some, (_DARKEST, _BRIGHTEST)))
    if not high > low:
        # A few pixels that differ are all that there is to be seen.
        low, high = float(values.min()), float(values.max())
    if not high > low:
        return numpy.full(values.shape, 128, "u1")
    made: NDArray[Any] = numpy.clip((values - low) * (255 / (high - low)), 0, 255).astype("u1")
    return made


def power_spectrum(middle: NDArray[Any]) -> NDArray[Any] | None:
    """Return the logarithm of the power spectrum of a square, averaged over patches.

    Returns:
        A square with frequency 0 in its middle and Nyquist's at its edges; None for an image
        that is too small.
    """
    side = min(_PATCH, 1 << (len(middle).bit_length() - 1))
    if side < _SMALLEST_PATCH:
        return None
    window = numpy.hanning(side).astype("f4")
    window = window[:, None] * window[None, :]
    total = numpy.zeros((side, side), "f8")
    for top in range(0, len(middle) - side + 1, side):
        for left in range(0, len(middle) - side + 1, side):
            patch = middle[top : top + side, left : left + side]
            total += numpy.abs(numpy.fft.fft2((patch - patch.mean()) * window)) ** 2
    shown: NDArray[Any] = numpy.log(numpy.fft.fftshift(total) + 1e-12)
    # What is slower than the patch is the window's.
    centre = side // 2
    around = shown[centre - 2 : centre + 3, centre - 2 : centre + 3]
    around[:] = numpy.median(shown)
    return shown
