"""The read-ahead planner of one open file: which bytes to fetch before anyone asks for them.

The planner is a pure state machine. It is told about each read of one handle, and which of
them had to wait for the archive; it answers with ranges to prefetch, the most pressing one
first, each meant as one request. It never fetches, waits, locks or looks at a clock.
`empiarfs.reader` holds one for each handle and carries the plans out.

Reads are put together to *runs*, stretches that were read without a gap (`core.runs`), and
runs to series of frames (`core.frames`).

    what is seen                        what is planned once a read had to wait
    ----------------------------------  ----------------------------------------------------
    one or two reads of a run           nothing: no proof, and a page fault of a memory map
                                        reads 128 KiB around it already
    three, forwards or backwards        three quarters of what the run has read, or all of
                                        it from the file's start; never above `maximum`
    a first read of 128 KiB or more at  twice as much; six times after one more, and 8 MiB
    the file's start                    after two: a program that asks for much at a time
                                        reads on, mostly
    one of 256 KiB or more              eight times as much at once: it has told the kernel
                                        that it reads in sequence (`cat`, `cp`)
    the last run ended after n bytes    no more than n, until the run has passed that for
                                        good; all of it, up to 8 MiB, after three reads, or
                                        after one of 128 KiB if n was 1 MiB or more
    the last two ended after n bytes    all of n, from the first read on: what is read are
                                        frames, wherever they lie
    a series of frames                  the same; and the next frames, twice as many at each
                                        wait
    anything else                       nothing: far seeks fetch what was asked for

A reader *starves* when it has to wait for its bytes: only then is more needed. One that
finds all of them on disk starves never, and nobody looks ahead for it. What is planned is
bounded by what was read in the same way, so that a pattern which ends has cost the archive
little more than it brought.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from empiarfs.core.frames import Frames, Series, are_alike
from empiarfs.core.ranges import ByteRange
from empiarfs.core.runs import Run, Runs

_KiB = 1024
_MiB = 1024 * 1024

# How far a run may go past the length of those before it without being a longer one: the
# kernel reads 128 KiB at a time, and one or two of those beyond what a program wants.
_OVERSHOOT = 256 * _KiB
# What begins like a long sequence may all the same be a frame of this size.
_MOST_EAGER = 8 * _MiB
# What is read of a stack in one go, at least, for the next such to be taken for a frame.
_LARGE_FRAME = _MiB
# A range is no longer than this part of the way from the reader to it.
_NEAR = 3
# Frames below this many bytes count as so long where room is shared out: a piece.
_SMALLEST_FRAME = 64 * _KiB


@dataclass(frozen=True, slots=True)
class ReadAheadConfig:
    """How far ahead to plan; all but the last two in bytes.

    Attributes:
        maximum: Largest window. It must keep the link full for the time that a request
            takes: 120 MB/s for 0.2 s are 24 MB.
        smallest_step: Ranges are so long at least, where a window allows it, and
        largest_step: so long at most. In between, a window is sixteen of them: all
            connections work at some, and some wait, so that none is ever without.
        large: A first read of so many bytes at the file's start comes from a program that
            reads much at a time, and
        eager: one of so many from a program that has announced a sequence.
        runs: How many runs are remembered.
        frames: How many frames of a series are planned ahead at most.
    """

    maximum: int = 32 * _MiB
    smallest_step: int = 256 * _KiB
    largest_step: int = 4 * _MiB
    large: int = 128 * _KiB
    eager: int = 256 * _KiB
    runs: int = 16
    frames: int = 24


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is known of a file's reading before its first read, from its neighbours.

    Attributes:
        stop: Neighbours were read from their start to here, and no further; 0 if nothing
            is known of that.
        planned_to: What lies before this was planned by somebody else.
        window: A window to begin with, in bytes, for a file that will be read whole.
    """

    stop: int = 0
    planned_to: int = 0
    window: int = 0


