"""What every request of the archive goes through: admission, a line, the accounts, retries.

    admit (offline?) → borrow a line (budget) → send, watch → note how it ended

`Wire` knows nothing of ranges, listings or sizes; client.py and sizes.py do.

Threading: safe from any thread.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from empiarfs.archive.connections import ConnectionBudget
from empiarfs.archive.health import Health
from empiarfs.archive.hedges import Hedges
from empiarfs.archive.later import Later
from empiarfs.archive.lines import Lines
from empiarfs.archive.pipeline import PipelineLine
from empiarfs.archive.race import Ask, Entrant, race
from empiarfs.archive.rate import Payment, RateLimit
from empiarfs.archive.session import Exchange, Network
from empiarfs.archive.watch import Watch
from empiarfs.core.retry import RetryPolicy
from empiarfs.core.waits import Wait
from empiarfs.errors import (
    ArchiveError,
    BadResponseError,
    BusyError,
    GaveUpError,
    InterruptedCallError,
    StalledError,
    UnreachableError,
)
from empiarfs.patience import Patience
from empiarfs.stats import Counters

T = TypeVar("T")

# After a refusal that names no time, and at most, however long the archive asks for: each
# process then tries anew whether it is still meant.
_REFUSED_S = 2.0
_MAX_REFUSED_S = 60.0


def never() -> bool:
    """Return False: the flag of a call that is never cancelled."""
    return False


class Wire:
    """Sends requests over budgeted lines and keeps account of how they end.

    Args:
        network: What the lines share.
        budget: Of the machine.
        lines: All lines of the process.
        health: Where the outcome is noted.
        counters: Likewise, for `status`.
        later: Asks a second time when it is time.
        limit: How many bytes a second may be received; None for no limit.
        min_rate: Bytes per second below which a body counts as stalled.
    """

    def __init__(
        self,
        network: Network,
        budget: ConnectionBudget,
        lines: Lines[PipelineLine],
        health: Health,
        counters: Counters,
        later: Later,
        *,
        limit: RateLimit | None,
        min_rate: int,
    ) -> None:
        self.network = network
        self.budget = budget
        self.health = health
        self.counters = counters
        self._lines = lines
        self._later = later
        self._hedges = Hedges()
        self._limit = limit
        self._min_rate = min_rate
        self._policy = RetryPolicy()
        self._closed = threading.Event()

    def watch(
        self,
        url: str,
        patience: Patience,
        first_byte_s: float,
        cancelled: Callable[[], bool] = never,
        turned: Callable[[Wait], None] = lambda wait: None,
    ) -> Watch:
        """Return a watch for one request."""
        noted_s = 0.0

        def received() -> None:
            nonlocal noted_s
            now_s = time.monotonic()
            # One receive a second says all there is to say.
            if now_s - noted_s >= 1.0:
                noted_s = now_s
                self.health.received()

        return Watch(
            url,
            patience,
            first_byte_s=first_byte_s,
            min_rate=self._min_rate,
            turned=turned,
            cancelled=lambda: self._closed.is_set() or cancelled(),
            received=received,
            ticked=self._drop_if_slept,
        )

    @contextmanager
    def line(self, watch: Watch, *, urgent: bool, awaited: bool = False) -> Iterator[PipelineLine]:
        """Lend a line, if the archive isn't known to be out of reach, and note how it ends.

        Raises:
            OfflineError: It is.
            InterruptedCallError: The client is closed.
        """
        if self._closed.is_set():
            raise InterruptedCallError("the archive client is closed")
        self._drop_if_slept()
        self.health.admit(watch.url)
        with self._lines.borrowed(watch, urgent=urgent, awaited=awaited) as line:
            number = self.health.request_began()
            try:
                yield line
            finally:
                self.health.request_ended(number)

    def prepare(self, count: int) -> None:
        """Have up to `count` connections at hand soon; what goes wrong is nobody's trouble."""
        if self._closed.is_set() or self.network.proxies or self.health.state != "online":
            return
        url = self.network.origin.base_url

        def connect(line: PipelineLine) -> None:
            limit_s = self.network.connect_timeout_s
            line.begin(self.watch(url, Patience(limit_s), limit_s))

        self._lines.prepare(count, connect)

    @contextmanager
    def exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        watch: Watch,
        *,
        urgent: bool,
        body: bytes | None = None,
    ) -> Iterator[Exchange]:
        """Send a request and lend its answer."""
        with self.line(watch, urgent=urgent) as line:
            self.counters.add("requests")
            was_connected = line.socket is not None
            with line.exchange(method, url, headers, watch, body) as exchange:
                self.health.received()
                if was_connected:
                    self.health.answered(exchange.latency_s)
                yield exchange
            self.health.received()

    @contextmanager
    def accounted(self) -> Iterator[None]:
        """Note the failure that leaves the block."""
        try:
            yield
        except StalledError:
            self.counters.add("stalls")
            self.health.stalled()
            raise
        except UnreachableError:
            self.counters.add("connection_refusals")
            self.health.no_connection()
            raise
        except BusyError as exc:
            wished_s = _REFUSED_S if exc.retry_after_s is None else exc.retry_after_s
            self.budget.slow_down(min(max(wished_s, 1.0), _MAX_REFUSED_S))
            raise
        except BadResponseError:
            self.counters.add("bad_responses")
            raise
        except (InterruptedCallError, GaveUpError):
            self.health.cancelled()
            raise

    def payment(
        self,
        size: int,
        urgent: Callable[[], bool],
        check: Callable[[], None],
        turned: Callable[[Wait], None] = lambda wait: None,
    ) -> Payment:
        """Return what lets the body of an answer be received at the limit's pace.

        Args:
            size: Its bytes.
            urgent: Tells whether somebody waits for them.
            check: Ends a wait by raising.
            turned: Told when the limit is waited for, and when no longer.
        """
        # The time that is waited for the limit is no silence of the archive's.
        return Payment(self._limit, size, urgent, check, self.health.received, turned)

    def pay_later(self, count: int, check: Callable[[], None]) -> None:
        """Wait as long as bytes take that were received already; somebody waits for them."""
        payment = self.payment(count, lambda: True, check)
        while count:
            count -= payment.allowed(count)

    def raced(self, ask: Ask[T], patience: Patience) -> T:
        """Return what `ask` does, asked a second time if no headers come in the usual time.

        Each attempt is accounted for on its own.
        """

        def accounted(patience: Patience, entrant: Entrant) -> T:
            with self.accounted():
                return ask(patience, entrant)

        return race(
            accounted,
            patience,
            self.health.late_after_s(),
            self._later,
            self._hedges,
            lambda number: self.counters.add("hedges", number),
        )

    def _drop_if_slept(self) -> None:
        if self.health.slept():
            self.network.resolver.forget()
            url = self.network.origin.base_url
            self._lines.end_all(StalledError("the machine slept meanwhile", url=url))

    def repeated(self, ask: Callable[[int], T], patience: Patience) -> T:
        """Return what `ask` does, called with 1, 2, 3 … until it works or can't.

        Raises:
            GaveUpError: The patience ended; its cause is the last failure.
            ArchiveError: A failure that asking again doesn't mend.
        """
        attempt = 0
        last: ArchiveError | None = None
        while True:
            attempt += 1
            try:
                return ask(attempt)
            except GaveUpError as exc:
                if last is None:
                    raise
                raise GaveUpError(f"{exc}: {last}") from last
            except ArchiveError as exc:
                delay_s = self._policy.delay_after_s(attempt, exc, random.random())
                if delay_s is None:
                    raise
                last = exc
            self.counters.add("retries")
            self.pause(delay_s, patience, last)

    def pause(self, seconds: float, patience: Patience, cause: ArchiveError | None = None) -> None:
        """Sleep, but no longer than the patience and the client last."""
        until_s = time.monotonic() + seconds
        while True:
            patience.check(cause)
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            if self._closed.wait(min(left_s, 0.25, patience.remaining_s() + 0.001)):
                raise InterruptedCallError("the archive client is closed")

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def close(self) -> None:
        """End all that is in flight, and all that waits."""
        self._closed.set()
        self.health.close()
        self._lines.close()
        self.budget.close()
        if self._limit is not None:
            self._limit.close()
