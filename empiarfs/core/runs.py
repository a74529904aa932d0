"""Puts the reads of one open file together to runs: stretches that were read without a gap.

A read goes on a run where it starts at its end, or not far before that, or ends where the run
starts. Where a run is read ahead of, one just behind its end (or before its start, if it goes
backwards) belongs to it as well: the kernel's requests may arrive out of order. Two runs that
come to touch are one if the later one lies ahead, since its read was merely early; if it is
the earlier one that lies ahead, somebody has come to what was read before.

A handle with several readers (threads, an inherited descriptor) has several runs that grow.

Pure; not thread-safe. `empiarfs.core.readahead` decides what the runs mean.
"""

from __future__ import annotations

from collections import deque

from empiarfs.core.ranges import ByteRange

# Of how many runs the beginnings are remembered in order: enough to see the same step
# three times where a frame is read in up to three places.
_BEGUN = 8
# How many requests of its own size a read may come early: kernels send two at a time.
_EARLY = 2
# How far behind a run's end a read may come late. What lies further back is read again.
_LATE = 1024 * 1024


class Run:
    """A stretch of the file that was read without a gap.

    Attributes:
        number: Which run of the file it is, in the order in which they began.
        start: Offset of its first byte.
        stop: Offset one past its last byte.
        reads: How many reads made it longer.
        upwards: How many of them did so at its end.
        is_island: It began just behind another run, and may turn out to belong to it.
        hungry: One of its reads had to wait for the archive.
        window: Bytes to keep planned ahead; 0 until there is proof and hunger.
        planned_to: How far it is planned: above `stop`, or below `start` if backwards.
        bound: Offset at which it ends if it is as long as those before; 0 for unknown.
        sure: All up to `bound` will be read.
        is_large: It began at the file's start, with a read of much at a time.
        is_eager: It began with a read that announces a sequence.
        is_frame: It began as a frame does, after another one.
    """

    __slots__ = (
        "bound",
        "hungry",
        "is_eager",
        "is_frame",
        "is_island",
        "is_large",
        "number",
        "planned_to",
        "reads",
        "start",
        "stop",
        "sure",
        "upwards",
        "window",
    )

    def __init__(self, number: int, read: ByteRange) -> None:
        self.number = number
        self.start = read.start
        self.stop = read.stop
        self.reads = 1
        self.upwards = 0
        self.is_island = False
        self.hungry = False
        self.window = 0
        self.planned_to = read.stop
        self.bound = 0
        self.sure = False
        self.is_large = False
        self.is_eager = False
        self.is_frame = False

    @property
    def length(self) -> int:
        """Bytes read so far."""
        return self.stop - self.start

    @property
    def is_backwards(self) -> bool:
        """Whether three reads or more went on at its start, and none at its end."""
        return self.upwards == 0 and self.reads > 2

    @property
    def is_sequence(self) -> bool:
        """Whether three reads or more, or one that is as good, show that it goes on."""
        return self.is_large or self.upwards > 1 or self.is_backwards

    def goes_up_to(self, read: ByteRange) -> bool:
        """Tell whether `read` starts at the run's end, late before it or early behind it."""
        slack = _EARLY * len(read) if self.window and not self.is_backwards else 0
        return max(self.start, self.stop - _LATE) <= read.start <= self.stop + slack

    def goes_down_to(self, read: ByteRange) -> bool:
        """Tell whether `read` ends where the run starts, or early before that."""
        if self.window and not self.is_backwards:
            return False
        slack = _EARLY * len(read) if self.window else 0
        return read.start < self.start and self.start - slack <= read.stop <= self.stop

    def extend_up(self, read: ByteRange) -> None:
        """Take in a read that starts within the run or at its end."""
        if read.stop > self.stop:
            self.stop = read.stop
            self.reads += 1
            self.upwards += 1

    def extend_down(self, read: ByteRange) -> None:
        """Take in a read that ends where the run starts."""
        if self.reads == 1:
            self.planned_to = read.start
        self.start = read.start
        self.reads += 1


class Runs:
    """The runs of one open file.

    Args:
        capacity: How many are remembered; those read last stay.

    Attributes:
        begun: The runs that began last, newest last.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._runs: list[Run] = []  # the one that was read last first
        self._islands = 0
        self._count = 0
        self.begun: deque[Run] = deque(maxlen=_BEGUN)

    @property
    def latest(self) -> Run | None:
        """The run that was read last."""
        return self._runs[0] if self._runs else None

    def holding(self, offset: int) -> Run | None:
        """Return the run that the byte at `offset` was read in."""
        return next((r for r in self._runs if r.start <= offset < r.stop), None)

    def going_on_with(self, read: ByteRange) -> Run | None:
        """Return the run that `read` goes on, with the read taken in; None if there is none."""
        run = self._runs[0] if self._runs else None
        if run is not None and read.start == run.stop:
            # The common case, spared a search: some hundred nanoseconds for each read.
            run.extend_up(read)
        else:
            run = self._search(read)
        if self._islands and run is not None:
            self._absorb(run)
        return run

    def _search(self, read: ByteRange) -> Run | None:
        # Upwards first: between two runs, a read is the late one of the lower.
        run = next((r for r in self._runs if r.goes_up_to(read)), None)
        if run is not None:
            run.extend_up(read)
        else:
            run = next((r for r in self._runs if r.goes_down_to(read)), None)
            if run is None:
                return None
            run.extend_down(read)
        self._runs.remove(run)
        self._runs.insert(0, run)
        return run

    def begin(self, read: ByteRange) -> Run:
        """Return a new run that begins with `read`."""
        run = Run(self._count, read)
        self._count += 1
        slack = _EARLY * len(read)
        run.is_island = any(r.stop < read.start <= r.stop + slack for r in self._runs)
        self._islands += run.is_island
        self._runs.insert(0, run)
        for forgotten in self._runs[self._capacity :]:
            self._islands -= forgotten.is_island
        del self._runs[self._capacity :]
        self.begun.append(run)
        return run

    def end_all(self) -> None:
        """Let no read go on any run so far; they are remembered in `begun`."""
        self._runs.clear()
        self._islands = 0

    def _absorb(self, run: Run) -> None:
        """Join the younger runs that `run` has come to touch: their reads were early."""
        for other in self._runs[1:]:
            is_younger_island = other.is_island and other.number > run.number
            if is_younger_island and run.start <= other.start <= run.stop:
                run.stop = max(run.stop, other.stop)
                run.reads += other.reads
                run.upwards += other.upwards + 1
                run.hungry = run.hungry or other.hungry
                self._islands -= other.is_island
                self._runs.remove(other)
                if other in self.begun:
                    self.begun.remove(other)
