"""Images of many files and tables as loaders of training data take them: one after the other.

`ImageDataset` is what PyTorch calls a map-style dataset, of arrays of NumPy, without needing
PyTorch. The images of a batch are fetched side by side; those of the batches that come to the
same process later, as the `Batch` says, are fetched meanwhile.

In an image's file only the rows are read that a crop takes. Where a crop lies follows from seed
and epoch of the batch and from the image's number, so it is known ahead.

Threading: safe from any thread; two threads may give the same hint. It pickles: what is meant
goes along, and each process reads by parts of its own.
"""

from __future__ import annotations

import logging
import os
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from empiarfs.core.ranges import ByteRange
from empiarfs.formats.regions import Region
from empiarfs.python.batches import Batch
from empiarfs.python.hints import hint_each
from empiarfs.python.images import File, Images, looked_into
from empiarfs.python.particles import Particles, particles
from empiarfs.python.session import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_Hint = tuple[Session, str, ByteRange]
# Of a crop in an image: which rows and columns it takes of as many as there are.
_Crop = Callable[[int, int], Region]


class _Source(Protocol):
    """Images of one file or table.

    Attributes:
        sessions: By which it is read.
    """

    sessions: frozenset[Session]

    def __len__(self) -> int: ...

    def name(self, number: int) -> str: ...

    def hints(self, wanted: Sequence[tuple[int, _Crop]]) -> Iterable[_Hint]: ...

    def read(self, number: int, crop: _Crop) -> NDArray[Any]: ...


class ImageDataset:
    """Images of one source after the other. Each image is an array of rows × columns.

    Args:
        sources: Files as `empiarfs.open` takes them, whose frames are the images (MRC stacks,
            movies, micrographs, TIFF, EER), STAR files, whose rows name images, or what
            `empiarfs.particles` returned. Headers are looked into at once, side by side.
        crop: Rows and columns of a part of each image, at a place by chance, which is another
            one in each epoch. All of it if None.
        labels: What belongs to each image, by its number; each item then is image and label.
        transform: What is made of each image, in the process that reads it.
        dtype: NumPy's type that pixels are turned into, in this machine's byte order; None for
            that of the file.

    Attributes:
        lengths: How many images each source has.

    Raises:
        OSError: A source isn't there, or can't be had.
        ValueError: One isn't an image or a table that can be read in parts; or there are not as
            many labels as images.
        ImportError: What reads this format is missing.
    """

    def __init__(
        self,
        sources: Iterable[File | Particles],
        *,
        crop: tuple[int, int] | None = None,
        labels: Sequence[Any] | None = None,
        transform: Callable[[NDArray[Any]], Any] | None = None,
        dtype: str | None = "float32",
    ) -> None:
        self._sources = _opened(list(sources))
        self.lengths = tuple(map(len, self._sources))
        self._ends = tuple(accumulate(self.lengths))
        if labels is not None and len(labels) != len(self):
            raise ValueError(f"there are {len(labels)} labels for {len(self)} images")
        self._crop, self._labels, self._transform = crop, labels, transform
        self._dtype = dtype
        # Up to which batch was hinted at: of which process, seed and epoch.
        self._hinted = (0, 0, 0), -1

    def __repr__(self) -> str:
        return f"<empiarfs.ImageDataset {len(self)} in {len(self._sources)}>"

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def name(self, index: int) -> str:
        """Return which image that is, as `000008@10934/data/stack.mrcs`."""
        source, number = self._place(index)
        return self._sources[source].name(number)

    def __getitem__(self, index: int) -> Any:
        """Return an image, or image and label.

        Raises:
            IndexError: There is no such image.
            OSError: It can't be had, or its file has changed.
            ValueError: Its file is broken, or the image is smaller than a crop.
        """
        return self._item(index, Batch([index]))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Return several images, as PyTorch asks for a batch; see `__getitem__`."""
        batch = indices if isinstance(indices, Batch) else Batch(indices)
        self._foresee(batch)
        return [self._item(index, batch) for index in batch]

    def prefetch(self, indices: Sequence[int]) -> None:
        """Say which images will be wanted soon; see `empiarfs.prefetch`.

        Of a table's stack that wasn't looked into, the header is waited for.
        """
        self._hint(indices, Batch([]))

    # -- what comes next -------------------------------------------------------------------

    def _foresee(self, batch: Batch) -> None:
        """Have this batch fetched side by side, and those that come to this process later."""
        of = os.getpid(), batch.seed, batch.epoch
        before, last = self._hinted
        if before != of:
            last = -1
            self._look_again()
        if batch.number > last:
            self._hint_quietly(batch, batch)
        for number, later in batch.next_for(_workers()):
            if number > last:
                self._hint_quietly(later, batch)
                last = number
        self._hinted = of, last

    def _look_again(self) -> None:
        """See to it that what the other processes stored in the last epoch is found."""
        for session in {session for source in self._sources for session in source.sessions}:
            session.ask("", lambda live: live.parts.store.look_again())

    def _hint_quietly(self, indices: Sequence[int], batch: Batch) -> None:
        try:
            self._hint(indices, batch)
        except (OSError, ValueError, IndexError) as exc:
            # Whoever reads it is told.
            logger.debug("a hint about %s: %s", self, exc)

    def _hint(self, indices: Sequence[int], batch: Batch) -> None:
        of_each: dict[int, list[tuple[int, _Crop]]] = {}
        for index in indices:
            source, number = self._place(index)
            of_each.setdefault(source, []).append((number, self._cropped(index, batch)))
        for source, wanted in of_each.items():
            hint_each(self._sources[source].hints(wanted))

    # -- images ----------------------------------------------------------------------------

    def _place(self, index: int) -> tuple[int, int]:
        """Return the source of an image, and its number there."""
        count = len(self)
        if not -count <= index < count:
            raise IndexError(f"there is no image {index} of {count}")
        index %= count
        source = bisect_right(self._ends, index)
        return source, index - self._ends[source] + self.lengths[source]

    def _item(self, index: int, batch: Batch) -> Any:
        source, number = self._place(index)
        found = self._sources[source].read(number, self._cropped(index, batch))
        kind = found.dtype.newbyteorder("=") if self._dtype is None else self._dtype
        image = found.astype(kind, copy=False)
        made = image if self._transform is None else self._transform(image)
        return made if self._labels is None else (made, self._labels[index])

    def _cropped(self, index: int, batch: Batch) -> _Crop:
        """Return which part is taken of an image, given its rows and columns."""
        crop = self._crop

        def region(rows: int, columns: int) -> Region:
            if crop is None:
                return Region(0, rows, 0, columns)
            if crop[0] > rows or crop[1] > columns:
                raise ValueError(
                    f"{self.name(index)} has {rows} × {columns} pixels, fewer than a crop of "
                    f"{crop[0]} × {crop[1]}"
                )
            import numpy

            random = numpy.random.default_rng([batch.seed, batch.epoch, index % len(self)])
            top = int(random.integers(rows - crop[0] + 1))
            left = int(random.integers(columns - crop[1] + 1))
            return Region(top, top + crop[0], left, left + crop[1])

        return region


class _OfFile:
    """The frames of a file."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self.sessions = frozenset((images.file.session,))
        y = images.dims.index("y")
        self._size = images.shape[y], images.shape[y + 1]

    def __len__(self) -> int:
        return self._images.shape[0] if self._images.has_frames else 1

    def name(self, number: int) -> str:
        return f"{number + 1:06d}@{self._images.file.path}"

    def hints(self, wanted: Sequence[tuple[int, _Crop]]) -> Iterable[_Hint]:
        file = self._images.file
        for number, crop in wanted:
            for offset, size in self._images.ranges([number], crop(*self._size)):
                yield file.session, file.path, ByteRange(offset, offset + size)

    def read(self, number: int, crop: _Crop) -> NDArray[Any]:
        found: NDArray[Any] = self._images.read([number], crop(*self._size))[0]
        return found