class ReadAhead:
    """Plans for the readers of one open file. Not thread-safe.

    Args:
        file_size: Size of the file in bytes; nothing is planned beyond it.
        config: How far ahead to plan.
        expected: What is known before the first read.

    Attributes:
        maximum: Largest window, in bytes. Whoever shares a link among several readers
            changes it.
        least_step: Requests below this many bytes cost more than they bring on this link,
            unless a window is that small. Whoever knows the link changes it.
        expected: As given; it holds for the next run that begins at the file's start.
    """

    def __init__(
        self,
        file_size: int,
        config: ReadAheadConfig | None = None,
        expected: Expectation | None = None,
    ) -> None:
        self._file_size = file_size
        self._config = config or ReadAheadConfig()
        self._runs = Runs(self._config.runs)
        self._frames = Frames()
        self.maximum = self._config.maximum
        self.least_step = self._config.smallest_step
        self.expected = expected

    @property
    def window(self) -> int:
        """The window of the run that was read last, in bytes."""
        return self._runs.latest.window if self._runs.latest else 0

    @property
    def is_planned_to_end(self) -> bool:
        """Whether the run that was read last is planned up to the end of the file."""
        run = self._runs.latest
        return run is not None and max(run.planned_to, run.stop) >= self._file_size

    def reopened(self, expected: Expectation | None) -> None:
        """Go on with another handle of the same file: what was read may be read again."""
        self._runs.end_all()
        self.expected = expected

    def asked(self, read: ByteRange) -> tuple[ByteRange, ...]:
        """Return what to prefetch now that `read` was asked for; mostly nothing.

        Args:
            read: Not empty, inside the file.
        """
        run = self._runs.going_on_with(read) or self._begin(read)
        return self._plan(run) if run.hungry else ()

    def starved(self, read: ByteRange) -> tuple[ByteRange, ...]:
        """Return what to prefetch now that `read`, asked for before, has to wait."""
        run = self._runs.holding(read.start)
        if run is None:
            return ()
        run.hungry = True
        self._grow(run)
        series = self._frames.of(run)
        if series is not None:
            room = self.maximum // max(series.length, _SMALLEST_FRAME)
            series.starved(most=min(max(1, room), self._config.frames))
        return self._plan(run)

    # -- what a run is expected to become --------------------------------------------------

    def _begin(self, read: ByteRange) -> Run:
        earlier = list(self._runs.begun)
        run = self._runs.begin(read)
        series = self._frames.begun(run, earlier)
        if series is not None:
            run.bound, run.sure = run.start + series.length, True
            run.hungry = series.ahead > 0
        elif not run.is_island:
            self._foresee_end(run, earlier, self._config.large)
        if run.start == 0:
            run.is_large = len(read) >= self._config.large
            run.is_eager = len(read) >= self._config.eager
            self._begin_as_expected(run)
        return run

    @staticmethod
    def _foresee_end(run: Run, earlier: list[Run], large: int) -> None:
        """Expect the run to be as long as those before it."""
        *_, before, last = None, None, *earlier
        if last is not None and before is not None and are_alike(last.length, before.length):
            run.bound, run.sure = run.start + max(last.length, before.length), True
        elif last is not None and last.reads > 2:
            run.bound = run.start + last.length
            # Much at a time, and after a stretch that took many such: the next frame.
            run.is_frame = run.length >= large and last.length >= _LARGE_FRAME

    def _begin_as_expected(self, run: Run) -> None:
        expected, self.expected = self.expected, None
        if expected is None:
            return
        if expected.stop:
            run.bound, run.sure = expected.stop, False
        run.planned_to = max(run.planned_to, expected.planned_to)
        if expected.window:
            run.window = expected.window
            run.is_large = run.is_eager = run.hungry = True

    # -- how far ahead ---------------------------------------------------------------------

    def _grow(self, run: Run) -> None:
        if run.is_sequence:
            reach = self._reach(run)
            # What began with much at a time isn't in doubt, and a link takes time to fill.
            least = reach if run.is_large and run.length < _MOST_EAGER else 0
            run.window = min(max(2 * run.window or reach, least), reach, self.maximum)

    def _reach(self, run: Run) -> int:
        """Return how many bytes a run of this length may be planned ahead."""
        length = run.length
        if run.is_large:
            if run.upwards > 1:
                return max(_MOST_EAGER, length)
            # The kernel asks for two more such before it is known whether it goes on.
            factor = 8 if run.is_eager else 6 if run.upwards else 2
            return max(min(factor * length, _MOST_EAGER), length)
        # A run from the start of a file goes on more often than one from its middle.
        return length if run.start == 0 else length * 3 // 4

    # -- plans -----------------------------------------------------------------------------

    def _plan(self, run: Run) -> tuple[ByteRange, ...]:
        if not run.window:
            # Hunger came before proof.
            self._grow(run)
        if run.is_backwards:
            return tuple(self._plan_down(run))
        planned = self._plan_up(run)
        series = self._frames.of(run)
        if series is not None and series.ahead:
            planned.extend(self._plan_series(series))
        return tuple(planned)

    def _plan_up(self, run: Run) -> list[ByteRange]:
        end, window = self._file_size, min(run.window, self.maximum)
        if run.bound:
            if run.stop > run.bound + max(_OVERSHOOT, (run.bound - run.start) // 4):
                run.bound = 0
            else:
                end = min(end, run.bound)
                window = max(window, self._trusted(run))
        start = max(run.planned_to, run.stop)
        target = min(run.stop + window, end)
        step = self._step(min(window, target - run.start) if run.bound else window)
        if target <= start or (target - start < step and target < end and start > run.stop):
            return []
        run.planned_to = target
        return split(start, target, step, least=self._config.smallest_step, reader=run.stop)

    def _trusted(self, run: Run) -> int:
        """Return how far to plan for a run because of those before it."""
        if run.sure:
            return self.maximum
        # One predecessor says little, and more together with a sequence.
        is_likely = run.upwards > 1 or run.is_frame
        return min(_MOST_EAGER, self.maximum) if is_likely else 0

    def _plan_down(self, run: Run) -> list[ByteRange]:
        stop = min(run.planned_to, run.start)
        window = min(run.window, self.maximum)
        target = max(0, run.start - window)
        step = self._step(window)
        if target >= stop or (stop - target < step and target > 0 and stop < run.start):
            return []
        run.planned_to = target
        return split(target, stop, step)[::-1]

    def _plan_series(self, series: Series) -> list[ByteRange]:
        step = self._step(series.length * series.ahead)
        return [
            part
            for frame in series.due(self._file_size)
            for part in split(frame.start, frame.stop, step)
        ]

    def _step(self, window: int) -> int:
        step = min(max(window // 16, self._config.smallest_step), self._config.largest_step)
        # Four at least, so that one is read while the others come.
        step = max(step, min(self.least_step, window // 4))
        # On a grid of powers of two, so that ranges end where stored blocks do: the nearest.
        return 1 << ((step * 45 // 32).bit_length() - 1)


def split(start: int, stop: int, step: int, *, least: int = 0, reader: int = 0) -> list[ByteRange]:
    """Return `[start, stop)` cut where the grid of `step` is, but without slivers.

    What lies near a `reader` is cut smaller, where `least` says how small it may be: he is
    there soon, and one connection takes its time for a large range.

    >>> [(part.start, part.stop) for part in split(5, 42, 10)]
    [(5, 10), (10, 20), (20, 30), (30, 42)]
    >>> [len(part) for part in split(0, 128, 32, least=8)]
    [8, 8, 8, 8, 8, 8, 16, 16, 16, 32]
    """
    parts: list[ByteRange] = []
    while least and start < stop:
        near = 1 << max((start - reader) // _NEAR, least).bit_length() - 1
        if near >= step:
            break
        end = min((start // near + 1) * near, stop)
        if stop - end < near // 2:
            end = stop
        parts.append(ByteRange(start, end))
        start = end
    return parts + _even(start, stop, step)


def _even(start: int, stop: int, step: int) -> list[ByteRange]:
    grid = range((start // step + 1) * step, stop, step)
    cuts = [cut for cut in grid if cut - start >= step // 2 and stop - cut >= step // 2]
    return [ByteRange(a, b) for a, b in pairwise([start, *cuts, stop]) if b > a]
