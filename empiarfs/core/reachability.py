"""Whether the archive can be reached: one state for the whole process.

A pure state machine: it is told what happened and when, and says whether to ask. Times are
seconds of a monotonic clock.

    state     means                                  requests
    --------  -------------------------------------  ------------------------------------
    online    the last news was good                 all
    suspect   one failure since                      all
    offline   two failures since, nothing received   one each 5, 10, 15, 15 … s, the probe

What counts as a failure:

* a connection that can't be made (name resolution, TCP, TLS, proxy), unless bytes came
  over another one within the last second: then the archive is there and the address may
  be refused;
* a stalled request, or one that whoever waited gave up, only if nothing at all was received
  from the archive for `SILENCE_S` while somebody waited. About 3 % of EMPIAR's requests stall
  beside others that work, and a reader alone meets two stalls in a row once in a thousand
  requests: neither may stop a mount.

Any answer, even an error page, and any byte of a body mean online.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

State = Literal["online", "suspect", "offline"]

SILENCE_S = 20.0
_FRESH_S = 1.0
_PROBE_S = 5.0
_MAX_PROBE_S = 15.0


@dataclass(frozen=True, slots=True)
class Reachability:
    """What is known of the way to the archive.

    Attributes:
        failures: Failures since the last good news.
        received_s: When something was received last; minus infinity for never.
        silent_since_s: Since when requests have been waiting without anything received;
            None while nobody waits and the last request didn't stall.
        probes: Probes allowed since the archive went offline.
        next_probe_s: When the next probe is due; only while offline.
    """

    failures: int = 0
    received_s: float = float("-inf")
    silent_since_s: float | None = None
    probes: int = 0
    next_probe_s: float = 0.0

    @property
    def state(self) -> State:
        """The state in a word."""
        return ("online", "suspect", "offline")[min(self.failures, 2)]

    def probe_due_in_s(self, now_s: float) -> float:
        """Return after how many seconds a request may be sent; 0 for now."""
        return max(0.0, self.next_probe_s - now_s) if self.failures >= 2 else 0.0

    def after_ask(self, now_s: float) -> tuple[Reachability, bool]:
        """Return the state after somebody wants to send a request, and whether they may."""
        if self.failures < 2:
            return self, True
        if now_s < self.next_probe_s:
            return self, False
        wait_s = min(_PROBE_S * (self.probes + 1), _MAX_PROBE_S)
        return replace(self, probes=self.probes + 1, next_probe_s=now_s + wait_s), True

    def after_sent(self, now_s: float) -> Reachability:
        """Return the state after a request was sent."""
        if self.silent_since_s is not None:
            return self
        return replace(self, silent_since_s=now_s)

    def after_received(self, now_s: float, *, waiting: bool) -> Reachability:
        """Return the state after anything was received.

        Args:
            now_s: The time.
            waiting: Whether any request is still waiting for more.
        """
        return Reachability(received_s=now_s, silent_since_s=now_s if waiting else None)

    def after_unanswered(self, now_s: float, *, waiting: bool) -> Reachability:
        """Return the state after a waiting request was cancelled by its own side.

        Args:
            now_s: The time.
            waiting: Whether any other request is still waiting.
        """
        # A look-up that ends with its patience has seen as much silence as one that stalled.
        state = self.after_stall(now_s)
        return state if waiting else replace(state, silent_since_s=None)

    def after_stall(self, now_s: float) -> Reachability:
        """Return the state after a request was dropped because no answer came in time."""
        since_s = self.silent_since_s
        if since_s is None or now_s - max(since_s, self.received_s) < SILENCE_S:
            return self
        return self._after_failure(now_s)

    def after_no_connection(self, now_s: float) -> Reachability:
        """Return the state after a connection could not be made."""
        if now_s - self.received_s < _FRESH_S:
            return self
        return self._after_failure(now_s)

    def _after_failure(self, now_s: float) -> Reachability:
        if self.failures == 0:
            return replace(self, failures=1)
        if self.failures == 1:
            return replace(self, failures=2, probes=0, next_probe_s=now_s + _PROBE_S)
        return self
