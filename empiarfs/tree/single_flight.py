"""One question at a time: callers with the same key share one answer.

Threading: safe from any thread; no lock is held while the work runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from empiarfs.errors import GaveUpError, InterruptedCallError
from empiarfs.patience import Patience

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Flight(Generic[V]):
    def __init__(self) -> None:
        self.landed = False
        self.value: V | None = None
        self.error: BaseException | None = None

    def has_landed(self) -> bool:
        return self.landed


class SingleFlight(Generic[K, V]):
    """Runs the work for a key once, however many callers want its result at a time."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._flights: dict[K, _Flight[V]] = {}  # guarded by _condition

    def run(self, key: K, patience: Patience, work: Callable[[], V]) -> V:
        """Return what `work` returns, or what another caller's work for `key` did.

        Whoever comes first works; the others wait as long as their own patience lasts. A
        worker that gave up or was interrupted says nothing about the others: one of them
        works next.

        Raises:
            GaveUpError: Patience is over.
            InterruptedCallError: The caller stopped waiting.
            Exception: What the work raised.
        """
        while True:
            with self._condition:
                flight = self._flights.get(key)
                if flight is None:
                    flight = self._flights[key] = _Flight()
                    break
                patience.wait_for(self._condition, flight.has_landed)
            if flight.error is None:
                return flight.value  # type: ignore[return-value]  # set where error isn't
            if not isinstance(flight.error, (GaveUpError, InterruptedCallError)):
                raise flight.error
            patience.check(flight.error)
        try:
            flight.value = work()
            return flight.value
        except BaseException as exc:
            flight.error = exc
            raise
        finally:
            with self._condition:
                flight.landed = True
                del self._flights[key]
                self._condition.notify_all()
