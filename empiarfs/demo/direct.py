"""The demo where nothing can be mounted: the same parts, called from Python.

Threading: used from one thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mrcfile.dtypes
import numpy as np

from empiarfs.config import Config
from empiarfs.core.paths import join
from empiarfs.demo import archive
from empiarfs.demo.stage import Stage
from empiarfs.demo.transcript import Transcript, amount
from empiarfs.mount.composition import build
from empiarfs.patience import Patience
from empiarfs.vfs import FileSystem

_MRC_HEADER = 1024  # bytes
_FRAME = 7  # counted from 0
_WAIT_S = 60.0


@contextmanager
def opened_files(stage: Stage) -> Iterator[FileSystem]:
    """Build the file system that a mount would serve, and close it at the end."""
    # A proxy can't reach this machine's own address; it is read when the parts are made.
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        parts = build(Config(archive_url=stage.url, cache_dir=stage.work / "cache"))
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before
    try:
        yield parts.files
    finally:
        parts.close()


class DirectWalkthrough:
    """The steps without a mount, to be called in the order in which they stand.

    Each raises an `EmpiarFSError` if something fails or a comparison doesn't hold. Not
    thread-safe.
    """

    def __init__(self, stage: Stage, files: FileSystem, transcript: Transcript) -> None:
        self._stage = stage
        self._files = files
        self._transcript = transcript

    def look_around(self) -> None:
        """List entries and files, with their exact sizes."""
        step = self._transcript
        step.title("Look around: names, exact sizes")
        step.line(f"entries: {', '.join(self._names(''))}")
        directory = archive.MICROGRAPH_DIRECTORY
        names = self._names(directory)
        sizes = [
            self._files.attributes(join(directory, name), Patience(_WAIT_S)).size for name in names
        ]
        step.line(f"{directory}: {len(names)} files")
        step.line(f"  {names[0]}, {sizes[0]} bytes, and so on")
        step.wire()
        originals = sorted((self._stage.archive / directory).iterdir())
        step.checked(
            f"all {len(names)} names and sizes are those of the archive",
            list(zip(names, sizes, strict=True))
            == [(path.name, path.stat().st_size) for path in originals],
        )

    def read_header(self) -> None:
        """Read the header of one micrograph, and understand it with mrcfile."""
        step = self._transcript
        step.title("Read the header of a micrograph")
        path = f"{archive.MICROGRAPH_DIRECTORY}/{archive.micrograph_name(3)}"
        raw = self._read(path, 0, _MRC_HEADER)
        header = np.frombuffer(raw, mrcfile.dtypes.HEADER_DTYPE)[0]
        pixel_size = header["cella"]["x"] / header["mx"]
        step.line(f"{header['nx']} × {header['ny']} pixels of {pixel_size:.2f} Å")
        step.wire()
        step.checked("the header is the original's", raw == self._original(path)[:_MRC_HEADER])

    def read_frame(self) -> None:
        """Read one frame of a movie."""
        step = self._transcript
        step.title(f"Take one frame out of a movie of {archive.FRAMES}")
        path = archive.MOVIE_STACK
        original = self._original(path)
        size = (len(original) - _MRC_HEADER) // archive.FRAMES
        start = _MRC_HEADER + _FRAME * size
        frame = self._read(path, start, size)
        step.wire()
        step.line(f"  the movie has {amount(len(original))}")
        step.checked("the frame is the original's", frame == original[start : start + size])

    def read_whole(self) -> None:
        """Read a TIFF movie, twice."""
        step = self._transcript
        path = archive.TIFF_MOVIE
        original = self._original(path)
        for title in ("Read a whole file", "Read it again"):
            step.title(title)
            data = self._read(path, 0, len(original))
            cost = step.wire()
            step.checked("it is the original, byte for byte", data == original)
        step.checked("the second time nothing is asked of the archive", cost.requests == 0)

    def account(self) -> None:
        """Show what is cached, and what came over the wire in all."""
        step = self._transcript
        step.title("What it took")
        step.line(f"{amount(self._files.space().used)} are cached.")
        sent = self._stage.counts()
        step.line(
            f"In all {amount(sent.sent_bytes)} of {amount(self._stage.size)} came over the wire, "
            f"in {sent.requests} requests."
        )

    def _names(self, path: str) -> list[str]:
        handle = self._files.open_directory(path, Patience(_WAIT_S))
        try:
            return [item.name for item in self._files.directory_items(handle)]
        finally:
            self._files.close_directory(handle)

    def _read(self, path: str, start: int, size: int) -> bytes:
        patience = Patience(_WAIT_S)
        handle = self._files.open(path, patience).handle
        try:
            return self._files.read(handle, start, size, patience)
        finally:
            self._files.release(handle)

    def _original(self, path: str) -> bytes:
        return (self._stage.archive / path).read_bytes()
