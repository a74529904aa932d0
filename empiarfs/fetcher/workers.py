"""The threads that fetch spans: one GET at a time each, asking again where that breaks off.

A GET for what somebody waits for is sent a second time when its first byte is late
(`hedges` says when); whichever is answered first brings the pieces.

Threading: threads are started when there is work and end after a while without. Each runs
one span at a time; what they share lies in the queue and in the table of flights.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from functools import partial

from empiarfs import threads
from empiarfs.archive.client import ArchiveClient
from empiarfs.archive.hedges import Hedges
from empiarfs.cache.speed_file import SpeedLog
from empiarfs.cache.writebehind import WriteBehind
from empiarfs.core.blocks import PIECE_SIZE, byte_range_of
from empiarfs.core.retry import RetryPolicy
from empiarfs.core.waits import Wait
from empiarfs.errors import (
    BadResponseError,
    BusyError,
    EmpiarFSError,
    InterruptedCallError,
    OfflineError,
    without_frames,
)
from empiarfs.fetcher.attempts import Attempt
from empiarfs.fetcher.buffers import buffer
from empiarfs.fetcher.flights import Flights
from empiarfs.fetcher.queue import SpanQueue
from empiarfs.fetcher.spans import Span
from empiarfs.patience import Patience
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

# A thread without work ends after this long, in seconds.
_IDLE_S = 30.0
# While the archive is out of reach the client refuses at once and probes now and then; a
# span asks this often, so that one of them is the probe and all go on soon after it.
_OFFLINE_PAUSE_S = 1.0
# Long enough for the request that needed the connection to take it.
_AFTER_GIVING_WAY_S = 0.05
# How often a span that nobody waits for is tried before it is dropped.
_FORESEEN_ATTEMPTS = 2
# Pieces that come within this time are handed out together, in seconds; but no more than
# half a block, so that a buffer that lives on for one piece's sake is a small one.
_MOMENT_S = 0.02
_MOST_TOGETHER = 8
# Spans below this many bytes say more about round trips than about speed.
_SPEED_SAMPLE = 256 * 1024
# Below this part of the best lately, connections are held up by each other. The best is
# forgotten slowly: within a thousand spans.
_SHARED = 0.7
_FORGETTING = 0.002


class Workers:
    """Fetches the spans of a queue.

    Args:
        client: Sends the GETs.
        queue: Says which span is next.
        flights: Gets the pieces.
        pending: Gets the pieces, for the disk.
        counters: Counts what happens.
        retry: When to ask again.
        limit: How many threads at most.
        speeds: Is told what comes, and when; None if nobody wants to know.
    """

    def __init__(
        self,
        client: ArchiveClient,
        queue: SpanQueue,
        flights: Flights,
        pending: WriteBehind,
        counters: Counters,
        retry: RetryPolicy,
        limit: int,
        speeds: SpeedLog | None = None,
    ) -> None:
        self._client = client
        self._queue = queue
        self._flights = flights
        self._pending = pending
        self._counters = counters
        self._retry = retry
        self._limit = limit
        self._speeds = speeds
        self._lock = threading.Lock()
        self._threads = 0  # guarded by _lock
        self._closed = False
        self._hedges = Hedges()
        # Bytes a second of one connection; to begin with, EMPIAR's as seen from the US.
        self._speed = 1.5e6
        self._best = 0.0

    @property
    def speed(self) -> float:
        """Bytes a second that one connection brought lately, while it brought any."""
        return self._speed

    @property
    def shares_link(self) -> bool:
        """Whether connections bring less, now that there are several, than one could."""
        return self._speed < _SHARED * self._best

    @property
    def threads(self) -> int:
        """How many threads there are."""
        return self._threads

    def queue(self, spans: list[Span]) -> None:
        """Queue the spans, and see to it that there are threads for them."""
        for span in spans:
            self._queue.put_new(span)
        with self._lock:
            self._start(len(spans) - self._queue.idle_takers())

    def attend(self) -> bool:
        """Return whether there is a thread at all, after an attempt to start one if not."""
        if not self._threads:
            with self._lock:
                if not self._threads:
                    self._start(1)
        return bool(self._threads)

    def _start(self, count: int) -> None:
        # The caller holds _lock. Where the machine gives no more, those that there are do the
        # work.
        for _ in range(min(count, self._limit - self._threads)):
            if threads.start("fetch", self._serve) is None:
                break
            self._threads += 1

    def close(self) -> None:
        """Fail all spans and end the threads."""
        self._closed = True
        closing = InterruptedCallError("the file system is being unmounted")
        left = self._flights.close()
        for span in {*left, *self._queue.close()}:
            self._flights.ended(span)
            span.fail(closing)
        if self._speeds is not None:
            self._speeds.close()

    def end(self, span: Span, error: EmpiarFSError | None) -> None:
        """Say that the span brings nothing more; those who still wait get `error`."""
        self._flights.ended(span)
        if error is not None:
            span.fail(error)

    def _serve(self) -> None:
        while True:
            span = self._queue.take(_IDLE_S)
            if span is None:
                with self._lock:
                    # A span that came just now found this thread idle and started none.
                    if self._closed or not self._queue.waiting():
                        self._threads -= 1
                        return
                continue
            try:
                self._fetch(span)
            except Exception as exc:
                logger.exception("fetching %r failed unexpectedly", span.file.path)
                self._queue.done(span)
                self.end(span, BadResponseError(f"unexpected: {exc!r}", url=span.file.path))
            # An idle thread must not keep the pieces of its last span.
            del span

    def _fetch(self, span: Span) -> None:
        """Send one GET for what is missing of the span."""
        attempt = Attempt(span)
        failure = self._try(attempt)
        self._queue.done(span)
        self._conclude(attempt, failure)

    def _hedge(self, attempt: Attempt) -> None:
        """Send a second GET for a span whose first one isn't answered."""
        try:
            failure = self._try(attempt)
        except Exception as exc:
            path = attempt.span.file.path
            logger.exception("asking a second time for %r failed unexpectedly", path)
            failure = BadResponseError(f"unexpected: {exc!r}", url=path)
        finally:
            self._hedges.ended()
        self._conclude(attempt, failure)

    def _try(self, attempt: Attempt) -> EmpiarFSError | None:
        """Send one GET; return why it brought less than it should, or None."""
        span = attempt.span
        failure = None
        wanted = byte_range_of(attempt.missing, span.file.size)
        came = 0
        try:
            self._client.read_range(
                span.file,
                wanted,
                self._receive(attempt),
                urgent=span.urgent,
                patience=Patience(float("inf")),
                cancelled=lambda: self._is_pointless(attempt),
                turned=partial(self._turned, attempt),
                became_urgent=lambda: span.urgent,
            )
            came = len(wanted)
        except EmpiarFSError as exc:
            # Its frames hold the pieces received so far, and would hold the span by this one.
            failure = without_frames(exc)
        finally:
            if self._speeds is not None and attempt.is_sent:
                self._speeds.ended(came)
        if attempt.last is not None:
            # Only now is the connection idle, for what the reader asks for next.
            self._hand_out(span, *attempt.last)
            attempt.last = None
        return failure

    def _turned(self, attempt: Attempt, wait: Wait) -> None:
        """Note what the request waits for; a connection that was closed takes two."""
        if wait is Wait.FIRST_BYTE and self._speeds is not None and not attempt.is_sent:
            self._speeds.began()
        attempt.turned(wait)

    def _is_pointless(self, attempt: Attempt) -> bool:
        """Tell whether to end the GET; asked ten times a second while it waits."""
        span = attempt.span
        if self._closed or span.is_anothers(attempt.token):
            return True
        is_open = not attempt.is_hedged and not span.is_answered()
        if is_open and self._hedges.begin(attempt.late_s(), self._client.range_latency()):
            attempt.is_hedged = True
            self._start_hedge(span)
        return False

    def _start_hedge(self, span: Span) -> None:
        # From here on it counts as under way: if the first GET fails before the thread runs,
        # the span's fate isn't that one's to decide.
        hedge = Attempt(span, is_hedge=True)
        span.course.hedges += 1
        self._counters.add("hedges")
        if threads.start("hedge", self._hedge, hedge) is None:
            span.course.hedges -= 1
            self._counters.add("hedges", -1)
            self._hedges.ended()
            span.leave(hedge.token, failed=True)

    def _conclude(self, attempt: Attempt, failure: EmpiarFSError | None) -> None:
        span = attempt.span
        decides = span.leave(attempt.token, failed=failure is not None)
        if failure is None:
            self.end(span, None)
            self._hedges.answered()
            took_s = time.monotonic() - attempt.answered_s
            size = len(byte_range_of(attempt.missing, span.file.size))
            if size >= _SPEED_SAMPLE and took_s > 0:
                speed = size / took_s
                self._speed += 0.2 * (speed - self._speed)
                self._best = max(speed, self._best + _FORGETTING * (self._speed - self._best))
        elif decides and span.missing():
            self._after_failure(span, failure, progressed=span.missing() != attempt.missing)

    def _receive(self, attempt: Attempt) -> Iterator[memoryview]:
        """Yield buffers for the missing pieces, and hand out what is in each once it is full."""
        span = attempt.span
        if not span.own(attempt.token, attempt.missing.start):
            raise InterruptedCallError("another answer came first")
        attempt.answered_s = time.monotonic()
        # Of a second request it is known only now that it speaks for the span.
        attempt.turned(Wait.BYTES)
        together = self._pieces_together()
        for start in range(attempt.missing.start, attempt.missing.stop, together):
            pieces = range(start, min(start + together, attempt.missing.stop))
            size = len(byte_range_of(pieces, span.file.size))
            received = buffer(size)
            yield received
            views = [received[i : i + PIECE_SIZE] for i in range(0, size, PIECE_SIZE)]
            if pieces.stop < attempt.missing.stop:
                self._hand_out(span, pieces, views)
            else:
                attempt.last = (pieces, views)

    def _hand_out(self, span: Span, pieces: range, views: list[memoryview]) -> None:
        foreseen = span.foreseen_size(pieces)
        if foreseen:
            self._counters.add("prefetched_bytes", foreseen)
            self._counters.add("foreseen_unused_bytes", foreseen)
        self._flights.arrived(span, pieces, views)
        span.publish(pieces, views)
        self._pending.add(span.file, pieces, views)

    def _pieces_together(self) -> int:
        """Return how many pieces to receive into one buffer: what comes in a moment.

        One at a time, a fast link spends more time on handing pieces over than on bytes.
        """
        return min(max(1, int(self._speed * _MOMENT_S) // PIECE_SIZE), _MOST_TOGETHER)

    def _after_failure(self, span: Span, failure: EmpiarFSError, *, progressed: bool) -> None:
        """Queue the span again after a while, or end it."""
        span.note_failure(failure)
        if not isinstance(failure, InterruptedCallError):
            span.course.failed(type(failure).__name__)
        span.course.turn(_pause_after(failure), time.monotonic())
        span.attempts = 1 if progressed else span.attempts + 1
        if span.attempts >= _FORESEEN_ATTEMPTS and span.abandon():
            self.end(span, None)
            return
        delay_s = self._delay_s(span, failure)
        if delay_s is None:
            self.end(span, failure)
            return
        self._counters.add("retries")
        left = span.missing()
        logger.debug(
            "asking again for pieces %d to %d of %r in %.1f s: %s",
            left.start,
            left.stop,
            span.file.path,
            delay_s,
            failure,
        )
        self._queue.put(span, delay_s)
        if self._closed:
            self.end(span, failure)

    def _delay_s(self, span: Span, failure: EmpiarFSError) -> float | None:
        """Return when to ask again, or None if that is pointless."""
        if self._closed:
            return None
        if isinstance(failure, InterruptedCallError):
            # It gave way to what somebody waits for, and goes on after that.
            span.attempts = 0
            return _AFTER_GIVING_WAY_S
        if isinstance(failure, OfflineError):
            return _OFFLINE_PAUSE_S
        return self._retry.delay_after_s(span.attempts, failure, random.random())


def _pause_after(failure: EmpiarFSError) -> Wait:
    """Return what a span waits for that is to be asked for again."""
    if isinstance(failure, OfflineError):
        return Wait.OFFLINE
    if isinstance(failure, BusyError):
        return Wait.REFUSED
    # It gave way to another request, and has to wait for a connection anew.
    return Wait.CONNECTION if isinstance(failure, InterruptedCallError) else Wait.PAUSE
