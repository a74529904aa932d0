"""Lines to the archive: one slot, and one connection in it.

A `Line` is what a thread borrows to send requests: those of the requests library, for which
it is a `SessionLine` (session.py), and HEAD requests back to back, for which it is a
`PipelineLine` (pipeline.py), by turns. A line that comes back in order is kept for the
next request: two of them for four seconds, since an idle connection holds a slot that
another process may want and Apache closes it after five; more for half a second, in
which a stream asks again. Only ten new ones a second may be opened.

How a line ends says what its slot does:

    end                                            connection   slot
    ---------------------------------------------  -----------  ------------------------
    in order, kept, later closed                   FIN          free at once
    cancelled, preempted, refused by our checks    RST          free at once
    stalled: the archive never answered            RST          free after one second

The last since a firewall between may count the abandoned connection a little longer.

When an urgent request has to wait for a slot, the youngest foreseen request of this process
gives its line up.

Threading: a line belongs to the thread that borrowed it; `Lines` is safe from any thread.
`_lock` is never held while a socket is used; the budget's lock may be held around it.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from empiarfs import threads
from empiarfs.archive.connections import ConnectionBudget, Slot
from empiarfs.archive.later import Later
from empiarfs.archive.sockets import AnySocket, Breaker, cut
from empiarfs.archive.watch import Watch
from empiarfs.errors import EmpiarFSError, InterruptedCallError, StalledError

logger = logging.getLogger(__name__)

MAX_IDLE = 2
IDLE_S = 4.0
SURPLUS_S = 0.6
_COOL_DOWN_S = 1.0


class Line:
    """A slot and the connection in it; belongs to the thread that borrowed it.

    Attributes:
        slot: The right to have the connection.
        urgent: Whether somebody waits for what it carries now.
        reused: Whether the connection has carried a request before.
        requests_left: How many more requests the archive takes on this connection, or None
            if it doesn't say.
        idle_s: For how long it may be idle.
        is_clean: Whether the connection could carry another request.
    """

    def __init__(self) -> None:
        self.slot: Slot | None = None
        self.urgent = True
        self.reused = False
        self.requests_left: int | None = None
        self.idle_s = IDLE_S
        self.is_clean = False
        self.socket: AnySocket | None = None
        self.breaker: Breaker | None = None

    def attach(self, connection: AnySocket, breaker: Breaker) -> None:
        """Take over a new connection."""
        self.socket = connection
        self.breaker = breaker
        self.reused = False
        self.requests_left = None
        self.idle_s = IDLE_S

    def note_keep_alive(self, text: str) -> None:
        """Take note of an answer's Keep-Alive header, such as `timeout=5, max=87`, or ""."""
        if self.requests_left:
            self.requests_left -= 1
        for item in text.split(","):
            name, _, value = item.strip().partition("=")
            if value.isdecimal() and len(value) < 9:
                if name.lower() == "max":
                    self.requests_left = int(value)
                elif name.lower() == "timeout":
                    # A second early: the archive's clock started before ours.
                    self.idle_s = min(IDLE_S, int(value) - 1.0)

    def hang_up(self, *, reset: bool) -> None:
        """Close the connection; the slot stays."""
        connection, self.socket = self.socket, None
        breaker, self.breaker = self.breaker, None
        if breaker is not None:
            breaker.close(reset=reset)
        if connection is not None:
            connection.watch = None
            cut(connection, reset=reset)
        self.is_clean = False


L = TypeVar("L", bound=Line)


class _Loan(Generic[L]):
    """One borrowed line, for whoever may want to end it."""

    def __init__(self, line: L, watch: Watch, urgent: bool) -> None:
        self.line = line
        self.watch = watch
        self.urgent = urgent
        self.preempted = False

    def end(self, error: EmpiarFSError) -> None:
        self.watch.cancel(error)
        breaker = self.line.breaker
        if breaker is not None:
            breaker.trip()


