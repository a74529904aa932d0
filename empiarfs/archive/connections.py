r"""The connection budget: how many connections this machine has to the archive.

EMPIAR blocks an address, not a program, that opens more than about 25 connections. So the
budget belongs to the machine, all its users and processes together, without a directory, a
right or a daemon: a *slot* is a bound abstract Unix socket, `\0empiarfs-slot-NN`. The kernel
lets one process have it, whoever it is, and takes it back when that process dies.

    name                     held                            means
    -----------------------  ------------------------------  --------------------------------
    \0empiarfs-slot-NN       while a connection may exist    one connection, idle or not; beyond
                                                             every limit, one that cools down
    \0empiarfs-new-NN        one second                      a connection is being opened
    \0empiarfs-renewed-NN    one second                      one is being opened in place of one
                                                             that the archive ended in order
    \0empiarfs-starving-N    while waiting without a slot    others give one up
    \0empiarfs-hungry-N      while waiting with less than    those with more than a third give
                             a third of the limit            one up
    \0empiarfs-refused       as long as the archive asked    429 or 503: only urgent requests,
                             for                             on the reserved slots

A process with the limit N uses slots 00 to N-1. Requests that nobody waits for (foreseen
ones) use those from 02 on; urgent ones try these first and fall back to 00 and 01.

A process that keeps its connections busy would never let go of a slot, and one that only
looks now and then would never find a free one. So who waits shows a sign; a holder that sees
it between two requests, looking ten times a second, closes that connection and stands back
for as long as the other needs to look again. Processes with a third of their limit or more
don't ask for this, so that two busy ones don't spend their time reconnecting.

A connection that the archive never answered may count for a little longer after it was closed.
It cools down on one of the slots beyond the limits of all, 19 downwards, so that its own is free
at once: over a link that swallows one request in 33, those that cool down would otherwise be most
of the connections that a process may have.

Abstract sockets belong to a network namespace, as the address does that EBI sees.

Threading: safe from any thread. One lock guards all fields; nothing blocks under it. Waiters
stand in two queues, urgent ones first, and only the first of all looks for a slot.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from empiarfs.archive.later import Later
from empiarfs.archive.machine_names import bind_name, is_taken
from empiarfs.archive.opening_pace import OpeningPace
from empiarfs.archive.signs import Need, Signs

T = TypeVar("T")

MAX_SLOTS = 20
RESERVED_SLOTS = 2

# How often a waiter looks whether another process gave something back. An urgent look costs
# about 12 binds of 2 µs.
_URGENT_LOOK_S = 0.008
_LOOK_S = 0.02
# Three looks of a waiter in another process.
_STAND_BACK_S = 0.06
_GIVE_WAY_EVERY_S = 0.1


def _never() -> None:
    return None


class Slot:
    """The right to have one connection; `release` gives it back. Not thread-safe.

    Attributes:
        number: Which of the machine's slots it is.
        may_connect: The connection may be opened at once; its pace has been kept to.
    """

    def __init__(
        self, budget: ConnectionBudget, holder: socket.socket, number: int, *, may_connect: bool
    ) -> None:
        self._budget = budget
        self._holder: socket.socket | None = holder
        self.number = number
        self.may_connect = may_connect

    def release(self, after_s: float = 0.0) -> None:
        """Give the slot back, at once or after some seconds; once is enough."""
        holder, self._holder = self._holder, None
        if holder is not None:
            self._budget._release(holder, after_s)


class ConnectionBudget:
    """This process's share of the machine's connections to the archive.

    Args:
        limit: Connections that this process may have at most, 1 to 20.
        prefix: First word of the names; tests use one of their own.
    """

    def __init__(
        self, limit: int, *, prefix: str = "empiarfs", later: Later | None = None
    ) -> None:
        if not 1 <= limit <= MAX_SLOTS:
            raise ValueError(f"between 1 and {MAX_SLOTS} connections, not {limit}")
        self.limit = limit
        self._prefix = prefix
        self._later = later or Later()
        # With one slot there is nothing to reserve, or nothing would ever be foreseen.
        self._reserved = min(RESERVED_SLOTS, limit - 1)
        self._share = max(1, limit // 3)
        self._lock = threading.Lock()
        self._held = 0  # guarded by _lock
        self._cooling = 0  # guarded by _lock
        self._urgent_queue: deque[threading.Condition] = deque()  # guarded by _lock
        self._queue: deque[threading.Condition] = deque()  # guarded by _lock
        self._signs = Signs(prefix)  # guarded by _lock
        self._pace = OpeningPace(prefix, self._later, limit, RESERVED_SLOTS)  # guarded by _lock
        self._refused_sign: socket.socket | None = None  # guarded by _lock
        self._refused_until_s = 0.0  # guarded by _lock
        self._stand_back_until_s = 0.0  # guarded by _lock
        self._next_look_s = 0.0  # guarded by _lock
        self._closed = False  # guarded by _lock

    @property
    def reserved(self) -> int:
        """Slots that only urgent requests may use."""
        return self._reserved

    @property
    def in_use(self) -> int:
        """Slots that this process holds, with idle connections and with those cooling down."""
        with self._lock:
            return self._held + self._cooling

    def try_acquire(
        self, *, urgent: bool, connecting: bool = False, awaited: bool = False
    ) -> Slot | None:
        """Return a slot if one can be had at once without overtaking anybody, else None.

        Args:
            urgent: Whether somebody waits for the answer.
            connecting: Only if a connection may be opened at once, too.
            awaited: See `acquire`.
        """
        with self._lock:
            if self._urgent_queue or (self._queue and not urgent):
                return None
            return self._take(urgent, connecting, urgent or awaited)

    def has_room(self, *, urgent: bool) -> bool:
        """Tell whether a slot is free, whatever the pace says."""
        return any(
            not is_taken(f"{self._prefix}-slot-{number:02}") for number in self._numbers(urgent)
        )

    def acquire(
        self,
        *,
        urgent: bool,
        check: Callable[[], None] = _never,
        instead: Callable[[], T | None] = _never,
        connecting: bool = False,
        awaited: bool = False,
    ) -> Slot | T:
        """Wait for a slot, or for what does as well.

        Args:
            urgent: Whether somebody waits for the answer.
            check: Called several times a second while waiting; ends the wait by raising.
            instead: Returns something better than a slot, an idle connection, or None. Asked
                before each look for a slot; called with the budget's lock held.
            connecting: Take a slot only if a connection may be opened at once, too: one that
                comes back idle may be sooner there than the next second.
            awaited: Connect at the pace of what is urgent, since somebody waits for many
                answers of which this is one; the reserved slots stay free.
        """
        queue = self._urgent_queue if urgent else self._queue
        with self._lock:
            turn = threading.Condition(self._lock)
            queue.append(turn)
            self._show_sign()
        try:
            while True:
                check()
                with self._lock:
                    # Only the first one looks: a hundred waiters cost no more than one.
                    is_first = turn is self._first_waiter()
                    found: Slot | T | None = None
                    if is_first and (urgent or not self._is_refused()):
                        found = instead()
                    if is_first and found is None:
                        found = self._take(urgent, connecting, urgent or awaited)
                    if found is not None:
                        return found
                    look_s = _URGENT_LOOK_S if urgent else _LOOK_S
                    turn.wait(look_s if is_first else 0.1)
        finally:
            with self._lock:
                queue.remove(turn)
                self._show_sign()
                self._wake_first()

    def wake(self) -> None:
        """Let the first who waits look again, since there is an idle connection."""
        with self._lock:
            self._wake_first()

    @property
    def waiting(self) -> int:
        """How many threads of this process wait for a slot."""
        return len(self._urgent_queue) + len(self._queue)

    def note_ended(self) -> None:
        """Say that the archive ended a connection in order, so that another may replace it."""
        with self._lock:
            self._pace.note_ended()

    def wait_to_connect(self, *, urgent: bool = True, check: Callable[[], None] = _never) -> None:
        """Wait until the machine may open one more connection.

        Args:
            urgent: Whether somebody waits for it; two of the ten a second are kept for those.
            check: Called while waiting; ends the wait by raising.
        """
        while True:
            with self._lock:
                if self._pace.may_open(urgent=urgent):
                    return
            check()
            # Names come free in other processes, too, and of that nobody is told.
            time.sleep(_LOOK_S)

    def should_give_way(self) -> bool:
        """Tell whether a connection between two requests should be closed for another process.

        True at most ten times a second; the process then takes no slot for a moment, so
        that whoever waits finds it.
        """
        now_s = time.monotonic()
        with self._lock:
            if now_s < self._next_look_s:
                return False
            self._next_look_s = now_s + _GIVE_WAY_EVERY_S
            generous = self._held > self._share and self._signs.others_show("hungry")
            if not generous and not self._signs.others_show("starving"):
                return False
            self._stand_back_until_s = now_s + _STAND_BACK_S
            return True

    def slow_down(self, seconds: float) -> None:
        """Make every process of the machine ask more slowly for some seconds."""
        with self._lock:
            until_s = time.monotonic() + seconds
            self._refused_until_s = max(self._refused_until_s, until_s)
            if self._refused_sign is None and not self._closed:
                self._refused_sign = bind_name(f"{self._prefix}-refused")
                self._later.after(seconds, self._end_refusal)

    @property
    def refused(self) -> bool:
        """Whether the archive asked a process of this machine for fewer requests."""
        with self._lock:
            return self._is_refused()

    def close(self) -> None:
        """Give back what is kept for later; slots that are held stay with their holders."""
        with self._lock:
            self._closed = True
            self._refused_until_s = 0.0
            self._wake_first()
        self._later.run_all()

    def _take(self, urgent: bool, connecting: bool, awaited: bool) -> Slot | None:
        # The caller holds _lock.
        if time.monotonic() < self._stand_back_until_s:
            return None
        if not urgent and (self._urgent_queue or self._is_refused()):
            return None
        for number in self._numbers(urgent):
            holder = bind_name(f"{self._prefix}-slot-{number:02}")
            if holder is not None:
                if connecting and not self._pace.may_open(urgent=awaited):
                    holder.close()
                    return None
                self._held += 1
                self._show_sign()
                return Slot(self, holder, number, may_connect=connecting)
        return None

    def _numbers(self, urgent: bool) -> tuple[int, ...]:
        common = tuple(range(self._reserved, self.limit))
        reserved = tuple(range(self._reserved))
        if not urgent:
            return common
        # While the archive refuses, what is urgent trickles through the reserved slots.
        return (reserved or common[:1]) if self._is_refused() else common + reserved

    def _is_refused(self) -> bool:
        if time.monotonic() < self._refused_until_s:
            return True
        return self._refused_sign is None and is_taken(f"{self._prefix}-refused")

    def _end_refusal(self) -> None:
        with self._lock:
            left_s = self._refused_until_s - time.monotonic()
            if left_s > 0:
                self._later.after(left_s, self._end_refusal)
                return
            if self._refused_sign is not None:
                self._refused_sign.close()
                self._refused_sign = None
            self._wake_first()

    def _release(self, holder: socket.socket, after_s: float) -> None:
        if after_s > 0 and not self._closed and not self._cool_elsewhere(after_s):
            self._later.after(after_s, partial(self._release, holder, 0.0))
            return
        with self._lock:
            holder.close()
            self._held -= 1
            self._show_sign()
            self._wake_first()

    def _cool_elsewhere(self, seconds: float) -> bool:
        """Let a connection count for some seconds on a slot beyond the limit, if one is free."""
        with self._lock:
            most = min(MAX_SLOTS - self.limit, 2 * self.limit // 3)
            if self._cooling >= most:
                return False
            for number in range(MAX_SLOTS - 1, self.limit - 1, -1):
                holder = bind_name(f"{self._prefix}-slot-{number:02}")
                if holder is not None:
                    self._cooling += 1
                    self._later.after(seconds, partial(self._end_cooling, holder))
                    return True
        return False

    def _end_cooling(self, holder: socket.socket) -> None:
        with self._lock:
            holder.close()
            self._cooling -= 1

    def _first_waiter(self) -> threading.Condition | None:
        for queue in (self._urgent_queue, self._queue):
            if queue:
                return queue[0]
        return None

    def _wake_first(self) -> None:
        first = self._first_waiter()
        if first is not None:
            first.notify()

    def _show_sign(self) -> None:
        """Show what others should know of this process; the caller holds the lock."""
        need: Need | None = None
        if self._first_waiter() is not None:
            if self._held == 0:
                need = "starving"
            elif self._held < self._share:
                need = "hungry"
        self._signs.show(need)
