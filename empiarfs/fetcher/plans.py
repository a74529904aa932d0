"""Plans: what is foreseen, until a thread of its own turns it into work.

No reader waits for a look into the cache directory that it did not ask for.

Threading: safe from any thread; `_condition` guards all. The thread starts when the first
plan comes.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from empiarfs import threads
from empiarfs.core.files import RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import InterruptedCallError

logger = logging.getLogger(__name__)

# Older ones are forgotten.
_KEPT = 256
# Half of them: several who ask whether there is room may add theirs at the same moment.
_MANY = _KEPT // 2


class Plans:
    """What is foreseen and isn't under way yet; safe from any thread.

    Args:
        carry_out: Called with a file and a range inside it, by the thread.
    """

    def __init__(self, carry_out: Callable[[RemoteFile, ByteRange], None]) -> None:
        self._carry_out = carry_out
        self._condition = threading.Condition()
        self._plans: deque[tuple[RemoteFile, ByteRange]] = deque(maxlen=_KEPT)
        self._thread: threading.Thread | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._plans)

    @property
    def is_full(self) -> bool:
        """Whether older plans may soon be forgotten for newer ones."""
        return len(self._plans) >= _MANY

    @property
    def size(self) -> int:
        """Bytes of all that is planned."""
        with self._condition:
            return sum(len(foreseen) for _, foreseen in self._plans)

    def add(self, file: RemoteFile, foreseen: ByteRange) -> None:
        """Carry this out when what was planned before has been."""
        with self._condition:
            if self._closed:
                return
            self._plans.append((file, foreseen))
            if self._thread is None:
                self._thread = threads.start("foresee", self._work)
            self._condition.notify()

    def drop(self, file: RemoteFile) -> None:
        """Forget what is planned for this open file."""
        with self._condition:
            kept = [plan for plan in self._plans if plan[0] is not file]
            self._plans.clear()
            self._plans.extend(kept)

    def close(self) -> None:
        """Forget all plans, and end the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _work(self) -> None:
        while True:
            with self._condition:
                while not self._plans and not self._closed:
                    self._condition.wait()
                if self._closed:
                    return
                # It stays in the queue until it is carried out, so that it is counted.
                file, foreseen = plan = self._plans[0]
            try:
                self._carry_out(file, foreseen.clamp(file.size))
            except InterruptedCallError:
                return
            except Exception:
                logger.exception("a plan for %r failed unexpectedly", file.path)
            with self._condition:
                # Unless it was dropped, or displaced by newer ones, meanwhile.
                if self._plans and self._plans[0] is plan:
                    self._plans.popleft()