class Lines(Generic[L]):
    """All lines of a process.

    Args:
        budget: Hands out the slots.
        later: Closes idle lines at their time.
        make: Makes a line, without a connection.
    """

    def __init__(self, budget: ConnectionBudget, later: Later, make: Callable[[], L]) -> None:
        self._budget = budget
        self._make = make
        self._later = later
        self._lock = threading.Lock()
        self._idle: list[tuple[float, L]] = []  # until when, oldest first; guarded by _lock
        self._loans: dict[int, _Loan[L]] = {}  # in order of time; guarded by _lock
        self._numbers = itertools.count()
        self._expiry_planned = False  # guarded by _lock
        self._closed = False  # guarded by _lock

    @property
    def in_flight(self) -> int:
        """How many lines are borrowed."""
        with self._lock:
            return len(self._loans)

    @contextmanager
    def borrowed(self, watch: Watch, *, urgent: bool, awaited: bool = False) -> Iterator[L]:
        """Lend a line for one request, or a row of them.

        The block must leave `is_clean` true if the connection may carry another request;
        an exception that leaves the block makes it end with a reset.

        Args:
            watch: Of the request; its `check` ends the wait for a slot.
            urgent: Whether somebody waits for the answer.
            awaited: Whether somebody waits for many, of which it is one.
        """
        line = self._obtain(watch, urgent, awaited)
        line.urgent = urgent
        number = next(self._numbers)
        with self._lock:
            self._loans[number] = _Loan(line, watch, urgent)
            closed = self._closed
        error: BaseException | None = None
        try:
            if closed:
                watch.cancel(InterruptedCallError("the archive client is closed"))
            watch.check()
            yield line
        except BaseException as exc:
            error = exc
            raise
        finally:
            with self._lock:
                del self._loans[number]
            self._take_back(line, error)

    def prepare(self, count: int, connect: Callable[[L], None]) -> None:
        """Have up to `count` connections at hand soon, if the budget and its pace allow it.

        Args:
            count: Connections, those in use and idle ones included.
            connect: Connects a line; called in a thread of its own.
        """
        with self._lock:
            missing = 0 if self._closed else count - len(self._idle) - len(self._loans)
        for _ in range(missing):
            slot = self._budget.try_acquire(urgent=False, connecting=True)
            if slot is None:
                return
            if threads.start("connect", self._connect, slot, connect) is None:
                slot.release()
                return

    def _connect(self, slot: Slot, connect: Callable[[L], None]) -> None:
        line = self._make()
        line.slot = slot
        line.urgent = False
        try:
            connect(line)
        except EmpiarFSError as exc:
            logger.debug("no connection at hand: %s", exc)
            self._discard(line, reset=True)
        except BaseException:
            self._discard(line, reset=True)
            raise
        else:
            self._keep(line)

    def end_all(self, error: EmpiarFSError) -> None:
        """Close idle lines and end what is in flight with `error`."""
        with self._lock:
            idle, self._idle = self._idle, []
            for loan in self._loans.values():
                loan.end(error)
        for _, line in idle:
            self._discard(line, reset=False)

    def close(self) -> None:
        """End everything, now and in future."""
        with self._lock:
            self._closed = True
        self.end_all(InterruptedCallError("the archive client is closed"))

    def _obtain(self, watch: Watch, urgent: bool, awaited: bool) -> L:
        watch.check()
        line = None if self._is_held_back(urgent) else self._from_idle(urgent)
        if line is not None:
            return line
        slot = self._budget.try_acquire(urgent=urgent, connecting=True, awaited=awaited)
        if slot is None:
            if urgent and not self._budget.has_room(urgent=urgent):
                self._preempt()
            found = self._budget.acquire(
                urgent=urgent,
                check=watch.check,
                instead=lambda: self._from_idle(urgent),
                connecting=True,
                awaited=awaited,
            )
            if not isinstance(found, Slot):
                return found
            slot = found
        try:
            line = self._make()
        except BaseException:
            slot.release()
            raise
        line.slot = slot
        return line

    def _is_held_back(self, urgent: bool) -> bool:
        return not urgent and (self._budget.waiting > 0 or self._budget.refused)

    def _from_idle(self, urgent: bool) -> L | None:
        lowest = 0 if urgent else self._budget.reserved
        now_s = time.monotonic()
        with self._lock:
            # The youngest first: the others reach their end undisturbed.
            for index in range(len(self._idle) - 1, -1, -1):
                until_s, line = self._idle[index]
                fits = line.slot is not None and line.slot.number >= lowest
                if until_s > now_s and fits:
                    del self._idle[index]
                    line.reused = True
                    return line
        return None

    def _take_back(self, line: L, error: BaseException | None) -> None:
        if error is not None or not line.is_clean or line.socket is None:
            stalled = isinstance(error, StalledError)
            self._discard(line, reset=True, after_s=_COOL_DOWN_S if stalled else 0.0)
        elif line.requests_left == 0:
            self._discard(line, reset=False)
            self._budget.note_ended()
        elif line.idle_s <= 0 or self._budget.should_give_way():
            self._discard(line, reset=False)
        else:
            self._keep(line)

    def _keep(self, line: L) -> None:
        if line.socket is not None:
            line.socket.watch = None
        now_s = time.monotonic()
        with self._lock:
            closed = self._closed
            if not closed:
                # One that has carried nothing yet may still be on its way: the last to be taken.
                place = len(self._idle) if line.reused else 0
                self._idle.insert(place, (now_s + line.idle_s, line))
                # Waiters take theirs in a moment.
                surplus = max(0, len(self._idle) - MAX_IDLE - self._budget.waiting)
                for index, (until_s, each) in enumerate(self._idle[:surplus]):
                    self._idle[index] = (min(until_s, now_s + SURPLUS_S), each)
                if surplus:
                    self._later.after(SURPLUS_S, self._close_expired)
                self._plan_expiry()
        if closed:
            self._discard(line, reset=False)
        self._budget.wake()

    def _plan_expiry(self) -> None:
        # The caller holds _lock.
        if self._idle and not self._expiry_planned:
            self._expiry_planned = True
            first_s = min(until_s for until_s, _ in self._idle)
            self._later.after(max(0.0, first_s - time.monotonic()), self._close_expired)

    def _close_expired(self) -> None:
        now_s = time.monotonic()
        with self._lock:
            self._expiry_planned = False
            expired = [line for until_s, line in self._idle if until_s <= now_s]
            self._idle = [item for item in self._idle if item[0] > now_s]
            self._plan_expiry()
        for line in expired:
            self._discard(line, reset=False)

    def _preempt(self) -> None:
        with self._lock:
            for loan in reversed(self._loans.values()):
                if not loan.urgent and not loan.preempted:
                    loan.preempted = True
                    loan.end(InterruptedCallError("gave way to a request that somebody awaits"))
                    return

    def _discard(self, line: Line, *, reset: bool, after_s: float = 0.0) -> None:
        slot, line.slot = line.slot, None
        try:
            line.hang_up(reset=reset)
        finally:
            if slot is not None:
                slot.release(after_s)
