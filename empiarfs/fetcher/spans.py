"""A span: adjacent pieces of one file that are asked for in one GET, and who waits for them.

A span lives from the moment somebody wants its pieces until the last one has come or it has
failed for good. A GET that breaks off in between doesn't end it: what came is kept, and the
next attempt asks for the rest.

Two GETs may be sent for a span at a time, where the first one isn't answered: the one whose
answer comes first *owns* the span and brings its pieces, the other is closed.

Threading: safe from any thread; one condition for each span, so that a piece that comes
wakes those who wait for this span and nobody else.
"""

from __future__ import annotations

import threading
import time
from enum import Enum

from empiarfs.core.blocks import byte_range_of
from empiarfs.core.files import RemoteFile
from empiarfs.core.waits import Course
from empiarfs.errors import EmpiarFSError
from empiarfs.patience import Patience


class SpanAbandoned(Exception):
    """The span was dropped because nobody waited for it, just when somebody came."""


class SpanState(Enum):
    """Where a span is on its way."""

    NEW = "new"  # others may find it already, and want it
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"


class Span:
    """Adjacent pieces of one file, fetched together.

    Attributes:
        file: The version they belong to.
        pieces: Their indices.
        urgent: Somebody waits for one of them; False while they are only foreseen. Changed
            by the queue alone.
        state: Changed by the queue alone.
        attempts: GETs sent for it that brought nothing, in a row.
        foreseen: Those of its pieces that nobody waited for when it was made.
        course: What it waits for.
    """

    def __init__(
        self, file: RemoteFile, pieces: range, *, urgent: bool, wanted_to: int | None = None
    ) -> None:
        """Make a span of which somebody wants all, none, or the pieces below `wanted_to`."""
        if wanted_to is None:
            wanted_to = pieces.stop if urgent else pieces.start
        self.file = file
        self.pieces = pieces
        self.urgent = urgent
        self.foreseen = range(max(pieces.start, min(wanted_to, pieces.stop)), pieces.stop)
        self.state = SpanState.NEW
        self.attempts = 0
        self.course = Course(time.monotonic())
        self._condition = threading.Condition()
        self._buffers: dict[int, memoryview] = {}  # guarded by _condition
        self._next = pieces.start  # guarded by _condition
        self._error: EmpiarFSError | None = None  # guarded by _condition
        self._last_failure: EmpiarFSError | None = None  # guarded by _condition
        self._waiters = 0  # guarded by _condition
        self._abandoned = False  # guarded by _condition
        self._running = 0  # GETs under way; guarded by _condition
        self._owner: object | None = None  # guarded by _condition

    @property
    def size(self) -> int:
        """Bytes of all its pieces."""
        return self.size_of(self.pieces)

    def size_of(self, pieces: range) -> int:
        """Return how many bytes these of its pieces have."""
        return len(byte_range_of(pieces, self.file.size)) if pieces else 0

    def foreseen_size(self, pieces: range) -> int:
        """Return how many bytes of these of its pieces were foreseen only."""
        foreseen = range(max(pieces.start, self.foreseen.start), pieces.stop)
        return self.size_of(foreseen)

    def missing(self) -> range:
        """Return the pieces that have not come yet; they come in order."""
        with self._condition:
            return range(self._next, self.pieces.stop)

    def begin(self) -> None:
        """Say that a GET is under way for the span."""
        with self._condition:
            self._running += 1

    def own(self, attempt: object, first: int) -> bool:
        """Make the GET `attempt`, for pieces from `first` on, the one that brings them.

        Returns:
            False if another one is; or if another has brought some of them and failed, since
            no piece may come twice.
        """
        with self._condition:
            if self._owner is None and first == self._next:
                self._owner = attempt
            return self._owner is attempt

    def is_anothers(self, attempt: object) -> bool:
        """Tell whether another GET than `attempt` brings the pieces."""
        return self._owner is not None and self._owner is not attempt

    def is_answered(self) -> bool:
        """Tell whether a GET brings pieces now, or has brought them all."""
        return self._owner is not None

    def leave(self, attempt: object, *, failed: bool) -> bool:
        """Say that the GET `attempt` is over; tell whether the span's fate is its to decide.

        It is if the GET brought the pieces, or if it failed and no other is under way.
        """
        with self._condition:
            self._running -= 1
            if not failed:
                return True
            if self._owner is attempt:
                self._owner = None
            return self._running == 0 and self._owner is None

    def publish(self, pieces: range, views: list[memoryview]) -> None:
        """Hand out the next pieces; their bytes must not change any more."""
        with self._condition:
            if pieces.start != self._next:
                raise ValueError(f"piece {pieces.start} out of turn, {self._next} is next")
            self._buffers.update(zip(pieces, views, strict=True))
            self._next = pieces.stop
            self._last_failure = None
            if self._waiters:
                self._condition.notify_all()

    def fail(self, error: EmpiarFSError) -> None:
        """End the span: all who wait for a piece that has not come get `error`."""
        with self._condition:
            self._error = error
            self._condition.notify_all()

    def abandon(self) -> bool:
        """End the span unless somebody waits for it; tell whether it ended.

        Whoever comes too late is told so by `take`, and asks anew.
        """
        with self._condition:
            if self._waiters == 0:
                self._abandoned = True
            return self._abandoned

    def note_failure(self, failure: EmpiarFSError) -> None:
        """Remember what went wrong last, as the reason if somebody gives up."""
        with self._condition:
            self._last_failure = failure

    def take(self, piece: int, patience: Patience) -> memoryview:
        """Return the piece as soon as it has come.

        Raises:
            EmpiarFSError: The span failed; or patience is over, with the last failure as
                its cause.
            SpanAbandoned: It was dropped before; ask anew.
        """
        with self._condition:
            if piece not in self._buffers:
                self._wait_for(piece, patience)
            buffer = self._buffers.get(piece)
            if buffer is not None:
                return buffer
            if self._error is not None:
                raise self._error
            raise SpanAbandoned

    def _wait_for(self, piece: int, patience: Patience) -> None:
        # The caller holds _condition.
        account = patience.account
        following = None if account is None else account.follow(self.course, time.monotonic())
        self._waiters += 1
        try:
            patience.wait_for(
                self._condition,
                lambda: piece in self._buffers or self._is_over(),
                lambda: self._last_failure,
            )
        finally:
            self._waiters -= 1
            if following is not None:
                following.end(time.monotonic())

    def _is_over(self) -> bool:
        return self._error is not None or self._abandoned
