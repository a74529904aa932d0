"""Tells a crawl, which goes through all of the archive, from other walks.

`find ~/empiar` or `du ~/empiar`, mostly by mistake, asks the archive for every directory of
every entry, which takes days. What goes on like that:

    a process that                                   is
    -----------------------------------------------  ---------------------------------------
    opens the root, as `ls` does                     watched for `WATCHED_S` after each step
    has opened the root, then 3 entries or 50        a crawl
    directories below them

A person with a file manager may look like one, too; being called so costs nothing. Pure; not
thread-safe.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

ENTRIES, DIRECTORIES = 3, 50
WATCHED_S = 300.0
_KEPT = 64


@dataclass(slots=True)
class Steps:
    """What a process has opened since it opened the root.

    Attributes:
        process: Its number.
        began_s: When it opened the root.
        last_s: When it opened a directory last.
        at: The directory that it opened last.
        entries: How many entries it came to.
        directories: How many directories it has opened, entries included, the root not.
        is_crawl: Whether it is taken for a crawl; stays so.
    """

    process: int
    began_s: float
    last_s: float
    at: str = ""
    entries: int = 0
    directories: int = 0
    is_crawl: bool = False
    _seen: set[str] = field(default_factory=set, repr=False)

    def go(self, path: str, now_s: float) -> bool:
        """Note a directory that was opened; tell whether that makes it a crawl."""
        entry = path.partition("/")[0]
        if entry not in self._seen:
            self.entries += 1
            # Whoever goes through an archive doesn't come back.
            self._seen = {entry} if self.is_crawl else self._seen | {entry}
        self.at, self.last_s = path, now_s
        self.directories += 1
        before = self.is_crawl
        self.is_crawl = before or self.entries >= ENTRIES or self.directories >= DIRECTORIES
        return self.is_crawl and not before


class CrawlWatch:
    """Watches the processes that opened the root."""

    def __init__(self) -> None:
        self._steps: OrderedDict[int, Steps] = OrderedDict()  # the last to begin is the last

    def __contains__(self, process: int) -> bool:
        return process in self._steps

    def begin(self, process: int, now_s: float) -> None:
        """Note that a process has opened the root."""
        steps = self._steps.get(process)
        if steps is not None and steps.is_crawl and now_s - steps.last_s <= WATCHED_S:
            return
        self._steps.pop(process, None)
        self._steps[process] = Steps(process, now_s, now_s)
        if len(self._steps) > _KEPT:
            # Those that only looked at the names, first.
            idle = next((each for each, s in self._steps.items() if not s.is_crawl), None)
            self._steps.pop(next(iter(self._steps)) if idle is None else idle)

    def go(self, process: int, path: str, now_s: float) -> Steps | None:
        """Note that a process has opened a directory below the root.

        Returns:
            What it did so far, if that has just made it a crawl.
        """
        steps = self._steps.get(process)
        if steps is None:
            return None
        if now_s - steps.last_s > WATCHED_S and not steps.is_crawl:
            del self._steps[process]
            return None
        return steps if steps.go(path, now_s) else None

    def crawls(self) -> list[Steps]:
        """Return what is taken for a crawl, the last to begin at the end."""
        return [steps for steps in self._steps.values() if steps.is_crawl]
