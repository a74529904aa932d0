"""The queue of spans: which one is fetched next.

What somebody waits for goes before what was foreseen, and foreseen spans never take the
last connections: `foreseen_limit` of them run at once at most. A span that is to be asked
for again after a delay stands aside until it is due.

Threading: one condition guards everything; `state` and `urgent` of a span are changed here
and nowhere else.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from empiarfs.fetcher.spans import Span, SpanState


class SpanQueue:
    """Hands spans to the threads that fetch them.

    Args:
        foreseen_limit: How many foreseen spans may run at once.
    """

    def __init__(self, foreseen_limit: int) -> None:
        self._foreseen_limit = foreseen_limit
        self._condition = threading.Condition()
        self._urgent: deque[Span] = deque()  # guarded by _condition
        self._foreseen: deque[Span] = deque()  # guarded by _condition
        self._delayed: list[tuple[float, int, Span]] = []  # guarded by _condition
        self._order = count()
        self._foreseen_running = 0  # guarded by _condition
        self._idle = 0  # guarded by _condition
        self._closed = False  # guarded by _condition

    def put_new(self, span: Span) -> None:
        """Queue a span that was just made, unless somebody has found and wanted it already."""
        with self._condition:
            if span.state is not SpanState.NEW:
                return
            span.state = SpanState.QUEUED
            self._enqueue(span)
            self._condition.notify()

    def put(self, span: Span, delay_s: float = 0.0) -> None:
        """Queue the span again, to be taken not before `delay_s` have passed."""
        with self._condition:
            span.state = SpanState.QUEUED
            if delay_s > 0:
                due = time.monotonic() + delay_s
                heapq.heappush(self._delayed, (due, next(self._order), span))
            else:
                self._enqueue(span)
            self._condition.notify()

    def make_urgent(self, span: Span) -> None:
        """Let a queued span that was only foreseen go before all others that are."""
        with self._condition:
            if span.urgent:
                return
            span.urgent = True
            if span.state is SpanState.NEW:
                span.state = SpanState.QUEUED
                self._urgent.append(span)
                self._condition.notify()
            elif span.state is SpanState.QUEUED:
                # One that stands aside stays there: the archive may have asked us to wait.
                if all(delayed is not span for _, _, delayed in self._delayed):
                    # While there is urgent work, what is foreseen isn't looked at: left in
                    # its old place, the span would keep all its pieces for as long.
                    with suppress(ValueError):
                        self._foreseen.remove(span)
                    self._urgent.append(span)
                self._condition.notify()
            elif span.state is SpanState.RUNNING:
                # It keeps its connection, and no longer counts as foreseen.
                self._foreseen_running -= 1
                self._condition.notify()

    def take(self, idle_s: float) -> Span | None:
        """Wait for a span that may run; None after `idle_s` without one, or once closed."""
        give_up = time.monotonic() + idle_s
        with self._condition:
            self._idle += 1
            try:
                while not self._closed:
                    self._admit_due()
                    span = self._next()
                    if span is not None:
                        return span
                    now = time.monotonic()
                    if now >= give_up:
                        return None
                    due = self._delayed[0][0] if self._delayed else give_up
                    self._condition.wait(max(0.001, min(due, give_up) - now))
                return None
            finally:
                self._idle -= 1

    def done(self, span: Span) -> None:
        """Say that a taken span no longer runs; call it before putting the span back."""
        with self._condition:
            if not span.urgent:
                self._foreseen_running -= 1
            span.state = SpanState.DONE
            self._condition.notify()

    def idle_takers(self) -> int:
        """Return how many threads wait in `take`."""
        with self._condition:
            return self._idle

    def waiting(self) -> int:
        """Return how many spans are queued, delayed ones included."""
        with self._condition:
            return len(self._urgent) + len(self._foreseen) + len(self._delayed)

    def drop(self, unwanted: Callable[[Span], bool]) -> list[Span]:
        """Remove and return the foreseen spans that don't run yet and are `unwanted`."""
        with self._condition:
            dropped = [
                s
                for s in self._foreseen
                if s.state is SpanState.QUEUED and not s.urgent and unwanted(s)
            ]
            for span in dropped:
                span.state = SpanState.DONE
            gone = set(map(id, dropped))
            self._foreseen = deque(s for s in self._foreseen if id(s) not in gone)
            return dropped

    def close(self) -> list[Span]:
        """End every `take`, now and later, and return the spans that never ran."""
        with self._condition:
            self._closed = True
            left = [*self._urgent, *self._foreseen, *(span for _, _, span in self._delayed)]
            self._urgent.clear()
            self._foreseen.clear()
            self._delayed.clear()
            self._condition.notify_all()
            return [s for s in left if s.state is SpanState.QUEUED]

    def _enqueue(self, span: Span) -> None:
        (self._urgent if span.urgent else self._foreseen).append(span)

    def _admit_due(self) -> None:
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self._enqueue(heapq.heappop(self._delayed)[2])

    def _next(self) -> Span | None:
        while self._urgent:
            span = self._urgent.popleft()
            if span.state is SpanState.QUEUED:
                span.state = SpanState.RUNNING
                return span
        while self._foreseen and self._foreseen_running < self._foreseen_limit:
            span = self._foreseen.popleft()
            if span.state is SpanState.QUEUED and not span.urgent:
                span.state = SpanState.RUNNING
                self._foreseen_running += 1
                return span
        return None
