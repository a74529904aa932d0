"""Keeps all processes of this machine together below a number of bytes per second.

Whoever wants to receive some bytes of a body asks first and waits for his turn: within a
process those that somebody waits for come before those that were only foreseen, in the order
in which they came; the first of them asks the number that all processes share
(`empiarfs.archive.rate_file`, `empiarfs.core.pacing`). What is foreseen stands back for
some milliseconds there, so that another process in a hurry is first.

Bytes are asked for in steps of a fiftieth of a second's worth, 64 to 256 KiB, since each
costs a look at the file (6 µs).

Threading: safe from any thread. Nobody sleeps under the lock but by waiting on it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from empiarfs.archive.rate_file import RateFile, machine_file
from empiarfs.core.pacing import SECOND_NS, cost_ns, paid_after

_LEAST_STEP = 64 * 1024
_MOST_STEP = 256 * 1024
_STEPS_PER_S = 50
_STAND_BACK_NS = 3_000_000
_TICK_S = 0.05
_LOCKED_S = 0.0005


class _Turn:
    """One that waits for bytes."""

    __slots__ = ("urgent",)

    def __init__(self, urgent: Callable[[], bool]) -> None:
        self.urgent = urgent


class RateLimit:
    """Lets bytes be received at a rate.

    Args:
        bytes_per_s: The limit, at least 1.
        shared: What is shared with the other processes.
        clock: Monotonic nanoseconds, the same in all processes.

    Attributes:
        step: Bytes to ask for at a time.
    """

    def __init__(
        self,
        bytes_per_s: int,
        shared: RateFile,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if bytes_per_s < 1:
            raise ValueError(f"a rate limit must be at least 1 B/s, not {bytes_per_s}")
        self.bytes_per_s = bytes_per_s
        self.step = min(max(bytes_per_s // _STEPS_PER_S, _LEAST_STEP), _MOST_STEP)
        self._shared = shared
        self._clock = clock
        self._changed = threading.Condition()
        self._turns: list[_Turn] = []  # guarded by _changed

    def wait_for(self, count: int, urgent: Callable[[], bool], check: Callable[[], None]) -> None:
        """Return when `count` bytes may be received; they count from then on.

        Args:
            count: Bytes.
            urgent: Tells whether somebody waits for them, which may change meanwhile.
            check: Called several times a second; ends the wait by raising.
        """
        turn = _Turn(urgent)
        with self._changed:
            self._turns.append(turn)
        try:
            while True:
                check()
                with self._changed:
                    wait_s = self._try(turn, count)
                    if wait_s <= 0:
                        return
                    self._changed.wait(min(wait_s, _TICK_S))
        finally:
            with self._changed:
                self._turns.remove(turn)
                self._changed.notify_all()

    def close(self) -> None:
        """Let go of what is shared."""
        self._shared.close()

    def _try(self, turn: _Turn, count: int) -> float:
        """Return how many seconds to wait; 0 if the bytes may come. Under the lock."""
        hurried = [each for each in self._turns if each.urgent()]
        if turn is not (hurried or self._turns)[0]:
            return _TICK_S
        now_ns = self._clock()
        cost = cost_ns(count, self.bytes_per_s)
        stand_back_ns = 0 if hurried else _STAND_BACK_NS
        wait_ns = self._shared.change(lambda paid: paid_after(paid, now_ns, cost, stand_back_ns))
        return _LOCKED_S if wait_ns is None else wait_ns / SECOND_NS


def machine_limit(bytes_per_s: int | None, prefix: str, path: Path | None) -> RateLimit | None:
    """Return the limit of this process, shared with the others of the machine.

    Args:
        bytes_per_s: The limit; None for none.
        prefix: First word of the names of the connection slots.
        path: The file to share; None for the usual one.
    """
    if bytes_per_s is None:
        return None
    return RateLimit(bytes_per_s, RateFile(path or machine_file(prefix)))
