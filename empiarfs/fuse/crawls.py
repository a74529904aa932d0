"""Which programs go through all of the archive, for the log and for `status`.

Opening a directory costs a look into a dictionary here, and only at the root and at entries
a look into /proc, since a program's threads are one crawl. `empiarfs.core.crawls` says what
one is.

Threading: safe from any thread; /proc is read without the lock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from empiarfs.core.crawls import CrawlWatch
from empiarfs.fuse.callers import is_gone, program_of

logger = logging.getLogger(__name__)

_NAMES_KEPT = 256


class Crawls:
    """Takes down which process opens which directory.

    Args:
        program: Returns the process that a thread belongs to, and its name.
        now: Wall-clock seconds since 1970.
    """

    def __init__(
        self,
        program: Callable[[int], tuple[int, str]] = program_of,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._program = program
        self._now = now
        self._lock = threading.Lock()
        self._watch = CrawlWatch()  # guarded by _lock
        self._names: dict[int, str] = {}  # of processes; guarded by _lock

    def opened(self, pid: int, path: str) -> None:
        """Note that a process or thread opens a directory.

        Args:
            pid: Its number; 0 for one that can't be seen from here.
            path: Below the archive's root; "" for the root.
        """
        if not pid:
            return
        process, name = pid, ""
        if "/" not in path:
            process, name = self._program(pid)
        elif pid not in self._watch:
            return
        with self._lock:
            if not path:
                if len(self._names) >= _NAMES_KEPT:
                    self._names = {
                        each: n for each, n in self._names.items() if each in self._watch
                    }
                self._names[process] = name
                self._watch.begin(process, self._now())
                return
            found = self._watch.go(process, path, self._now())
            name = self._names.get(process, name)
        if found is not None:
            logger.info(
                "crawl: %s (process %d) goes through all of the archive; it is at %r",
                name or "a program",
                process,
                path,
            )

    def as_json(self) -> list[dict[str, object]]:
        """Return the crawls that were seen last, as values that JSON can hold."""
        with self._lock:
            found = [
                {
                    "pid": steps.process,
                    "program": self._names.get(steps.process, ""),
                    "began_s": steps.began_s,
                    "last_s": steps.last_s,
                    "entries": steps.entries,
                    "directories": steps.directories,
                    "at": steps.at,
                }
                for steps in self._watch.crawls()
            ]
        return [{**each, "has_ended": is_gone(int(str(each["pid"])))} for each in found]
