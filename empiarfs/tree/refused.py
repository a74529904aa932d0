"""Which names of which listings can't be served, for `status`: a bounded memory.

A listing is text that somebody else wrote, and what can't be a file name in it is refused
(`empiarfs.core.links`). A user who misses a file must be able to find out, so each
directory's refusals are remembered as long as its latest listing has them: the count, which
the catalog keeps too, and the first names, which it doesn't.

Threading: safe from any thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

# An honest archive has none. At most 900 bytes a name, so 1 MB for all that a hostile one has.
DIRECTORIES_KEPT = 100
NAMES_KEPT = 10


class RefusedNames:
    """What was refused, by directory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Guarded by _lock; the directory noted last is the last.
        self._found: OrderedDict[str, tuple[int, tuple[str, ...]]] = OrderedDict()

    def note(self, path: str, count: int, names: Sequence[str] | None = None) -> None:
        """Note what the latest listing of a directory has.

        Args:
            path: The directory's.
            count: How many names were refused; 0 forgets the directory.
            names: The first of them, printable, with the reasons; None if only the count is
                known, which leaves names that are.
        """
        with self._lock:
            before = self._found.pop(path, (0, ()))
            if not count:
                return
            shown = before[1] if names is None else tuple(names[:NAMES_KEPT])
            self._found[path] = (count, shown)
            if len(self._found) > DIRECTORIES_KEPT:
                self._found.popitem(last=False)

    def as_json(self) -> list[dict[str, object]]:
        """Return the directories noted last, as values that JSON can hold."""
        with self._lock:
            return [
                {"directory": path, "count": count, "names": list(names)}
                for path, (count, names) in self._found.items()
            ]
