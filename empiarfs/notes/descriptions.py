"""What is known of entries, for callers who may not wait for the disk or the network.

One thread reads the store, another one asks EMPIAR; both are started when they are first
needed. An entry that is stored and young never waits for one that has to be asked for, and
EMPIAR is asked one question at a time, so that no more than two connections are used, of those
that nobody who reads the archive waits for.

    outcome                              is remembered for
    -----------------------------------  -----------------------------------------------
    a description, or that there is none 5 minutes; then the store is looked at again
    a failure                            30 s, in which older descriptions are given at once and
                                         what isn't stored is asked for in a hurry
    the shelves                          1 minute

Threading: safe from any thread; `_lock` guards what is remembered.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, replace
from typing import TypeVar

from cachetools import LRUCache

from empiarfs.cache.threads import CacheThreads
from empiarfs.entries import Answer, Entries, HowMany
from empiarfs.errors import (
    CacheError,
    EmpiarFSError,
    GaveUpError,
    NotFoundError,
    UnavailableError,
    without_frames,
)
from empiarfs.notes.shelves import Shelf, shelves_of
from empiarfs.patience import Patience

logger = logging.getLogger(__name__)

T = TypeVar("T")

_REMEMBERED_S = 300.0
_FAILED_S = 30.0
_SHELVES_S = 60.0
# Less than half of the 90 s that a look-up may take: whoever waits behind one that isn't
# answered has his turn.
_ASK_S = 40.0
# For a newer one where an older is at hand.
_RENEW_S = 15.0
# After a failure, for what isn't stored: another entry's file in the archive may be had though
# the API is silent.
_HURRIED_S = 8.0
_POLL_S = 0.25
_CLOSE_S = 2.0
# Bytes of the documents that descriptions were read from, which take a few times as much.
_MOST_REMEMBERED = 16 * 1024 * 1024
_LEAST_EACH = 16 * 1024


@dataclass(frozen=True, slots=True)
class Shelves:
    """The links by which entries are found.

    Attributes:
        links: Names, and the numbers behind them.
        how_many: How much of EMPIAR they are made of.
        modified_s: When the youngest description was fetched; 0 if there is none.
    """

    links: Shelf
    how_many: HowMany
    modified_s: float


@dataclass(frozen=True, slots=True)
class _Outcome:
    answer: Answer | None
    error: EmpiarFSError | None
    until_s: float
    size: int


class Descriptions:
    """Knows entries, without its callers' waiting for the disk.

    Args:
        entries: What knows them, and may wait.
        at_end: Called once nobody reads the store any more.
        now: Wall-clock seconds since 1970.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        entries: Entries,
        at_end: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries = entries
        self._now = now
        self._clock = clock
        self._reader = CacheThreads("notes-store", 1, at_end)
        self._asker = CacheThreads("notes-ask", 1)
        self._lock = threading.Lock()
        self._outcomes: LRUCache[int, _Outcome] = LRUCache(  # guarded by _lock
            _MOST_REMEMBERED, getsizeof=lambda outcome: outcome.size
        )
        self._waiting: dict[int, Future[Answer]] = {}  # guarded by _lock
        self._shelves: tuple[Future[Shelves], float] | None = None  # guarded by _lock
        self._failure: tuple[str, float] | None = None  # guarded by _lock

    def now_s(self) -> float:
        """Return wall-clock seconds since 1970."""
        return self._now()

    def entry(self, number: int, patience: Patience) -> Answer:
        """Return what is known of an entry, or can be had.

        Raises:
            NotFoundError: There is no such entry.
            EmpiarFSError: It isn't known, and can't be had in time.
        """
        with self._lock:
            outcome = self._outcomes.get(number)
            if outcome is not None and self._clock() < outcome.until_s:
                if outcome.answer is not None:
                    return outcome.answer
                assert outcome.error is not None
                raise outcome.error
            done = self._waiting.get(number)
            if done is None:
                done = self._waiting[number] = Future()
                begins = True
            else:
                begins = False
        if begins:
            self._submit(self._reader, self._look, number, done)
        return result_of(done, patience)

    def shelves(self, patience: Patience) -> Shelves:
        """Return the links by which entries are found, of those that are stored.

        Raises:
            CacheError: The store can't be read.
            GaveUpError: Not in time.
        """
        with self._lock:
            kept = self._shelves
            if kept is None or (kept[0].done() and self._clock() >= kept[1]):
                # The time counts from the question on, which is when nobody else asks it.
                done = self._reader.submit(self._made_shelves)
                kept = self._shelves = (done, self._clock() + _SHELVES_S)
        try:
            return result_of(kept[0], patience)
        except CacheError:
            with self._lock:
                if self._shelves is kept:
                    self._shelves = None
            raise

    def close(self) -> None:
        """End the threads; what they wait for is to be ended before."""
        self._asker.close(_CLOSE_S)
        self._reader.close(_CLOSE_S)

    def _made_shelves(self) -> Shelves:
        outlines = self._entries.outlines()
        latest_s = max((each.fetched_s for each in outlines), default=0.0)
        return Shelves(shelves_of(outlines), self._entries.how_many(), latest_s)

    def _submit(
        self,
        threads: CacheThreads,
        work: Callable[[int, Future[Answer]], None],
        number: int,
        done: Future[Answer],
    ) -> None:
        def guarded() -> None:
            try:
                work(number, done)
            except EmpiarFSError as exc:
                self._finish(number, done, exc)
            except Exception as exc:
                logger.exception("what is known of EMPIAR-%d can't be told", number)
                self._finish(number, done, EmpiarFSError(repr(exc)))

        try:
            threads.submit(guarded)
        except CacheError as exc:
            self._finish(number, done, exc)

    def _look(self, number: int, done: Future[Answer]) -> None:
        """Answer from the store, or have EMPIAR asked; in the thread that reads."""
        known = self._entries.at_hand(number)
        if known is None:
            self._submit(self._asker, self._ask, number, done)
        else:
            self._finish(number, done, Answer(known))

    def _ask(self, number: int, done: Future[Answer]) -> None:
        """Ask EMPIAR, or give what is old if that failed a moment ago; in the thread that asks."""
        stored = self._entries.at_hand(number, max_age_s=float("inf"))
        failure = self._lately()
        if failure is not None and stored is not None:
            self._finish(number, done, Answer(stored, failure))
            return
        seconds = _RENEW_S if stored is not None else _ASK_S if failure is None else _HURRIED_S
        try:
            answer = self._entries.entry(number, patience=Patience(seconds))
        except (UnavailableError, GaveUpError) as exc:
            self._note_failure(str(exc))
            raise
        if answer.problem is not None:
            self._note_failure(answer.problem)
        self._finish(number, done, answer)

    def _lately(self) -> str | None:
        """Return why EMPIAR could not be asked a moment ago, or None."""
        with self._lock:
            failure = self._failure
        return failure[0] if failure is not None and self._clock() < failure[1] else None

    def _note_failure(self, problem: str) -> None:
        with self._lock:
            self._failure = (problem, self._clock() + _FAILED_S)

    def _finish(self, number: int, done: Future[Answer], outcome: Answer | EmpiarFSError) -> None:
        kept = self._outcome(outcome)
        with self._lock:
            self._outcomes[number] = kept
            self._waiting.pop(number, None)
        if kept.answer is not None:
            done.set_result(kept.answer)
        else:
            done.set_exception(kept.error)

    def _outcome(self, outcome: Answer | EmpiarFSError) -> _Outcome:
        now_s = self._clock()
        if isinstance(outcome, EmpiarFSError):
            kept_s = _REMEMBERED_S if isinstance(outcome, NotFoundError) else _FAILED_S
            return _Outcome(None, without_frames(outcome), now_s + kept_s, _LEAST_EACH)
        size = max(_LEAST_EACH, len(outcome.known.document))
        kept_s = _REMEMBERED_S if outcome.problem is None else _FAILED_S
        # The document has been read, and is the larger part.
        answer = replace(outcome, known=replace(outcome.known, document=b""))
        return _Outcome(answer, None, now_s + kept_s, min(size, _MOST_REMEMBERED))


def result_of(done: Future[T], patience: Patience) -> T:
    """Return what a future holds, or raise it, as long as there is patience.

    Raises:
        GaveUpError: There is none left.
        InterruptedCallError: The caller was told to stop waiting.
        EmpiarFSError: What the future holds.
    """
    while not done.done():
        patience.check()
        try:
            done.exception(min(_POLL_S, patience.remaining_s() + 0.001))
        except FutureTimeoutError:
            continue
    error = done.exception()
    if isinstance(error, EmpiarFSError):
        raise without_frames(error)
    return done.result()
