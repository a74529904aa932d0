"""Does things a little later: one thread for all that has to happen at a time.

The connection budget keeps slots and tokens for a second, and idle connections are closed
after four. The thread starts when there is something to do and ends when there isn't, so a
process that only imports or only waits has none.

Threading: safe from any thread. Actions run in the helper thread, without a lock held, and
must be quick.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from empiarfs import threads

logger = logging.getLogger(__name__)


class Later:
    """Runs actions at their time; `run_all` runs what is left at once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []  # guarded by _changed
        self._numbers = itertools.count()
        self._running = False  # guarded by _changed

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` in `seconds` from here on."""
        with self._changed:
            due_s = time.monotonic() + seconds
            heapq.heappush(self._due, (due_s, next(self._numbers), action))
            if not self._running:
                # Without a thread it waits for the next action, whose start may succeed.
                self._running = threads.start("later", self._run) is not None
            self._changed.notify()

    def run_all(self) -> None:
        """Run at once all that is still to be done."""
        with self._changed:
            actions = [action for _, _, action in sorted(self._due)]
            self._due.clear()
            self._changed.notify()
        for action in actions:
            action()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._due:
                    self._running = False
                    return
                wait_s = self._due[0][0] - time.monotonic()
                if wait_s > 0:
                    self._changed.wait(wait_s)
                    continue
                action = heapq.heappop(self._due)[2]
            try:
                action()
            except Exception:
                # One action that fails may not keep the slots of all others.
                logger.exception("a delayed action failed")
