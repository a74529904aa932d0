"""The gain reference of a movie: which file it is, and by what pixels are multiplied.

It is looked for in the directory of the movie and in those above it, up to the entry's. One is
taken only if it has the size of the movie's frames, and as it is, neither turned nor mirrored:
what was applied is named in the picture. Those called `.gain` hold what counts are divided by,
all others what they are multiplied by.

Threading: none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from empiarfs.core import paths
from empiarfs.core.roles import role_of
from empiarfs.formats.regions import Region
from empiarfs.python.file import opened_file
from empiarfs.python.previews.sources import opened_source
from empiarfs.python.previews.views import Shape
from empiarfs.python.session import Live, Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_TRIED = 3
# A whole frame of floating-point numbers; it counts by itself.
_MOST_FETCHED = 128 * 1024 * 1024


def gains_of(session: Session, path: str) -> tuple[str, ...]:
    """Return the files that may be the gain reference of a movie, the nearest first.

    Raises:
        OSError: A directory can't be listed.
    """

    def ask(live: Live) -> tuple[str, ...]:
        return tuple(
            child.path
            for above in _above(path)
            for child in live.browser.children(live.browser.look(above))
            if not child.is_directory and role_of(_below_entry(child.path)) == "gain"
        )

    return session.ask(path, ask)


def _above(path: str) -> Iterator[str]:
    """Yield the directories that a file lies in, up to its entry."""
    parent = paths.split(path)[0]
    while parent:
        yield parent
        parent = paths.split(parent)[0]


def _below_entry(path: str) -> str:
    return path.partition("/")[2]


def fitting_gain(
    session: Session, candidates: tuple[str, ...], shape: Shape, region: Region
) -> tuple[NDArray[Any] | None, str]:
    """Return by what a region's pixels are multiplied, and a note; None if nothing fits.

    What can't be read is told in the note: a movie without its gain can still be seen.
    """
    note = ""
    for path in candidates[:_MOST_TRIED]:
        name = paths.split(path)[1]
        try:
            found = read_gain(session, path, shape, region)
        except (OSError, ValueError, ImportError) as exc:
            note = note or f"gain {name} not applied: {str(exc).removeprefix(f'{path}: ')}"
            continue
        return found, f"gain: {name}"
    return None, note


def read_gain(session: Session, path: str, shape: Shape, region: Region) -> NDArray[Any]:
    """Return by what the pixels of a region are multiplied.

    Raises:
        ValueError: It is no gain reference of frames of this shape.
        OSError: Its bytes can't be had.
    """
    import numpy

    with (
        opened_file(session, path) as file,
        opened_source(file, _MOST_FETCHED) as source,
    ):
        if (source.shape.rows, source.shape.columns) != (shape.rows, shape.columns):
            raise ValueError(f"{source.shape.columns} × {source.shape.rows} pixels")
        if source.cost([0], region) > _MOST_FETCHED:
            raise ValueError(f"{file.size} bytes are too many")
        found = source.read(0, region)
    if found is None or found.ndim != 2 or found.dtype.kind == "c":
        raise ValueError("no image of real numbers")
    gain = found.astype("f4")
    good = numpy.isfinite(gain) & (gain > 0)
    if not good.any():
        raise ValueError("no value is above 0")
    if path.lower().endswith(".gain"):
        numpy.divide(1, gain, out=gain, where=good)
    # Pixels that are known to be broken have none.
    gain[~good] = 0
    return gain
