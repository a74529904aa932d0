"""Several threads that do one kind of work on the items of one list, side by side.

Threading: `run` starts the threads and returns when all have ended; `stop` may be called from
any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from empiarfs import threads

T = TypeVar("T")

# As many as keep ten connections at work with files of a piece each.
_AT_ONCE = 10
_TOLD_EVERY_S = 0.2


class Crew(Generic[T]):
    """Works on items.

    Args:
        name: Of the threads.
        work: Does the work on one; called from several threads, raises nothing.

    Attributes:
        stopped: Set when the work is to end soon.
    """

    def __init__(self, name: str, work: Callable[[T], None]) -> None:
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def stop(self) -> None:
        """Let `run` end soon."""
        self.stopped.set()

    def run(self, items: Iterable[T], told: Callable[[], None]) -> None:
        """Work on all items, in about their order.

        A KeyboardInterrupt comes out once all threads have ended.

        Args:
            items: Taken from as they are worked on.
            told: Called a few times a second.
        """
        left = iter(items)
        running = [
            thread
            for _ in range(_AT_ONCE)
            if (thread := threads.start(self._name, self._serve, left)) is not None
        ]
        try:
            if not running:
                self._serve(left)
            for thread in running:
                while thread.is_alive():
                    thread.join(_TOLD_EVERY_S)
                    told()
        except BaseException:
            self.stop()
            for thread in running:
                thread.join()
            raise

    def _serve(self, left: Iterator[T]) -> None:
        while not self.stopped.is_set():
            with self._lock:
                try:
                    item = next(left)
                except StopIteration:
                    return
            self._work(item)
