"""Which frames of an image are meant, and which part of each, as arrays are indexed.

Pure functions, safe from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Frames = int | slice | Sequence[int] | None
"""A number, a slice or numbers, as an index of the first axis; None for all frames."""

Corners = tuple[int, int, int, int]
"""y0, y1, x0, x1, in pixels."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of each frame, in pixels: rows `top <= y < bottom`, columns `left <= x < right`."""

    top: int
    bottom: int
    left: int
    right: int


def chosen_frames(frames: Frames, count: int) -> Sequence[int]:
    """Return the numbers of the frames that are meant, of so many.

    Raises:
        IndexError: There is no such frame.

    >>> list(chosen_frames(slice(-2, None), 5)), list(chosen_frames([0, -1], 5))
    ([3, 4], [0, 4])
    """
    if frames is None:
        return range(count)
    if isinstance(frames, slice):
        return range(*frames.indices(count))
    # Numbers of NumPy aren't int.
    wanted = [int(each) for each in frames] if isinstance(frames, Sequence) else [int(frames)]
    for frame in wanted:
        if not -count <= frame < count:
            raise IndexError(f"there is no frame {frame} of {count}")
    return [frame % count for frame in wanted]


def highest(frames: Sequence[int]) -> int:
    """Return the highest of some numbers, at least one, as `chosen_frames` returned them.

    What a header says may be billions, so those of a range aren't gone through.

    >>> highest(range(10**12))
    999999999999
    """
    return max(frames[0], frames[-1]) if isinstance(frames, range) else max(frames)


def checked_region(corners: Corners | None, rows: int, columns: int) -> Region:
    """Return the region that is meant, of frames of that size; all of them for None.

    Raises:
        ValueError: It isn't within them.

    >>> checked_region((0, 2, 1, 4), 10, 10)
    Region(top=0, bottom=2, left=1, right=4)
    """
    if corners is None:
        return Region(0, rows, 0, columns)
    top, bottom, left, right = (int(each) for each in corners)
    if not (0 <= top <= bottom <= rows and 0 <= left <= right <= columns):
        raise ValueError(
            f"the region {top}:{bottom}, {left}:{right} isn't within {rows} × {columns} pixels"
        )
    return Region(top, bottom, left, right)