class _OfTable:
    """The images that a table names, or those of a stack that `empiarfs.particles` opened."""

    def __init__(self, table: Particles) -> None:
        self._table = table
        self.sessions = table.sessions

    def __len__(self) -> int:
        return len(self._table)

    def name(self, number: int) -> str:
        return self._table.name(number)

    def hints(self, wanted: Sequence[tuple[int, _Crop]]) -> Iterable[_Hint]:
        # Such images are small: all of each is read.
        self._table.prefetch([number for number, _ in wanted])
        return ()

    def read(self, number: int, crop: _Crop) -> NDArray[Any]:
        image = self._table[number]
        part = crop(*image.shape[-2:])
        return image[..., part.top : part.bottom, part.left : part.right]


def _opened(sources: Sequence[File | Particles]) -> tuple[_Source, ...]:
    """Return what reads each source; all headers are fetched side by side."""
    files = [each for each in sources if not isinstance(each, Particles) and not _is_table(each)]
    images = looked_into(files)
    made: list[_Source] = []
    for each in sources:
        if isinstance(each, Particles):
            made.append(_OfTable(each))
        elif isinstance(each, (str, os.PathLike)) and _is_table(each):
            made.append(_OfTable(particles(each)))
        else:
            made.append(_OfFile(next(images)))
    return tuple(made)


def _is_table(source: File) -> bool:
    return isinstance(source, (str, os.PathLike)) and os.fspath(source).lower().endswith(".star")


def _workers() -> int:
    """Return how many processes of PyTorch's loader share the batches."""
    loaders: Any = sys.modules.get("torch.utils.data")
    info = loaders.get_worker_info() if loaders is not None else None
    return 1 if info is None else int(info.num_workers)
