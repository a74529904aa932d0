"""Single images of large stacks, as if those were arrays: only what is asked for is fetched.

    particles("10934/data/stack.mrcs")[7]        one image of a stack
    particles("10934/data/particles.star")[7]    what the eighth row of a table names

A stack is opened when one of its images is wanted, and its header is kept. Of those that are
open only the latest stay so, since a table may name tens of thousands.

Threading: safe from any thread; two that want a stack first may both open it. Pickled it keeps
what is meant, and opens stacks anew.
"""

from __future__ import annotations

import operator
import os
import warnings
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, overload

from empiarfs.core.ranges import ByteRange
from empiarfs.core.targets import entry_number
from empiarfs.errors import ConfigError
from empiarfs.formats import FormatError
from empiarfs.formats.kinds import format_of
from empiarfs.formats.mrc import HEADER_SIZE
from empiarfs.formats.regions import Region
from empiarfs.formats.star import NamedImages, images_in_star, split_image
from empiarfs.python.choosing import named_files, opened_window
from empiarfs.python.file import ArchiveFile, opened_file
from empiarfs.python.hints import hint_each
from empiarfs.python.mrcs import MrcImages
from empiarfs.python.places import located
from empiarfs.python.session import Session, default_session

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_MOST_OPEN = 256


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stack is: a path below the root of a session's archive, or why there is none."""

    session: Session
    path: str
    problem: Exception | None = None


class Particles:
    """Images of one size, in one stack or in many. Made by `empiarfs.particles`."""

    def __init__(self, places: Sequence[Place], images: NamedImages | None) -> None:
        # Without images those of the one stack that there is then.
        self._places = tuple(places)
        self._images = images
        self._opened: dict[int, tuple[ArchiveFile, MrcImages]] = {}

    def __repr__(self) -> str:
        return f"<empiarfs.Particles {len(self)} in {len(self._places)}>"

    def __reduce__(self) -> tuple[object, ...]:
        return Particles, (self._places, self._images)

    def __len__(self) -> int:
        return len(self._stack(0)) if self._images is None else len(self._images.places)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[number] for number in range(len(self)))

    @property
    def shape(self) -> tuple[int, ...]:
        """How many they are, and the size of each: rows and columns."""
        return (len(self), *self._stack(self._first).frame_shape)

    @property
    def dtype(self) -> Any:
        """NumPy's type of a pixel, in the byte order of the file."""
        return self._stack(self._first).dtype

    @property
    def pixel_size(self) -> float | None:
        """Å along x, as the first stack's header says; None if it doesn't."""
        return self._stack(self._first).pixel_size[0]

    @property
    def sessions(self) -> frozenset[Session]:
        """By which settings they are read."""
        return frozenset(place.session for place in self._places)

    def name(self, number: int) -> str:
        """Return which image that is, as `000008@10934/data/stack.mrcs`."""
        place, image = self._at(self._numbers([number])[0])
        return f"{image + 1:06d}@{self._places[place].path}"

    @overload
    def __getitem__(self, index: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, index: slice | ArrayLike) -> NDArray[Any]: ...
    def __getitem__(self, index: int | slice | ArrayLike) -> NDArray[Any]:
        """Return one image for a number, else an array of images × rows × columns.

        The bytes of all that are wanted are fetched side by side.

        Args:
            index: A number, a slice, numbers in any order, or a mask.

        Raises:
            IndexError: There is no such image, in the table or in its stack.
            OSError: It can't be had; FileNotFoundError if its stack isn't in the archive.
            ValueError: Its stack is no MRC file or ends too early, or images differ in size.
        """
        import numpy

        if not isinstance(index, slice) and numpy.ndim(index) == 0:
            return cast("NDArray[Any]", self._read(self._numbers([cast(int, index)]))[0])
        return self._read(self._numbers(index))

    def prefetch(self, index: slice | ArrayLike) -> None:
        """Say which images will be wanted soon, in this order; see `empiarfs.prefetch`.

        Of a stack that wasn't looked into, the header is waited for.
        """
        self._hint(self._numbers(index))

    # -- which are meant -------------------------------------------------------------------

    @property
    def _first(self) -> int:
        """The first stack that is there."""
        for number, place in enumerate(self._places):
            if place.problem is None:
                return number
        raise ValueError("there is no image") from (
            self._places[0].problem if self._places else None
        )

    def _numbers(self, index: slice | ArrayLike) -> Sequence[int]:
        count = len(self)
        if isinstance(index, slice):
            return range(*index.indices(count))
        import numpy

        wanted = numpy.asarray(index)
        if wanted.dtype == bool:
            if wanted.shape != (count,):
                raise IndexError(f"a mask of the shape {wanted.shape} for {count} images")
            wanted = numpy.flatnonzero(wanted)
        if wanted.ndim != 1:
            raise IndexError(f"numbers of images in {wanted.ndim} dimensions")
        numbers = [operator.index(each) for each in wanted.tolist()]
        for number in numbers:
            if not -count <= number < count:
                raise IndexError(f"there is no image {number} of {count}")
        return [number % count for number in numbers]

    def _at(self, number: int) -> tuple[int, int]:
        """Return the place of an image's stack, and its number there."""
        if self._images is None:
            return 0, number
        return self._images.places[number], self._images.numbers[number]

    # -- stacks ----------------------------------------------------------------------------

    def _stack(self, place: int) -> MrcImages:
        found = self._opened.get(place)
        if found is None:
            found = self._opened[place] = self._open(self._places[place])
            # Each step is whole for other threads. What is dropped is closed once nobody has it.
            for old in list(self._opened)[:-_MOST_OPEN]:
                self._opened.pop(old, None)
        return found[1]

    def _open(self, place: Place) -> tuple[ArchiveFile, MrcImages]:
        if place.problem is not None:
            raise place.problem
        file = opened_file(place.session, place.path)
        try:
            return file, MrcImages(_checked(file))
        except FormatError as exc:
            raise ValueError(f"{file.path}: {exc}") from exc

    def _foresee(self, places: Iterable[int]) -> None:
        """Have the headers of several stacks fetched side by side."""
        header = ByteRange(0, HEADER_SIZE)
        closed = [self._places[place] for place in places if place not in self._opened]
        hint_each((each.session, each.path, header) for each in closed if each.problem is None)

    # -- bytes -----------------------------------------------------------------------------

    def _hint(self, numbers: Sequence[int]) -> None:
        wanted = [self._at(number) for number in numbers]
        self._foresee(dict.fromkeys(place for place, _ in wanted))
        hint_each(
            (
                self._places[place].session,
                self._places[place].path,
                ByteRange(offset, offset + size),
            )
            for place, image in wanted
            if self._places[place].problem is None
            for offset, size in self._stack(place).ranges(image)
        )

    def _read(self, numbers: Sequence[int]) -> NDArray[Any]:
        import numpy

        wanted = [self._at(number) for number in numbers]
        places = dict.fromkeys(place for place, _ in wanted)
        if len(places) == 1:
            [place] = places
            return self._images_of(place, [image for _, image in wanted])
        if len(places) > 1:
            self._hint(numbers)
        if not wanted:
            return numpy.empty((0, *self.shape[1:]), self.dtype)
        first = self._images_of(wanted[0][0], [wanted[0][1]])
        made = numpy.empty((len(wanted), *first.shape[1:]), first.dtype)
        for number, (place, image) in enumerate(wanted):
            found = self._images_of(place, [image])
            if found.shape != first.shape or found.dtype != first.dtype:
                raise ValueError(
                    f"{self._places[place].path}: its images are {_told(found)}, "
                    f"and those of {self._places[wanted[0][0]].path} {_told(first)}"
                )
            made[number] = found[0]
        return made

    def _images_of(self, place: int, images: Sequence[int]) -> NDArray[Any]:
        stack, path = self._stack(place), self._places[place].path
        for image in images:
            if image >= len(stack):
                raise IndexError(f"{path}: there is no image {image} of {len(stack)}")
        rows, columns = stack.frame_shape[-2:]
        try:
            return stack.read(images, Region(0, rows, 0, columns))
        except FormatError as exc:
            raise ValueError(f"{path}: {exc}") from exc


