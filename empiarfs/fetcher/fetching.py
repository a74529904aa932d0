"""The fetcher: where a wanted piece is, and how it gets here.

What is wanted is looked for nearby first (`whereabouts`), and what is nowhere is asked of the
archive, in spans; so is what is foreseen, when nothing more pressing is to be done.

Threading: safe from any thread. `plans` and `workers` have threads of their own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from empiarfs.archive.client import ArchiveClient
from empiarfs.cache.speed_file import SpeedLog
from empiarfs.cache.store import BlockStore
from empiarfs.cache.writebehind import WriteBehind
from empiarfs.core.blocks import (
    PIECE_SIZE,
    piece_size,
    pieces_covering,
)
from empiarfs.core.files import RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.core.retry import RetryPolicy
from empiarfs.errors import (
    EmpiarFSError,
    FileChangedError,
    InterruptedCallError,
    NotFoundError,
)
from empiarfs.fetcher.config import FetcherConfig
from empiarfs.fetcher.flights import Buffer, Flights, Located
from empiarfs.fetcher.plans import Plans
from empiarfs.fetcher.queue import SpanQueue
from empiarfs.fetcher.spans import Span, SpanAbandoned
from empiarfs.fetcher.whereabouts import Whereabouts
from empiarfs.fetcher.workers import Workers
from empiarfs.inflight import InFlight
from empiarfs.patience import Patience
from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

# How much of what is foreseen a request brings along with what is waited for.
_MOST_ALONG = 256 * 1024
# A connection takes two round trips or three: whoever seems to begin a stream has some opened
# while his first bytes are on their way, one for each so many bytes.
_PREPARED = 5
_PREPARED_FOR = 1024 * 1024
# How often who waits without a thread that fetches looks whether there can be one.
_NO_THREAD_S = 0.25
# How often who warms looks whether there is room.
_NO_ROOM_S = 0.05
# Against some 2 ms that a request takes here and there, and a round trip of 40 ms.
_WORTHWHILE_S = 0.05
# A connection that brings bytes for six round trips and waits for one is at work for six
# sevenths of the time. Where they share a link that is full, two thirds are enough.
_ROUND_TRIPS = 6
_ROUND_TRIPS_SHARED = 2


class Fetcher:
    """The way to the bytes of the archive; one for a process."""

    def __init__(
        self,
        client: ArchiveClient,
        store: BlockStore,
        counters: Counters,
        config: FetcherConfig | None = None,
        *,
        retry: RetryPolicy | None = None,
        speeds: SpeedLog | None = None,
    ) -> None:
        self._client = client
        self._counters = counters
        self._config = config or FetcherConfig()
        self._in_flight = InFlight(self._config.in_flight, self._config.foreseen)
        self._pending = WriteBehind(
            store, limit=self._config.pending, counters=counters, in_flight=self._in_flight
        )
        limit = self._config.max_connections
        self._queue = SpanQueue(max(1, limit - self._config.reserved_connections))
        self._flights = Flights(self._config.memory, self._in_flight)
        self._where = Whereabouts(self._flights, self._pending, store, counters)
        self._workers = Workers(
            client,
            self._queue,
            self._flights,
            self._pending,
            counters,
            retry or RetryPolicy(bad_attempts=None),
            limit,
            speeds,
        )
        self._plans = Plans(self._launch_foreseen)

    # -- reading ---------------------------------------------------------------------------

    def read(
        self,
        file: RemoteFile,
        wanted: ByteRange,
        patience: Patience,
        waiting: Callable[[], Sequence[ByteRange]] = tuple,
    ) -> tuple[bytes, bool]:
        """Return the bytes `wanted` of `file`, and whether they had to be waited for.

        Args:
            file: The version to read.
            wanted: A range inside the file.
            patience: How long to wait for the archive.
            waiting: Called before the archive is waited for, if it must be. It returns what
                is foreseen: what lies right behind is asked for in the same request, up to
                256 KiB of it, the rest after that.

        Returns:
            Exactly `len(wanted)` bytes; and True if the archive had to be waited for.

        Raises:
            FileChangedError: The archive holds another version now.
            NotFoundError: The file is gone.
            ForbiddenError: The archive refuses to hand it out.
            BadResponseError: The archive keeps on sending something else.
            GaveUpError: Patience is over.
            InterruptedCallError: The caller stopped waiting, or the fetcher was closed.
        """
        if not wanted:
            return b"", False
        pieces = pieces_covering(wanted)
        found = self._read(file, wanted, pieces, patience, waiting)
        if self._flights.has_unread:
            self._count_used(file, pieces)
        return found

    def _read(
        self,
        file: RemoteFile,
        wanted: ByteRange,
        pieces: range,
        patience: Patience,
        waiting: Callable[[], Sequence[ByteRange]],
    ) -> tuple[bytes, bool]:
        account = patience.account
        located = self._where.in_memory(file, pieces)
        if located.held:
            self._counters.add("memory_bytes", sum(map(len, located.held.values())))
        if len(located.held) == len(pieces):
            if account is not None:
                account.found(len(wanted))
            return _cut(located, wanted, pieces), False
        in_memory = _held(located, wanted)
        began_s = time.monotonic()
        whole = self._where.from_disk(file, wanted, pieces, located)
        on_disk = len(wanted) if whole is not None else _held(located, wanted) - in_memory
        if account is not None:
            account.found(in_memory, on_disk, time.monotonic() - began_s)
        if whole is not None:
            return whole, False
        starved = len(located.held) < len(pieces)
        if starved:
            along, later = _divided(wanted.stop, waiting())
            self._from_archive(file, pieces, located, patience, along, later)
            if account is not None:
                account.archive += len(wanted) - in_memory - on_disk
        return _cut(located, wanted, pieces), starved

    def _count_used(self, file: RemoteFile, pieces: range) -> None:
        used = self._flights.note_read(file, pieces)
        if used:
            self._counters.add("foreseen_unused_bytes", -used)

    def _from_archive(
        self,
        file: RemoteFile,
        pieces: range,
        located: Located,
        patience: Patience,
        along: ByteRange,
        later: Sequence[ByteRange],
    ) -> None:
        """Add all that is missing, by waiting for the archive; fetch the others as well."""
        more = [piece for piece in pieces_covering(along) if piece >= pieces.stop]
        self._flights.refuse_failed(file, (p for p in pieces if p not in located.held))
        while True:
            missing = located.missing(pieces)
            if missing:
                # Who waits sees to the pieces that he waits for only.
                others = Located()
                more = self._absent(file, more, others) if more else []
                self._launch(file, [*missing, *more], located, urgent=True, to=pieces.stop)
            waited_for = {p: span for p, span in located.flights.items() if p < pieces.stop}
            for span in dict.fromkeys(waited_for.values()):
                self._queue.make_urgent(span)
            # Only now: they mustn't take the connection that lies idle.
            self._prefetch_all(file, later)
            later = ()
            try:
                self._wait_for(file, located, waited_for, patience)
                return
            except SpanAbandoned:
                found = self._where.in_memory(file, pieces)
                located.held.update(found.held)
                located.flights = found.flights
                more = []

    def _wait_for(
        self, file: RemoteFile, located: Located, flights: dict[int, Span], patience: Patience
    ) -> None:
        piece = 0
        while not self._workers.attend():
            patience.check()
            time.sleep(_NO_THREAD_S)
        try:
            for piece, span in flights.items():
                located.held[piece] = span.take(piece, patience)
        except (InterruptedCallError, FileChangedError, NotFoundError):
            # Whoever has the file open is told so for good, and who opens it anew asks anew.
            raise
        except EmpiarFSError as exc:
            self._flights.note_failure(file, piece, exc)
            raise

    def _launch(
        self,
        file: RemoteFile,
        missing: list[int],
        located: Located,
        *,
        urgent: bool,
        to: int | None = None,
    ) -> None:
        # About a second of one connection: long enough to make round trips cheap, short
        # enough that a stalled one costs little.
        size = min(max(self._workers.speed, self._config.smallest_span), self._config.largest_span)
        span_pieces = max(1, int(size) // PIECE_SIZE)
        launched = self._flights.launch(
            file, missing, located, span_pieces=span_pieces, urgent=urgent, wanted_to=to
        )
        self._workers.queue(launched)

    # -- foresight -------------------------------------------------------------------------

    def prefetch(self, file: RemoteFile, foreseen: ByteRange) -> None:
        """Fetch what a planner foresees, when nothing more pressing is to be done."""
        if foreseen:
            self._plans.add(file, foreseen)

    def _prefetch_all(self, file: RemoteFile, ranges: Sequence[ByteRange]) -> None:
        for foreseen in ranges:
            self.prefetch(file, foreseen)

    @property
    def worthwhile_size(self) -> int:
        """How many bytes a request should be for, lest it cost more than it brings.

        What one connection brings in a few round trips: less on a slow link, where several
        connections together are faster, more on a fast one, where they aren't.
        """
        waiting_s = self._client.range_latency().median_s
        round_trips = _ROUND_TRIPS_SHARED if self._workers.shares_link else _ROUND_TRIPS
        size = int(self._workers.speed * max(_WORTHWHILE_S, round_trips * waiting_s))
        return min(max(size, self._config.smallest_span), self._config.largest_span)

    @property
    def room(self) -> int:
        """How many bytes more may be foreseen now; negative or 0 if there are too many.

        Bytes of whole pieces are meant. Of who doesn't ask, older plans may be forgotten.
        """
        room = self._in_flight.room - self._plans.size
        return min(room, 0) if self._plans.is_full else room

    def prepare(self, size: int) -> None:
        """Have connections at hand for `size` bytes that somebody has begun to read."""
        self._client.prepare(min(_PREPARED, -(-size // _PREPARED_FOR)))

    def drop_foreseen(self, file: RemoteFile) -> None:
        """Forget what was foreseen of `file` and isn't on its way yet."""
        self._plans.drop(file)
        for span in self._queue.drop(lambda s: s.file == file and s.abandon()):
            self._workers.end(span, None)

    def _launch_foreseen(self, file: RemoteFile, foreseen: ByteRange) -> None:
        located = Located()
        absent = self._absent(file, pieces_covering(foreseen), located)
        if absent:
            self._launch(file, absent, located, urgent=False)

    def warm(self, file: RemoteFile, wanted: ByteRange, patience: Patience) -> int:
        """Fetch what is missing of a range, when nothing more pressing is to be done.

        Unlike `prefetch` it returns when all of it has come; unlike `read` it goes behind
        everybody who waits for bytes, here and in other processes.

        Returns:
            How many bytes were missing.

        Raises:
            EmpiarFSError: As `read`.
        """
        pieces, fetched = pieces_covering(wanted), 0
        while True:
            located = Located()
            nowhere = self._where.nowhere(file, pieces, located)
            if not nowhere and not located.flights:
                return fetched
            patience.check()
            launched = self._as_room_allows(file, nowhere)
            if launched:
                self._launch(file, launched, located, urgent=False)
                fetched += sum(piece_size(piece, file.size) for piece in launched)
            elif not located.flights:
                time.sleep(_NO_ROOM_S)
            with suppress(SpanAbandoned):
                self._wait_for(file, located, dict(located.flights), patience)

    def _absent(self, file: RemoteFile, pieces: Sequence[int], located: Located) -> list[int]:
        """Return those of `pieces` that are nowhere, as many as may be foreseen now."""
        return self._as_room_allows(file, self._where.nowhere(file, pieces, located))

    def _as_room_allows(self, file: RemoteFile, pieces: Sequence[int]) -> list[int]:
        room = self._in_flight.room
        allowed: list[int] = []
        for piece in pieces:
            room -= piece_size(piece, file.size)
            if room < 0:
                break
            allowed.append(piece)
        return allowed

    # -- the rest --------------------------------------------------------------------------

    def closed(self, file: RemoteFile) -> None:
        """Note that somebody who had `file` open has closed it; nothing is held for him."""

    def holds(self, file: RemoteFile, wanted: ByteRange) -> bool:
        """Tell whether a range can be read now without the archive."""
        located = Located()
        return not (self._where.nowhere(file, pieces_covering(wanted), located) or located.flights)

    def cached_bytes(self, file: RemoteFile) -> int:
        """Return how many bytes of `file` the cache directory holds."""
        return self._where.cached_bytes(file)

    def usage(self) -> dict[str, int]:
        """Return what is in memory and under way, for `status`."""
        return {
            # In the order in which a plan goes through them, so that none is missed.
            "plans_waiting": len(self._plans),
            "spans_waiting": self._queue.waiting(),
            **self._flights.usage(),
            **self._in_flight.usage(),
            "threads": self._workers.threads,
            "connection_bytes_per_s": int(self._workers.speed),
        }

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Write what waits for the disk; return whether that was done in time."""
        return self._pending.flush(timeout_s)

    def close(self) -> None:
        """Fail all who wait, write what waits for the disk, end the threads."""
        self._plans.close()
        self._workers.close()
        self._pending.close()


def _divided(start: int, ranges: Sequence[ByteRange]) -> tuple[ByteRange, Sequence[ByteRange]]:
    """Return what of the ranges lies right behind `start`, up to a bound, and the others."""
    along, count = ByteRange(start, start), 0
    for each in ranges:
        if each.start != along.stop or len(along) >= _MOST_ALONG:
            break
        along, count = ByteRange(start, each.stop), count + 1
    return along, ranges[count:]


def _held(located: Located, wanted: ByteRange) -> int:
    """Return how many of the bytes `wanted` are in pieces that are here."""
    first = (piece * PIECE_SIZE for piece in located.held)
    return sum(
        max(0, min(wanted.stop, start + PIECE_SIZE) - max(wanted.start, start)) for start in first
    )


def _cut(located: Located, wanted: ByteRange, pieces: range) -> bytes:
    """Return the bytes `wanted` out of the pieces that cover them."""
    parts: list[Buffer] = []
    for piece in pieces:
        first = piece * PIECE_SIZE
        start = max(wanted.start - first, 0)
        stop = min(wanted.stop - first, PIECE_SIZE)
        parts.append(memoryview(located.held[piece])[start:stop])
    return b"".join(parts)
