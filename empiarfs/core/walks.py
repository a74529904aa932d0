"""A walk: somebody goes through a directory in some order and reads in some manner.

It keeps what was planned of the files that come next, and whether that came true. When to
begin one and how much to plan is decided by `empiarfs.core.neighbours`.

Pure; not thread-safe.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from empiarfs.core.manners import Footprint, Manner
from empiarfs.core.orders import Names, Order
from empiarfs.core.ranges import ByteRange

# A planned file that so many later ones were opened before will not be opened any more.
# `xargs -P 8` opens eight at a time, in any order.
_MOST_OVERTAKEN = 12


@dataclass(frozen=True, slots=True)
class Wish:
    """What to fetch of a file.

    Attributes:
        name: Its name.
        manner: How it will be read.
        most: Bytes to fetch at most, from the start of what will be read.
    """

    name: str
    manner: Manner
    most: int

    def ranges(self, file_size: int) -> Iterator[ByteRange]:
        """Yield what to fetch of the file, which has `file_size` bytes."""
        left = self.most
        for part in self.manner.ranges(file_size):
            if left > 0:
                yield ByteRange(part.start, min(part.stop, part.start + left))
            left -= len(part)


@dataclass(slots=True)
class Planned:
    """A wish that was handed out.

    Attributes:
        wish: The wish.
        size: Bytes that it is for, as far as the listing tells.
        overtaken: How many files that come later were opened since.
    """

    wish: Wish
    size: int
    overtaken: int = 0


class Walk:
    """Somebody goes through a directory in some order and reads in some manner.

    Attributes:
        order: The order.
        manner: The manner.
        last: The file opened last.
        reached: The last file planned, or opened if none is planned beyond it.
        ahead: How many files to keep planned.
        read: Bytes that were read of it, estimated.
        planned: What was planned and not opened yet, by name, in order.
        opened: Files opened whose manner was not looked at yet, by name, in order.
        misses: Files opened that weren't planned, since the last that was.
        misread: Files read in another manner, since the last that was read in this one.
        latest: How the file looked at last was read.
    """

    def __init__(self, order: Order, manner: Manner, last: str, read: int, ahead: int) -> None:
        self.order = order
        self.manner = manner
        self.last = self.reached = last
        self.ahead = ahead
        self.read = read
        self.planned: dict[str, Planned] = {}
        self.opened: OrderedDict[str, Footprint] = OrderedDict()
        self.misses = 0
        self.misread = 0
        self.latest: Manner | None = None

    @property
    def is_over(self) -> bool:
        """Whether two files in a row were others, or read otherwise, than planned."""
        return self.misses > 1 or self.misread > 1

    def leads_to(self, name: str, names: Names) -> bool:
        """Tell whether `name` is planned, or comes next."""
        return name in self.planned or self.order.after(self.last, names) == name

    def arrive(self, name: str, footprint: Footprint) -> tuple[Wish | None, bool]:
        """Go on to `name`; return what was planned of it, and whether the last was hungry."""
        before = next(reversed(self.opened.values()), None)
        planned = self.planned.pop(name, None)
        if planned is None:
            self.reached = name
        else:
            self.read += planned.size
        self.last = name
        self.misses = 0
        self.opened[name] = footprint
        return (planned.wish if planned else None), before is None or before.was_hungry

    def overtaken(self, name: str) -> list[Planned]:
        """Drop and return what lies so far before `name` that it will not be opened."""
        for other, planned in self.planned.items():
            if other == name:
                break
            planned.overtaken += 1
        late = [p for p in self.planned.values() if p.overtaken > _MOST_OVERTAKEN]
        return [self.planned.pop(p.wish.name) for p in late]

    def miss(self) -> list[Planned]:
        """Plan for less, as another file was opened; return what is given up."""
        self.misses += 1
        self.ahead = max(1, self.ahead // 2)
        keep = 0 if self.is_over else self.ahead
        return self._cut(keep)

    def end(self) -> list[Planned]:
        """Return all that is planned, and give it up."""
        return self._cut(0)

    def _cut(self, keep: int) -> list[Planned]:
        dropped = [self.planned.pop(name) for name in list(self.planned)[keep:]]
        self.reached = next(reversed(self.planned), self.last)
        return dropped

    def look_back(self) -> int:
        """See how the files opened before the last were read; return bytes read in vain."""
        vain = 0
        for name, footprint in list(self.opened.items())[:-1]:
            # A reader may leave its files open; two files later it has read what it will.
            if not footprint.is_over and name in list(self.opened)[-3:]:
                continue
            del self.opened[name]
            manner = footprint.manner()
            if manner is None:
                continue  # nothing came here: the kernel had it
            common = self.manner.in_common(manner)
            if common is None:
                self.misread += 1
                vain += max(0, self.manner.size_for(footprint.file_size) - manner.size)
                continue
            self.misread = 0
            # What the last two have in common may be more than the walk began with.
            recent = self.latest.in_common(manner) if self.latest is not None else None
            self.manner, self.latest = recent or common, manner
        return vain
