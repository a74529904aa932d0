"""A picture of what is in the archive: of one file, or a sheet of several.

Threading: used from one thread.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from empiarfs.core.selectors import Selectors, parse_roles
from empiarfs.python.previews.finding import Chosen, chosen
from empiarfs.python.previews.views import Wishes
from empiarfs.python.session import Session, default_session

if TYPE_CHECKING:
    from PIL.Image import Image


Word = str | os.PathLike[str]

PIXELS, SHEET_PIXELS = 1024, 256
"""Longest side of a picture by default: of one file, of each of a sheet."""
SAMPLE, IMAGES, SHEET_IMAGES = 24, 64, 16
"""Files of a sheet by default; images of a stack, and of one in a sheet."""
MOST, SHEET_MOST = 64 * 1024 * 1024, 4 * 1024 * 1024
"""Bytes fetched of a file by default, about: of one, of each of a sheet."""

LIMITS = {
    "pixels": (32, 8192),
    "frames": (1, 10_000),
    "sample": (1, 1000),
    "most_bytes": (64 * 1024, 2**40),
}
"""Least and most of what can be wanted."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of files of the archive; notebooks show it.

    Attributes:
        image: The picture, of Pillow; grey.
        files: Which files are shown, by their paths below the archive's root.
        problems: Of those that couldn't be read: path, why, and whether it is the file that is
            no image that can be read (False: its bytes couldn't be had).
        bytes_read: How many bytes of files were looked at.
        bytes_fetched: How many this process fetched from the archive: not what was in the cache,
            nor what the daemon of a mount fetched for it.
        size: Bytes that the files have.
    """

    image: Image
    files: tuple[str, ...]
    problems: tuple[tuple[str, str, bool], ...]
    bytes_read: int
    bytes_fetched: int
    size: int

    def __repr__(self) -> str:
        what = self.files[0] if len(self.files) == 1 else f"{len(self.files)} files"
        return f"<empiarfs.Preview of {what}>"

    def png(self) -> bytes:
        """Return it as PNG."""
        made = io.BytesIO()
        self.image.save(made, "PNG")
        return made.getvalue()

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it as PNG.

        Args:
            path: The file.
            overwrite: Replace one that is there.

        Raises:
            FileExistsError: One is there.
            OSError: It can't be written.
        """
        save_bytes(Path(path), self.png(), overwrite=overwrite)

    def _repr_png_(self) -> bytes:
        return self.png()


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted; None for what is usual. See `preview`.

    Raises:
        ValueError: A number is too small or too large.
    """

    pixels: int | None = None
    frames: int | None = None
    sample: int | None = None
    seed: int = 0
    most_bytes: int | None = None
    gain: Word | bool = True
    selectors: Selectors = field(default_factory=Selectors)

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name} is {value}, and has to be from {least} to {most}")

    def wishes(self, *, alone: bool) -> Wishes:
        """Return what is wanted of each file, of one that is alone or of those of a sheet."""
        return Wishes(
            pixels=self.pixels or (PIXELS if alone else SHEET_PIXELS),
            frames=self.frames,
            images=(self.sample or IMAGES) if alone else SHEET_IMAGES,
            seed=self.seed,
            most=self.most_bytes or (MOST if alone else SHEET_MOST),
        )


def preview(
    *targets: Word,
    pixels: int | None = None,
    frames: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    most_bytes: int | None = None,
    gain: Word | bool = True,
    role: str | Iterable[str] = (),
    image_set: int | Iterable[int] = (),
) -> Preview:
    """Return a picture of a file, or a contact sheet of several, from a few of their bytes.

    Args:
        targets: A file, as `open` takes it; or an entry, directories, paths with wildcards,
            several files: a sheet of those that may hold images.
        pixels: Longest side of a picture, of each picture of a sheet; 1024 and 256 by default.
        frames: Of a movie, to be averaged, as far as `most_bytes` allows; 8 by default, 40 of
            EER.
        sample: How many files of a directory, 24 by default; how many images of a stack.
        seed: Which ones; the same seed gives the same.
        most_bytes: Fetched of each file, about; 64 MiB, and 4 MiB in a sheet.
        gain: A gain reference that a movie is multiplied by; True for the one that lies beside
            the movie and fits, False for none. Of no effect in a sheet.
        role: Of files of a directory: "movies", "micrographs", …
        image_set: Numbers of image sets, from 1, in which those lie.

    Raises:
        OSError: Something isn't there, or can't be had.
        ValueError: The file is no image that can be read, or there is none.
        ImportError: A package is missing: `pip install 'empiarfs[preview]'`.
        ConfigError: A target names nothing that could be in the archive.
    """
    means = Selectors(
        roles=parse_roles((role,) if isinstance(role, str) else role),
        image_set=(image_set,) if isinstance(image_set, int) else tuple(image_set),
    )
    order = Order(pixels, frames, sample, seed, most_bytes, gain, means)
    return made_preview(default_session(), targets, order)


def made_preview(session: Session, targets: Sequence[Word], order: Order) -> Preview:
    """Return a picture; see `preview`."""
    from empiarfs.python.previews import drawing
    from empiarfs.python.previews.making import Maker

    if not targets:
        raise TypeError("preview() needs a target")
    found = chosen(session, targets, order.selectors, order.sample or SAMPLE, order.seed)
    before = _counted(found)
    wishes = order.wishes(alone=found.is_single)
    made = Maker(found, wishes, order.gain)
    if found.is_single:
        portraits = [made.alone()]
        image = drawing.drawn(portraits[0], wishes.pixels)
    else:
        portraits = made.portraits()
        image = drawing.sheet(portraits, _title(targets, found, order.seed), wishes.pixels)
    read, fetched = (max(0, now - then) for now, then in zip(_counted(found), before, strict=True))
    problems = tuple(
        (each.path, each.problem, each.path not in made.failed)
        for each in portraits
        if each.problem
    )
    paths = tuple(path for _, path in found.files)
    return Preview(image, paths, problems, read, fetched, made.size)


def _title(targets: Sequence[Word], found: Chosen, seed: int) -> str:
    names = [os.fspath(each) for each in targets]
    title = names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    if len(found.files) == found.count:
        return f"{title}: {found.count} file{'s' * (found.count != 1)}"
    return f"{title}: {len(found.files)} of {found.count} files, by chance (seed {seed})"


def _counted(found: Chosen) -> tuple[int, int]:
    """Return how many bytes were read and fetched so far by the sessions of the files."""
    counters = [
        session.ask("", lambda live: live.parts.counters)
        for session in dict.fromkeys(session for session, _ in found.files)
    ]
    return (
        sum(each["read_bytes"] for each in counters),
        sum(each["network_bytes"] for each in counters),
    )


def save_bytes(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Write a file that is there as a whole or not at all.

    Raises:
        FileExistsError: There is one, and it isn't to be overwritten.
        OSError: It can't be written.
    """
    partial = path.with_name(f".{path.name[:200]}.{os.getpid()}.part") if overwrite else path
    with partial.open("xb") as file:
        try:
            file.write(data)
            file.flush()
            if overwrite:
                os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
