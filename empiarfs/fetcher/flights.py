"""The table of pieces in memory and on their way: what makes a fetch happen only once.

Threading: safe from any thread. One lock guards all of it and is held for dictionary work
only, never across a request, a wait or the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from cachetools import LRUCache

from empiarfs.core.blocks import runs
from empiarfs.core.files import RemoteFile
from empiarfs.errors import EmpiarFSError, InterruptedCallError
from empiarfs.fetcher.memory import PieceName, RecentFailures, RecentPieces
from empiarfs.fetcher.spans import Span
from empiarfs.inflight import Held, InFlight

# Of how many foreseen pieces it is known that nobody has read them; 4 GiB's worth.
_UNREAD_KEPT = 65_536

# Anything that looks like bytes; pieces are bytearrays, disk reads are bytes.
Buffer = bytes | bytearray | memoryview


@dataclass(slots=True)
class Located:
    """Where the pieces of one read are.

    Attributes:
        held: Pieces that are here.
        flights: The spans that bring others.
    """

    held: dict[int, Buffer] = field(default_factory=dict)
    flights: dict[int, Span] = field(default_factory=dict)

    def missing(self, pieces: Iterable[int]) -> list[int]:
        """Return those of `pieces` that are neither here nor on their way."""
        return [p for p in pieces if p not in self.held and p not in self.flights]


class Flights:
    """Which pieces are in memory, and which span brings which piece.

    Args:
        memory: Bytes of recent pieces to keep.
        in_flight: The account of what is on its way.
    """

    def __init__(self, memory: int, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self._lock = threading.Lock()
        self._recent = RecentPieces(memory)  # guarded by _lock
        self._failures = RecentFailures()  # guarded by _lock
        self._spans: dict[tuple[str, int], Span] = {}  # guarded by _lock
        # Foreseen pieces that came and weren't read, with their sizes. Guarded by _lock.
        self._unread: LRUCache[PieceName, int] = LRUCache(_UNREAD_KEPT)
        self._closed = False  # guarded by _lock

    def locate(self, file: RemoteFile, pieces: Iterable[int]) -> Located:
        """Return which of `pieces` are in memory or on their way."""
        located = Located()
        with self._lock:
            for piece in pieces:
                self._locate(file, piece, located)
        return located

    def _locate(self, file: RemoteFile, piece: int, located: Located) -> bool:
        name = (file.short_key, piece)
        recent = self._recent.get(name)
        if recent is not None:
            located.held[piece] = recent
            return True
        span = self._spans.get(name)
        if span is not None:
            located.flights[piece] = span
            return True
        return False

    def launch(
        self,
        file: RemoteFile,
        missing: list[int],
        located: Located,
        *,
        span_pieces: int,
        urgent: bool,
        wanted_to: int | None = None,
    ) -> list[Span]:
        """Make spans of the `missing` pieces and add them to `located`.

        Args:
            file: The version that they belong to.
            missing: Indices of pieces, ascending.
            located: What is known of them; also gets what has moved on since it was made.
            span_pieces: How many pieces a span may have.
            urgent: Somebody waits for them; else they are foreseen.
            wanted_to: Somebody waits for those below this one only; None for all.

        Returns:
            The new spans, which the caller queues.

        Raises:
            InterruptedCallError: The table is closed.
        """
        launched: list[Span] = []
        with self._lock:
            if self._closed:
                raise InterruptedCallError("the file system is being unmounted")
            absent = [p for p in missing if not self._locate(file, p, located)]
            for run in runs(absent):
                for start in range(run.start, run.stop, span_pieces):
                    stop = min(start + span_pieces, run.stop)
                    pieces = range(start, stop)
                    launched.append(Span(file, pieces, urgent=urgent, wanted_to=wanted_to))
            for span in launched:
                for piece in span.pieces:
                    self._spans[file.short_key, piece] = span
                    located.flights[piece] = span
                self._account(span, span.pieces, 1)
        return launched

    def refuse_failed(self, file: RemoteFile, pieces: Iterable[int]) -> None:
        """Raise why one of the pieces could not be had a moment ago, if that is so.

        Also if it is still on its way: the kernel repeats a read that failed, and none of
        its repeats may wait as long again.
        """
        with self._lock:
            for piece in pieces:
                failure = self._failures.get((file.short_key, piece))
                if failure is not None:
                    raise failure

    def arrived(self, span: Span, pieces: range, views: list[memoryview]) -> None:
        """Keep adjacent pieces that came in one buffer; their span no longer brings them."""
        names = [(span.file.short_key, piece) for piece in pieces]
        with self._lock:
            self._recent.add(names, views)
            for name in names:
                self._spans.pop(name, None)
            self._failures.clear()
            self._account(span, pieces, -1)
            for name, view in zip(names, views, strict=True):
                if name[1] in span.foreseen:
                    self._unread[name] = len(view)

    def _account(self, span: Span, pieces: range, sign: int) -> None:
        foreseen = span.foreseen_size(pieces)
        self._in_flight.add(Held.FORESEEN, sign * foreseen)
        self._in_flight.add(Held.WANTED, sign * (span.size_of(pieces) - foreseen))

    @property
    def has_unread(self) -> bool:
        """Whether there are foreseen pieces that nobody has read."""
        return bool(self._unread)

    def note_read(self, file: RemoteFile, pieces: range) -> int:
        """Note that the pieces were read; return how many bytes of them were foreseen.

        Each piece counts once.
        """
        with self._lock:
            return sum(self._unread.pop((file.short_key, piece), 0) for piece in pieces)

    def ended(self, span: Span) -> None:
        """Forget the pieces that the span has not brought and will not bring."""
        left = span.missing()
        with self._lock:
            for piece in left:
                self._spans.pop((span.file.short_key, piece), None)
            self._account(span, left, -1)

    def note_failure(self, file: RemoteFile, piece: int, failure: EmpiarFSError) -> None:
        """Remember for half a minute that the piece could not be had."""
        with self._lock:
            self._failures.add((file.short_key, piece), failure)

    def close(self) -> set[Span]:
        """Launch nothing any more; return the spans that are on their way."""
        with self._lock:
            self._closed = True
            return set(self._spans.values())

    def usage(self) -> dict[str, int]:
        """Return what is in memory and under way."""
        with self._lock:
            return {
                "memory_bytes": self._recent.used,
                "pieces_in_flight": len(self._spans),
            }
