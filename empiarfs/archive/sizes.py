"""Exact sizes of many files of one directory: pipelined HEAD, then one by one.

Which answers may be believed is decided by `empiarfs.core.head_sequence`; its docstring says
why. Here requests are sent and answers received, over as many lines as there is work and
room for:

    rows        lines
    ----------  --------------------------------------------------------------
    one         that of any other request, which may be idle
    up to 64    the caller's own, which may be on a reserved slot
    more        one more for each 64, if a slot that isn't reserved is free

On each line up to 16 requests are in flight. The oldest is given up after
clamp(3 × median, 0.3 s, 2 s); then the connection is reset, since what was accepted and not
answered never will be, and everything behind the oldest is asked for again without being
counted against. A row that was the oldest three times is asked for on its own, with the
patience of a single HEAD. So is everything where there is a proxy, after three connections
that mixed answers up, and after three in a row that gave no answer.

Threading: `SizeAsker` is safe from any thread. The calling thread works one line, helpers
the others; a helper that has nothing to begin, or whose line is wanted elsewhere, ends.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from empiarfs import threads
from empiarfs.archive.pipeline import PipelineLine
from empiarfs.archive.size_work import Answered, Failures, SizeWork
from empiarfs.archive.watch import Watch
from empiarfs.archive.wire import Wire
from empiarfs.core.head_sequence import (
    BARE_IN_FLIGHT,
    IN_FLIGHT,
    Certain,
    HeadRow,
    HeadSequence,
    MixedUpError,
)
from empiarfs.core.listing import ListingItem
from empiarfs.core.paths import join, url_path
from empiarfs.core.responses import Head, error_for_status
from empiarfs.core.retry import RetryPolicy
from empiarfs.errors import (
    ArchiveError,
    BadResponseError,
    FileChangedError,
    GaveUpError,
    InterruptedCallError,
    StalledError,
    UnavailableError,
)
from empiarfs.patience import Patience

_ROWS_PER_LINE = 64
# Apache's stock limit; its Keep-Alive header says more with the first answer.
_FIRST_REQUESTS = 100
# Before tags would repeat, whatever the server allows.
_MOST_REQUESTS = 4000
_MAX_SILENT = 3
# How much longer the first answer on a new connection may take.
_NEW = 1.5


class AskSingly(Protocol):
    """Asks for one path, repeating itself until the patience ends."""

    def __call__(self, path: str, patience: Patience, urgent: bool) -> Head:
        """Return what the path stands for."""
        ...


class SizeAsker:
    """Asks for the sizes of files.

    Args:
        wire: The way to the archive.
        ask_singly: For what can't be pipelined.
    """

    def __init__(self, wire: Wire, ask_singly: AskSingly) -> None:
        self._wire = wire
        self._ask_singly = ask_singly
        self._policy = RetryPolicy()

    def ask(
        self,
        directory: str,
        rows: Sequence[ListingItem],
        patience: Patience,
        answered: Answered,
    ) -> Failures:
        """Ask for the exact size and time of files of `directory`.

        Args:
            directory: Path of the directory.
            rows: Its files, as listed; their names differ.
            patience: Of the caller.
            answered: Called for each size as soon as it is certain, from any thread.

        Returns:
            What failed, by name. Each row was answered, or is in here.

        Raises:
            InterruptedCallError: The caller, or the end of the client, ended it.
        """
        # One alone gains nothing by a connection of its own.
        pipelining = len(rows) > 1 and not self._wire.network.proxies
        work = SizeWork(directory, rows, answered, pipelining=pipelining)
        helpers = self._start_helpers(work, len(rows), patience)
        try:
            self._work(work, patience, urgent=True)
            while any(helper.is_alive() for helper in helpers):
                helpers[0].join(0.02)
                helpers = [helper for helper in helpers if helper.is_alive()]
                self._work(work, patience, urgent=True)
            # What the last helper gave back at its end.
            self._work(work, patience, urgent=True)
        except GaveUpError as exc:
            work.fail_rest(exc)
        finally:
            work.end()
        return work.result()

    def _start_helpers(
        self, work: SizeWork, rows: int, patience: Patience
    ) -> list[threading.Thread]:
        room = self._wire.budget.limit - self._wire.budget.reserved
        count = min(-(-rows // _ROWS_PER_LINE), room) - 1
        helpers = [
            threads.start("sizes", self._help, work, patience.remaining_s()) for _ in range(count)
        ]
        return [helper for helper in helpers if helper is not None]

    def _help(self, work: SizeWork, seconds: float) -> None:
        # A patience of its own: the caller's belongs to the caller's thread.
        patience = Patience(seconds, lambda: work.is_over)
        try:
            self._work(work, patience, urgent=False)
        except (ArchiveError, GaveUpError, InterruptedCallError):
            # The rows were given back; the calling thread goes on with them and decides.
            return
        except BaseException as exc:
            work.crashed(exc)

    def _work(self, work: SizeWork, patience: Patience, *, urgent: bool) -> None:
        while work.has_anything:
            patience.check()
            self._work_rows(work, patience, urgent)
            self._work_singles(work, patience, urgent)

    def _work_rows(self, work: SizeWork, patience: Patience, urgent: bool) -> None:
        silent = 0  # connections in a row that gave no answer
        unsettled = 0  # connections in a row whose answers all had to be dropped
        while work.has_rows:
            sequence = HeadSequence(
                bare=max(1, BARE_IN_FLIGHT >> unsettled), hopeful=not work.tags_ignored
            )
            try:
                with self._wire.accounted():
                    self._work_line(work, sequence, patience, urgent, silent)
            except MixedUpError:
                work.mixed_up()
            except ArchiveError as exc:
                # Fewer at once are dropped together; one alone is settled by its answer.
                unsettled = 0 if sequence.settled else unsettled + 1
                self._wire.counters.add("retries")
                silent = 0 if sequence.answers else silent + 1
                if silent:
                    self._after_silence(silent, exc, work, patience, urgent)
                if work.has_answers:
                    # Others get answers: this one met what the link swallows, and no silence.
                    silent = max(0, silent - 1)
            work.tags_ignored = work.tags_ignored or sequence.is_bare

    def _after_silence(
        self, attempt: int, error: ArchiveError, work: SizeWork, patience: Patience, urgent: bool
    ) -> None:
        if not urgent and not isinstance(error, StalledError):
            raise error
        work.silent += 1
        delay_s = self._policy.delay_after_s(attempt, error, random.random())
        if delay_s is None and not isinstance(error, BadResponseError):
            work.fail_rest(error)
        elif delay_s is None or (work.silent >= _MAX_SILENT and not work.has_answers):
            work.stop_pipelining()
        else:
            self._wire.pause(delay_s, patience, error)

    def _work_line(
        self,
        work: SizeWork,
        sequence: HeadSequence,
        patience: Patience,
        urgent: bool,
        silent: int,
    ) -> None:
        url = self._url(work, None)
        limit_s = self._wire.health.head_limit_s(silent)
        # A helper that waits for a slot goes when there is nothing left to do.
        began = False
        watch = self._wire.watch(
            url, patience, limit_s, lambda: not began and not urgent and not work.has_rows
        )
        try:
            with self._wire.line(watch, urgent=urgent, awaited=True) as line:
                line.begin(watch)
                began = True
                self._converse(line, work, sequence, watch, silent)
        except MixedUpError:
            work.ask_singly(sequence.doubtful())
            raise
        except StalledError:
            self._wire.health.head_stalled(watch.first_byte_s)
            oldest = sequence.oldest
            work.give_back([row for row in sequence.doubtful() if row is not oldest])
            if oldest is not None:
                work.stalled(oldest)
            raise
        finally:
            # After whatever else ended it, nothing is counted against anybody.
            work.give_back(sequence.doubtful())

    def _converse(
        self,
        line: PipelineLine,
        work: SizeWork,
        sequence: HeadSequence,
        watch: Watch,
        silent: int,
    ) -> None:
        health = self._wire.health
        # What was sent on a new connection before it was first answered took longer.
        known_from = 0 if line.reused else IN_FLIGHT
        sequence.depth = health.pipeline_depth()
        while True:
            if not line.has_left_over:
                left = _requests_left(line, sequence)
                self._send(line, work, sequence, min(sequence.room, left))
            oldest = sequence.oldest
            if oldest is None:
                break
            url = self._url(work, oldest)
            is_new = not line.reused and not sequence.answers
            limit_s = health.head_limit_s(silent)
            work.overdue_s = limit_s
            watch.expect((_NEW if is_new else 1.0) * limit_s)
            answer = line.next_answer(url)
            health.received()
            work.has_answers = True
            sequence.depth = health.pipeline_depth(1)
            outcome = sequence.answered(
                answer.status, answer.headers, url=url, now_s=time.monotonic()
            )
            if sequence.answers > known_from or not health.knows_heads:
                health.head_answered(outcome.latency_s)
            work.settle(outcome.certain)
            work.ask_singly(outcome.singly)
            if answer.status in (429, 503):
                raise error_for_status(answer.status, answer.headers, url=url, now_s=time.time())
            if answer.is_last:
                if sequence.oldest is not None:
                    raise UnavailableError("the archive closes the connection", url=url)
                line.requests_left = 0
                break
        line.reused = True
        line.is_clean = not line.has_left_over

    def _send(self, line: PipelineLine, work: SizeWork, sequence: HeadSequence, room: int) -> None:
        if sequence.oldest is not None and room < sequence.depth // 4:
            # Some at a time: one by one, each would be a packet and a call of its own.
            return
        rows = work.take(max(0, room))
        if rows:
            now_s = time.monotonic()
            headers = [sequence.ask(row, now_s) for row in rows]
            line.send([urlsplit(self._url(work, row)).path for row in rows], headers)

    def _work_singles(self, work: SizeWork, patience: Patience, urgent: bool) -> None:
        while not work.is_over and (row := work.take_single()) is not None:
            name = row.item.name
            try:
                head = self._ask_singly(join(work.directory, name), patience, urgent)
            except ArchiveError as exc:
                work.failed(name, exc)
            except BaseException:
                work.give_back([row])
                raise
            else:
                self._settle_single(work, name, head)

    def _settle_single(self, work: SizeWork, name: str, head: Head) -> None:
        if head.version is not None:
            work.settle([Certain(name, head.version)])
        else:
            url = self._wire.network.origin.base_url + url_path(join(work.directory, name))
            work.failed(name, FileChangedError("a directory by now", url=url))

    def _url(self, work: SizeWork, row: HeadRow | None) -> str:
        path = work.directory if row is None else join(work.directory, row.item.name)
        return self._wire.network.origin.base_url + url_path(path)


def _requests_left(line: PipelineLine, sequence: HeadSequence) -> int:
    if line.requests_left is not None:
        # As of the last answer: what is in flight comes off.
        return line.requests_left - (sequence.sent - sequence.answers)
    return (_MOST_REQUESTS if sequence.answers else _FIRST_REQUESTS) - sequence.sent
