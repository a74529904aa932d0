"""One GET for a span, of which two may be under way at a time.

Threading: belongs to the thread that sends the GET; nothing here needs a lock.
"""

from __future__ import annotations

import time

from empiarfs.core.waits import Wait
from empiarfs.fetcher.spans import Span

# What nobody waits for yet may be late by so many times as much before it is asked for again.
_FORESEEN_PATIENCE = 1.25


class Attempt:
    """One GET for a span.

    Attributes:
        span: What it is for.
        missing: The pieces that it asks for.
        token: Stands for it in the span. Were it the attempt itself, the two would hold
            each other, with all pieces, until the collector of garbage comes.
        sent_s: When it was sent, by the monotonic clock; a wait for a connection doesn't
            count.
        answered_s: When its first byte had come.
        last: The last pieces, which have come and aren't handed out yet.
        is_hedge: Whether it is the second GET for the span.
        is_hedged: Whether there is a second GET because this one isn't answered, or is it.
    """

    def __init__(self, span: Span, *, is_hedge: bool = False) -> None:
        span.begin()
        self.span = span
        self.missing = span.missing()
        self.token = object()
        self.sent_s: float = float("inf")
        self.answered_s: float = float("inf")
        self.last: tuple[range, list[memoryview]] | None = None
        self.is_hedge = is_hedge
        self.is_hedged = is_hedge

    def turned(self, wait: Wait) -> None:
        """Note what it waits for; the span waits for the same, if this brings its pieces."""
        now_s = time.monotonic()
        if wait is Wait.FIRST_BYTE:
            self.sent_s = now_s
        span = self.span
        # Until the second request is answered, the first one's course is the span's.
        if not span.is_anothers(self.token) and (not self.is_hedge or span.is_answered()):
            span.course.turn(wait, now_s)

    @property
    def is_sent(self) -> bool:
        """Whether the request is, or was, on its way."""
        return self.sent_s != float("inf")

    def late_s(self) -> float:
        """Return how long it has not been answered; less for what nobody waits for yet."""
        waited_s = time.monotonic() - self.sent_s
        return waited_s if self.span.urgent else waited_s / _FORESEEN_PATIENCE
