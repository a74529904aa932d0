"""A question asked a second time if the first answer is late: whichever is answered first wins.

About one request in thirty to EMPIAR is accepted and never answered. For a listing that would
cost twelve seconds, and a look-up waits for each of those on its way. The second request goes
over another connection, in a thread of its own; the one whose headers come first goes on, the
other is closed.

Threading: `race` runs the first attempt in the calling thread; one condition guards the rest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from empiarfs import threads
from empiarfs.archive.hedges import Hedges
from empiarfs.archive.later import Later
from empiarfs.errors import EmpiarFSError, InterruptedCallError
from empiarfs.patience import Patience

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Entrant:
    """One of the attempts, for whoever carries it out.

    Attributes:
        was_out: Whether it was ever told to stop. The other attempt may have failed since.
    """

    def __init__(self, contest: _Contest[T]) -> None:
        self._contest = contest
        self.was_out = False

    def is_out(self) -> bool:
        """Tell whether the other attempt was answered first, or nobody waits any more."""
        if self._contest.is_out(self):
            self.was_out = True
        return self.was_out

    def answered(self) -> None:
        """Say that the headers have come.

        Raises:
            InterruptedCallError: Those of the other attempt were sooner.
        """
        if not self._contest.take(self):
            self.was_out = True
            raise InterruptedCallError("another answer came first")


Ask = Callable[[Patience, Entrant], T]


class _Contest(Generic[T]):
    def __init__(self, ask: Ask[T], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._condition = threading.Condition()
        self._winner: Entrant | None = None  # guarded by _condition
        self._over = False  # guarded by _condition
        self._second: Entrant | None = None  # guarded by _condition
        self._result: list[T] = []  # of the second; guarded by _condition
        self._error: BaseException | None = None  # of the second; guarded by _condition

    def take(self, entrant: Entrant) -> bool:
        with self._condition:
            if self._winner is None:
                self._winner = entrant
            return self._winner is entrant

    def leave(self, entrant: Entrant) -> None:
        """Let the other go on alone."""
        with self._condition:
            if self._winner is entrant:
                self._winner = None

    def is_out(self, entrant: Entrant) -> bool:
        return self._over or (self._winner is not None and self._winner is not entrant)

    def end(self) -> None:
        with self._condition:
            self._over = True

    def start_second(self, hedges: Hedges, count: Callable[[int], None]) -> None:
        with self._condition:
            if self._over or self._winner is not None or not hedges.try_begin():
                return
            self._second = Entrant(self)
        count(1)
        if threads.start("again", self._run_second, self._second, hedges) is not None:
            return
        count(-1)
        hedges.ended()
        with self._condition:
            self._second = None
            self._condition.notify_all()

    def _run_second(self, entrant: Entrant, hedges: Hedges) -> None:
        error: BaseException | None = None
        try:
            result = self._ask(Patience(self._seconds, entrant.is_out), entrant)
            with self._condition:
                self._result.append(result)
        except EmpiarFSError as exc:
            error = exc
        except BaseException as exc:
            logger.exception("asking a second time failed unexpectedly")
            error = exc
        finally:
            hedges.ended()
            with self._condition:
                self._error = error
                self._second = None
                if self._winner is entrant and error is not None:
                    self._winner = None
                self._condition.notify_all()

    def result_of_second(self, patience: Patience, error: EmpiarFSError) -> T:
        """Wait for the other attempt; raise `error` if it brings nothing either.

        Where `error` says no more than that the first one was stopped for the second's sake,
        the second's own is raised: nobody has interrupted the caller.
        """
        with self._condition:
            patience.wait_for(self._condition, lambda: self._second is None, lambda: error)
            if self._result:
                return self._result[0]
            if isinstance(error, InterruptedCallError) and self._error is not None:
                raise self._error
        raise error


def race(
    ask: Ask[T],
    patience: Patience,
    after_s: float,
    later: Later,
    hedges: Hedges,
    count: Callable[[int], None],
) -> T:
    """Return what `ask` does, called a second time if nothing has come after a while.

    Args:
        ask: Sends the request with the patience that it is given, looks at the entrant's
            `is_out` while it waits, and calls its `answered` when headers have come.
        patience: Of the caller.
        after_s: How long to wait for the first answer, in seconds.
        later: Knows when that is over.
        hedges: Says whether a second request may be sent.
        count: Called with 1 if one is, and with -1 if that fails.

    Raises:
        EmpiarFSError: What the first attempt raised, if a second one brought nothing either;
            or the second's, where the first had been stopped for its sake.
    """
    contest: _Contest[T] = _Contest(ask, patience.remaining_s())
    first = Entrant(contest)
    later.after(after_s, lambda: contest.start_second(hedges, count))
    began_s = time.monotonic()
    try:
        result = ask(patience, first)
        hedges.answered()
        return result
    except InterruptedCallError as exc:
        if not first.was_out:
            raise
        return contest.result_of_second(patience, exc)
    except EmpiarFSError as exc:
        contest.leave(first)
        if time.monotonic() - began_s < after_s:
            raise
        return contest.result_of_second(patience, exc)
    finally:
        contest.end()