def particles(
    source: str | os.PathLike[str] | Iterable[str], entry: int | None = None
) -> Particles:
    """Return the images of a stack, or those that a table names, to be read one by one.

    Args:
        source: A stack of MRC's kind or a STAR file, as `empiarfs.open` takes it; or names such
            as "000008@10934/data/stack.mrcs". A STAR file may also be on a local disk.
        entry: In which entry to look for the files that a table names; its own by default.

    Raises:
        OSError: It isn't there, or can't be had.
        ValueError: It is neither a stack nor a table that names images.
        ConfigError: It names nothing that could be in the archive.
    """
    if not isinstance(source, (str, os.PathLike)):
        return _listed(source)
    try:
        session, path = located(source)
    except ConfigError:
        if entry is None or not os.path.isfile(source):
            raise
        return _of_table(default_session(), os.fspath(source), str(entry))
    with opened_file(session, path) as file:
        [head] = file.read_ranges([(0, HEADER_SIZE)])
    if format_of(path, head) == "STAR":
        return _of_table(session, path, str(entry or entry_number(path)))
    place = Particles([Place(session, path)], None)
    len(place)  # is a ValueError if it is no stack
    return place


def _listed(names: Iterable[str]) -> Particles:
    places: dict[str, int] = {}
    of_each, numbers = array("l"), array("l")
    for name in names:
        try:
            number, path = split_image(name)
        except FormatError as exc:
            raise ValueError(str(exc)) from exc
        of_each.append(places.setdefault(path, len(places)))
        numbers.append(number)
    stacks = [Place(*located(path)) for path in places]
    return Particles(stacks, NamedImages(tuple(places), of_each, numbers))


def _of_table(session: Session, table: str, root: str) -> Particles:
    try:
        with opened_window(session, table) as window:
            images = images_in_star(window)
    except FormatError as exc:
        raise ValueError(f"{table}: {exc}") from exc
    meant = named_files(session, root, images.files)
    places = [_place(session, table, name, meant[name]) for name in images.files]
    missing = [place.path for place in places if place.problem is not None]
    if missing:
        more = f" and {len(missing) - 1} more" * (len(missing) > 1)
        warnings.warn(
            f"{table}: it names {missing[0]}{more}, which can't be told in the entry", stacklevel=3
        )
    return Particles(places, images)


def _place(session: Session, table: str, name: str, files: Sequence[str]) -> Place:
    if len(files) > 1:
        # Of several that are meant alike, the one in the table's own directory.
        beside = [each for each in files if _folder(each) == _folder(table)]
        if len(beside) != 1:
            problem: Exception = ValueError(f"{name} may be any of {', '.join(files[:3])}")
            return Place(session, name, problem)
        files = beside
    if not files:
        return Place(session, name, FileNotFoundError(2, "not in the archive", name))
    return Place(session, files[0])


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _checked(file: ArchiveFile) -> ArchiveFile:
    """Return the file if it is of MRC's kind."""
    [head] = file.read_ranges([(0, HEADER_SIZE)])
    kind = format_of(file.path, head) if head else "empty"
    if kind != "MRC":
        raise FormatError(f"{kind}, and no stack of MRC's kind")
    return file


def _told(images: NDArray[Any]) -> str:
    return f"{' × '.join(map(str, images.shape[1:]))} of {images.dtype}"
