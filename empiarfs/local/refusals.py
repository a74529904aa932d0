"""What of a directory with local copies isn't used, and why: counted, and said once.

A lab may have thousands of files that don't fit. The first of each kind is a line of the log,
at most once in ten minutes; the others are counted, and `status` has the first few.

Threading: one lock, held for dictionary work; safe from any thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

from empiarfs.stats import Counters

logger = logging.getLogger(__name__)

_SAY_AGAIN_S = 600.0
_NAMED = 20
# Beyond these only the counts go on.
_REMEMBERED = 20_000


class Refusals:
    """The files of one directory that were not used.

    Args:
        directory: Its path, for the log.
        counters: Counts them, too.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        directory: str,
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._counters = counters
        self._clock = clock
        self._lock = threading.Lock()
        self._said_s: dict[str, float] = {}  # by kind; guarded by _lock
        self._kinds: dict[int, str] = {}  # by hash of the path; guarded by _lock
        self._counts: Counter[str] = Counter()  # guarded by _lock
        self._named: dict[str, str] = {}  # reasons by path; guarded by _lock

    def note(self, path: str, kind: str, reason: str) -> None:
        """Note that a file isn't used.

        Args:
            path: The archive's.
            kind: In a word: "short", "long", "different", ….
            reason: In a sentence.
        """
        number = hash(path)
        with self._lock:
            if self._kinds.get(number) == kind:
                return
            if len(self._kinds) < _REMEMBERED:
                self._kinds[number] = kind
            self._counts[kind] += 1
            if len(self._named) < _NAMED or path in self._named:
                self._named[path] = reason
            now = self._clock()
            is_first = now - self._said_s.get(kind, -_SAY_AGAIN_S) >= _SAY_AGAIN_S
            if is_first:
                self._said_s[kind] = now
        self._counters.add("local_refused")
        more = "; of others like it `empiarfs status` tells" if is_first else ""
        logger.log(
            logging.WARNING if is_first else logging.DEBUG,
            "the local copy of %r in %s is not used, the archive's file is: %s%s",
            path,
            self._directory,
            reason,
            more,
        )

    def as_json(self) -> dict[str, object]:
        """Return the counts by kind and the first names, for `status`."""
        with self._lock:
            named = [{"path": path, "reason": reason} for path, reason in self._named.items()]
            return {"refused": dict(self._counts), "names": named}
