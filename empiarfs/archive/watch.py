"""Watches one request while its thread waits for bytes.

Every receive of every connection goes through a `Watch`, from the status line to the last
byte of the body. It knows

* how long the whole of the headers may take (`first_byte_s`),
* how slow a body may be: less than `min_rate` × 10 s in the last ten seconds *spent
  waiting* is a stall. Time that the reader itself takes between two receives, because it
  is told to go slowly or can't get rid of what it has, doesn't count;
* whether the caller still waits: its patience, its own flag, the end of the client.

What it finds is raised as one of our errors straight out of the receive; requests and
urllib3 let it pass.

Threading: used by the thread of its request only, but for `cancel`, which any may call.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from empiarfs.core.waits import Wait
from empiarfs.errors import EmpiarFSError, InterruptedCallError, StalledError
from empiarfs.patience import Patience

# How often a wait asks whether it should end; also the sockets' own timeout.
TICK_S = 0.1
WINDOW_S = 10.0
# The caller's patience may ask the kernel about a process; a few times a second is enough.
_PATIENCE_EVERY_S = 0.25


def _never() -> bool:
    return False


class Watch:
    """The deadlines of one request.

    Args:
        url: For messages.
        patience: The caller's.
        first_byte_s: Seconds from the sending of the request to the end of the headers.
        min_rate: Bytes per second below which a body counts as stalled.
        cancelled: The caller's flag, asked at every receive and ten times a second.
        received: Called after each receive that brought something.
        ticked: Called ten times a second while nothing comes.
        turned: Told what is waited for from now on: `FIRST_BYTE` when the request goes to a
            connection, again if that had to be made anew.

    Attributes:
        received_bytes: Bytes received for this request, with headers.
        in_body: Whether the headers are over.
    """

    def __init__(
        self,
        url: str,
        patience: Patience,
        *,
        first_byte_s: float,
        min_rate: int = 1024,
        cancelled: Callable[[], bool] = _never,
        received: Callable[[], None] = lambda: None,
        ticked: Callable[[], None] = lambda: None,
        turned: Callable[[Wait], None] = lambda wait: None,
    ) -> None:
        self.url = url
        self.patience = patience
        self.first_byte_s = first_byte_s
        self.received_bytes = 0
        self.end: EmpiarFSError | None = None
        self._min_rate = min_rate
        self._cancelled = cancelled
        self._received = received
        self._ticked = ticked
        self.turned = turned
        self._sent_s = time.monotonic()
        self.in_body = False
        self._waited_s = 0.0
        self._recent: deque[tuple[float, int]] = deque([(0.0, 0)])
        self._next_patience_s = 0.0

    def sent(self, *, connected: bool = True) -> None:
        """Start the clock: the request is about to be sent.

        Args:
            connected: False if a connection has to be made first, which is told again.
        """
        self._sent_s = time.monotonic()
        self.turned(Wait.FIRST_BYTE if connected else Wait.CONNECTING)

    def expect(self, first_byte_s: float) -> None:
        """Start the clock for the next of several answers, which may take so many seconds."""
        self.first_byte_s = first_byte_s
        self._sent_s = time.monotonic()

    def headers_done(self) -> float:
        """Note the end of the headers; returns the seconds since the request was sent."""
        self.in_body = True
        self.turned(Wait.BYTES)
        return time.monotonic() - self._sent_s

    def cancel(self, error: EmpiarFSError) -> None:
        """End the request with `error` at its next receive; from any thread."""
        self.end = error

    def check(self) -> None:
        """Raise if the request should end for a reason other than slowness.

        Raises:
            InterruptedCallError: Cancelled by the caller, the client or the patience.
            GaveUpError: The patience is over.
            EmpiarFSError: What `cancel` was given.
        """
        if self.end is not None:
            # A new one for each raise: tracebacks of a shared one would grow.
            raise type(self.end)(*self.end.args, **_keywords(self.end))
        if self._cancelled():
            raise InterruptedCallError("cancelled")
        now_s = time.monotonic()
        if now_s >= self._next_patience_s:
            self._next_patience_s = now_s + _PATIENCE_EVERY_S
            self.patience.check()

    def waited(self, seconds: float, count: int) -> None:
        """Note a receive that took `seconds` and brought `count` bytes; raises as due.

        Raises:
            StalledError: The headers or the body came too slowly.
            EmpiarFSError: As `check` does.
        """
        if count:
            self.received_bytes += count
            self._received()
        else:
            self._ticked()
        # Before anything that was received is looked at: after a cancel it may be anything.
        self.check()
        if not self.in_body:
            if time.monotonic() - self._sent_s >= self.first_byte_s:
                raise StalledError(f"no answer within {self.first_byte_s:.3g} s", url=self.url)
            return
        self._waited_s += seconds
        self._note(count)

    def _note(self, count: int) -> None:
        # Tenths of the window: ten sums, whatever the number of receives.
        since_s, so_far = self._recent[-1]
        if self._waited_s - since_s < WINDOW_S / 10:
            self._recent[-1] = (since_s, so_far + count)
        else:
            self._recent.append((self._waited_s, count))
        while self._recent[0][0] < self._waited_s - WINDOW_S:
            self._recent.popleft()
        if self._waited_s < WINDOW_S or count >= self._min_rate * WINDOW_S:
            return
        if sum(amount for _, amount in self._recent) < self._min_rate * WINDOW_S:
            raise StalledError(f"less than {self._min_rate} B/s for 10 s", url=self.url)


def _keywords(error: EmpiarFSError) -> dict[str, str]:
    url = getattr(error, "url", None)
    return {} if url is None else {"url": url}
