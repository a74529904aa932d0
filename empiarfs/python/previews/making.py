"""Makes what is shown of the files of a picture.

Files of a sheet are opened some at a time. First the beginnings of all of them are asked for,
then what their views say, and then each is read, so that none waits for the one before. One
that can't be read is an empty picture that says why; where a single file is wanted, an error.

Threading: used from one thread.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from empiarfs.core.ranges import ByteRange
from empiarfs.python.file import ArchiveFile, opened_file
from empiarfs.python.hints import hint_each
from empiarfs.python.places import located
from empiarfs.python.previews.finding import Chosen, Told
from empiarfs.python.previews.gains import fitting_gain, gains_of, read_gain
from empiarfs.python.previews.panels import Known, Portrait, View, foresee, portrait, view_of
from empiarfs.python.previews.sources import Source, opened_source
from empiarfs.python.previews.views import Wishes
from empiarfs.python.session import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

Word = str | os.PathLike[str]

# Files of a sheet that are open at a time.
_AT_ONCE = 32
_PIECE = 64 * 1024
# Where writers put the directory of a TIFF's first frame, its tables lie before or behind it.
_AROUND = 64 * 1024
_TIFF = {b"II*\0": "<I", b"MM\0*": ">I", b"II+\0": "<Q", b"MM\0+": ">Q"}
_FAILURES = (OSError, ValueError, IndexError, ImportError)


class Maker:
    """Makes what is shown of files.

    Attributes:
        failed: Paths of those whose bytes couldn't be had.
        size: Bytes of the files that were opened.
    """

    def __init__(self, found: Chosen, wishes: Wishes, gain: Word | bool) -> None:
        self.failed: set[str] = set()
        self.size = 0
        self._found = found
        self._wishes = wishes
        self._given = gain
        self._told = Told()

    def alone(self) -> Portrait:
        """Return what is shown of the one file; see `preview` for what may go wrong."""
        [(session, path)] = self._found.files
        try:
            with (
                opened_file(session, path) as file,
                opened_source(file, self._wishes.most) as source,
            ):
                self.size = file.size
                role = self._told.role(session, path)
                view = view_of(source, path, role, self._wishes, alone=True)
                foresee(source, view)
                gain, notes = self._gain(session, path, source, view)
                stated = self._told.pixel_size(session, path, source.shape.columns)
                known = Known(stated, gain, notes)
                return portrait(source, path, view, self._wishes, known, alone=True)
        except (ValueError, IndexError) as exc:
            raise ValueError(f"{path}: {_said(exc, path)}") from exc

    def portraits(self) -> list[Portrait]:
        """Return what is shown of each file of a sheet."""
        files = self._found.files
        made: list[Portrait] = []
        for start in range(0, len(files), _AT_ONCE):
            made += self._some(files[start : start + _AT_ONCE])
        for word, error in self._found.failed:
            self.failed.add(word)
            made.append(Portrait(word, (), (), _said(error, word)))
        return made

    def _gain(
        self, session: Session, path: str, source: Source, view: View
    ) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
        given = self._given
        if given is False or view.kind != "average" or (given is True and not _is_raw(source)):
            return None, ()
        if given is not True:
            place, gain_path = located(given, session)
            gain = read_gain(place, gain_path, source.shape, view.region)
            return gain, (f"gain: {gain_path.rpartition('/')[2]}",)
        if len(view.frames) < 2 and source.shape.frames == 1:
            return None, ()
        found, note = fitting_gain(session, gains_of(session, path), source.shape, view.region)
        return found, (note,) * bool(note)

    def _some(self, files: Sequence[tuple[Session, str]]) -> list[Portrait]:
        hint_each((session, path, ByteRange(0, _PIECE)) for session, path in files)
        made: dict[str, Portrait] = {}
        with ExitStack() as stack:
            opened: list[tuple[Session, str, ArchiveFile]] = []
            ready: list[tuple[Session, str, Source, View]] = []
            for session, path in files:
                with self._caught(path, made):
                    file = stack.enter_context(opened_file(session, path))
                    self.size += file.size
                    _foresee_directory(file)
                    opened.append((session, path, file))
            for session, path, file in opened:
                with self._caught(path, made):
                    source = stack.enter_context(opened_source(file, self._wishes.most))
                    role = self._told.role(session, path)
                    view = view_of(source, path, role, self._wishes, alone=False)
                    foresee(source, view)
                    ready.append((session, path, source, view))
            for session, path, source, view in ready:
                with self._caught(path, made):
                    known = Known(self._told.pixel_size(session, path, source.shape.columns))
                    made[path] = portrait(source, path, view, self._wishes, known, alone=False)
        return [made[path] for _, path in files]

    @contextmanager
    def _caught(self, path: str, made: dict[str, Portrait]) -> Iterator[None]:
        try:
            yield
        except _FAILURES as exc:
            if isinstance(exc, OSError):
                self.failed.add(path)
            made[path] = Portrait(path, (), (), _said(exc, path))


def _said(error: Exception, path: str) -> str:
    """Return what went wrong with a file, without its path."""
    text = str(error.strerror or error) if isinstance(error, OSError) else str(error)
    return text.removeprefix(f"{path}: ")


def _is_raw(source: Source) -> bool:
    """Tell whether pixels may be counts; what was corrected are real numbers, mostly."""
    return source.type_name.startswith(("int", "uint"))


def _foresee_directory(file: ArchiveFile) -> None:
    """Have the directory of a TIFF's first frame fetched, if it isn't at the beginning."""
    [head] = file.read_ranges([(0, 16)])
    form = _TIFF.get(head[:4])
    if form is None or len(head) < 16:
        return
    [offset] = struct.unpack_from(form, head, 8 if form[1] == "Q" else 4)
    if _PIECE <= offset < file.size:
        start = max(0, offset - _AROUND)
        file.foresee([(start, min(offset + _AROUND, file.size) - start)])
