"""Which images make up an epoch, in which order: for loaders of training data.

Loaders of PyTorch hand a batch of numbers to one of their processes, and the next one to the
next. So each `Batch` says what comes after it as well: the process that reads it knows what it
will be given next, and has that fetched meanwhile (`empiarfs.python.datasets`).

An epoch follows from the seed and its own number alone, whatever reads it.

Threading: `ShuffledBatches` belongs to one thread, that of the loader; nothing else has state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Lengths(Protocol):
    """What is shuffled: images of several sources."""

    @property
    def lengths(self) -> Sequence[int]:
        """How many images each source has."""
        ...


class Batch(list[int]):
    """Numbers of images that are wanted together.

    Attributes:
        seed: Of the epoch.
        epoch: Its number.
        number: Of the batch in it, from 0.
        later: The batches that come after it, up to so many as are to be foreseen.
    """

    def __init__(
        self,
        wanted: Sequence[int],
        seed: int = 0,
        epoch: int = 0,
        number: int = 0,
        later: Sequence[Sequence[int]] = (),
    ) -> None:
        super().__init__(wanted)
        self.seed, self.epoch, self.number, self.later = seed, epoch, number, later

    def next_for(self, workers: int) -> Iterator[tuple[int, Sequence[int]]]:
        """Yield the later batches that come to the same one of so many processes.

        >>> batch = Batch([4, 1], number=10, later=[[5], [6], [7], [8]])
        >>> list(batch.next_for(2))
        [(12, [6]), (14, [8])]
        """
        for ahead in range(workers, len(self.later) + 1, workers):
            yield self.number + ahead, self.later[ahead - 1]


class ShuffledBatches:
    """Batches of the images of many sources, shuffled anew for each epoch.

    To be given to `torch.utils.data.DataLoader` as its `batch_sampler`. Each iteration is the
    next epoch.

    Args:
        dataset: Whose images; see `ImageDataset`.
        batch_size: How many images a batch has; the last one may have fewer.
        seed: By which epochs differ from those of another seed.
        of_each: At most so many images of each source in an epoch, others in each; all if None.
        ahead: How many batches beyond the one that is read are foreseen, of all processes of
            the loader together: more than there are processes.
        drop_last: Leave out a last batch that is smaller.
        rank: Which of several trainers this is, from 0: each has its own part of an epoch.
        ranks: How many those are. All have as many batches; up to `ranks` - 1 are left out.

    Attributes:
        epoch: Which is next, from 0.

    Raises:
        ValueError: One of the numbers can't be.
    """

    def __init__(
        self,
        dataset: Lengths,
        batch_size: int,
        *,
        seed: int = 0,
        of_each: int | None = None,
        ahead: int = 32,
        drop_last: bool = False,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch_size < 1 or ahead < 0 or seed < 0 or (of_each is not None and of_each < 1):
            raise ValueError("batch_size and of_each are 1 at least, ahead and seed 0")
        if not 0 <= rank < ranks:
            raise ValueError(f"there is no rank {rank} of {ranks}")
        self.epoch = 0
        self._lengths = tuple(dataset.lengths)
        self._size, self._seed, self._of_each, self._ahead = batch_size, seed, of_each, ahead
        self._drop_last, self._rank, self._ranks = drop_last, rank, ranks

    def set_epoch(self, epoch: int) -> None:
        """Have the next iteration be that epoch, as after a break."""
        if epoch < 0:
            raise ValueError("epochs are counted from 0")
        self.epoch = epoch

    def __len__(self) -> int:
        """Return how many batches an epoch has, for this rank."""
        images = sum(self._taken(length) for length in self._lengths)
        whole, rest = divmod(images, self._size)
        return (whole + (rest > 0 and not self._drop_last)) // self._ranks

    def __iter__(self) -> Iterator[Batch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._batches(epoch)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        order = self._order(epoch)
        count = len(self)

        def wanted(number: int) -> list[int]:
            first = (number * self._ranks + self._rank) * self._size
            found: list[int] = order[first : first + self._size].tolist()
            return found

        for number in range(count):
            later = range(number + 1, min(number + 1 + self._ahead, count))
            yield Batch(
                wanted(number), self._seed, epoch, number, [wanted(each) for each in later]
            )

    def _order(self, epoch: int) -> NDArray[Any]:
        """Return the numbers of all images of an epoch, for all ranks, in their order."""
        import numpy

        random = numpy.random.default_rng([self._seed, epoch])
        parts, start = [], 0
        for length in self._lengths:
            taken = self._taken(length)
            part = numpy.arange(length) if taken == length else random.choice(length, taken, False)
            parts.append(part + start)
            start += length
        return random.permutation(numpy.concatenate(parts) if parts else numpy.arange(0))

    def _taken(self, length: int) -> int:
        return length if self._of_each is None else min(length, self._of_each)
