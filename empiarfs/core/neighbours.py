"""The planner of one directory: which files to fetch from before anyone opens them.

People and programs go through directories in order, and read each file in the same manner:
its header, all of it, the same frames. Told about each file that is opened, this planner
recognises such a *walk* and answers with what to fetch of the files that come next. It never
fetches, waits, locks or looks at a clock. `empiarfs.foresight` holds one for each directory
and carries the plans out.

    what is seen                            what is planned
    --------------------------------------  ------------------------------------------------
    two neighbours read in one manner, one  the third, and four after it, all in the manner
    of which had to wait; a third is opened that those two have in common
    a planned one is opened, and the one    twice as many
    before had to wait all the same
    a planned one is opened                 as many as before
    one is opened that wasn't planned       half as many; none after a second such
    two were read in another manner         none
    a big file that is read whole           nothing, until its reader comes near its end:
                                            then the beginning of the next

Bounds: `maximum` bytes and `files` files for a walk; twice the bytes that its files have had
read; and a `Budget`, shared by all directories, for what was fetched and never read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from empiarfs.core.manners import Footprint, Manner
from empiarfs.core.orders import Names, Order, order_between, suffix_of
from empiarfs.core.sizes import bounds_of
from empiarfs.core.walks import Planned, Walk, Wish

_MiB = 1024 * 1024

# Files that were opened last, among which walks are looked for. More than the readers that
# `xargs -P` starts at a time.
_RECENT = 32
# How many files programs open at a time, `xargs -P 8` for one.
_AT_A_TIME = 8
# Of a file whose size the listing doesn't tell.
_UNKNOWN_SIZE = _MiB


@dataclass(frozen=True, slots=True)
class NeighboursConfig:
    """How much to plan.

    Attributes:
        maximum: Bytes that may be planned and not read yet, for one walk.
        files: Files of which something may be planned and not opened yet.
        first: How many files a walk begins with.
        big: Files of which more bytes than this would be read are planned only when the
            reader of the one before comes near its end.
        walks: How many walks through one directory are told apart.
        vain: Bytes that may be fetched in vain at least, and
        vain_share: what part of what was read lately.
    """

    maximum: int = 32 * _MiB
    files: int = 64
    first: int = 4
    big: int = 8 * _MiB
    walks: int = 4
    vain: int = 16 * _MiB
    vain_share: float = 0.15


class Budget:
    """How much was planned in vain lately; one for all directories. Not thread-safe."""

    def __init__(self, config: NeighboursConfig | None = None) -> None:
        self._config = config or NeighboursConfig()
        self._read = 0
        self._vain = 0

    @property
    def vain(self) -> int:
        """Bytes planned and never read, of late."""
        return self._vain

    @property
    def is_left(self) -> bool:
        """Whether more may be planned."""
        return self._vain <= max(self._config.vain, self._config.vain_share * self._read)

    def note_read(self, size: int) -> None:
        """Note that bytes were read, planned or not."""
        self._read += size
        if self._read > 64 * self._config.vain:
            # What lies long back counts less and less.
            self._read //= 2
            self._vain //= 2

    def note_vain(self, size: int) -> None:
        """Note that bytes were planned and will not be read."""
        self._vain += size


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a planner says when a file is opened.

    Attributes:
        wishes: What to fetch, in this order.
        given_up: Names of files that were planned and will not be opened.
        expected: How the file that is opened will be read; None if nothing is known.
        planned: Of this file, what was planned before or is now; None for nothing.
    """

    wishes: tuple[Wish, ...] = ()
    given_up: tuple[str, ...] = ()
    expected: Manner | None = None
    planned: Wish | None = None


class Neighbours:
    """Plans for the readers of one directory. Not thread-safe.

    Args:
        budget: What may be planned in vain.
        config: How much to plan.
    """

    def __init__(self, budget: Budget, config: NeighboursConfig | None = None) -> None:
        self._budget = budget
        self._config = config or NeighboursConfig()
        self._recent: OrderedDict[str, Footprint] = OrderedDict()  # the last one last
        self._walks: list[Walk] = []

    def opened(self, name: str, footprint: Footprint, names: Names) -> Foreseen:
        """Return what to do now that a file is opened.

        Args:
            name: The file.
            footprint: What will be read of it, which grows from now on; and what was, if
                it was open before.
            names: The directory as it is listed now.
        """
        known = name in self._recent
        self._recent[name] = footprint
        self._recent.move_to_end(name)
        if len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        walk = next((w for w in self._walks if w.leads_to(name, names)), None)
        if walk is not None:
            return self._go_on(walk, name, footprint, names)
        if known:
            # Opened once more, as many programs do; that tells nothing new.
            again = next((w for w in self._walks if w.last == name), None)
            return Foreseen(expected=again.manner if again else None)
        given_up = self._miss(name)
        begun = self._begin(name, names)
        if begun is None:
            return Foreseen(given_up=given_up)
        self._walks.insert(0, begun)
        begun.opened[name] = footprint
        first = Wish(name, begun.manner, self._config.big)
        for walk in self._walks[self._config.walks :]:
            given_up += self._give_up(walk.end())
        del self._walks[self._config.walks :]
        wishes = self._extend(begun, names)
        if not self._budget.is_left:
            return Foreseen(wishes, given_up, begun.manner)
        return Foreseen((first, *wishes), given_up, begun.manner, first)

    def ending(self, name: str, names: Names, most: int) -> tuple[Wish, ...]:
        """Return what to fetch now that a big file's reader comes near its end.

        Args:
            name: The file.
            names: The directory as it is listed now.
            most: Bytes to fetch of the next one, if it is big as well.
        """
        walk = next((w for w in self._walks if w.last == name), None)
        return self._extend(walk, names, most) if walk is not None else ()

    def coming(self, name: str, names: Names) -> list[str]:
        """Return the names that come after `name`, which is planned; more as a walk goes on.

        Nothing is fetched of them yet, but their sizes will be wanted.
        """
        walk = next((w for w in self._walks if name in w.planned), None)
        found: list[str] = []
        following = walk.order.after(name, names) if walk is not None else None
        while walk is not None and following is not None and len(found) < 2 * walk.ahead:
            found.append(following)
            following = walk.order.after(following, names)
        return found

    def end(self) -> tuple[str, ...]:
        """Forget everything; return the names of files that were planned in vain."""
        given_up: tuple[str, ...] = ()
        for walk in self._walks:
            given_up += self._give_up(walk.end())
        self._walks.clear()
        self._recent.clear()
        return given_up

    # -- walks -----------------------------------------------------------------------------

    def _go_on(self, walk: Walk, name: str, footprint: Footprint, names: Names) -> Foreseen:
        given_up = self._give_up(walk.overtaken(name))
        planned, hungry = walk.arrive(name, footprint)
        self._budget.note_vain(walk.look_back())
        if walk.is_over:
            self._walks.remove(walk)
            return Foreseen(given_up=given_up + self._give_up(walk.end()))
        if hungry:
            walk.ahead = min(2 * walk.ahead, self._config.files)
        wishes = self._extend(walk, names)
        return Foreseen(wishes, given_up, walk.manner, planned)

    def _miss(self, name: str) -> tuple[str, ...]:
        """Let the walks that would have gone to other files of this kind plan for less."""
        given_up: tuple[str, ...] = ()
        for walk in list(self._walks):
            if suffix_of(walk.last) == suffix_of(name):
                given_up += self._give_up(walk.miss())
                if walk.is_over:
                    self._walks.remove(walk)
        return given_up

    def _begin(self, name: str, names: Names) -> Walk | None:
        """Return the walk that has come to `name`, if two files before it show one."""
        for order in self._orders_to(name, names):
            second = order.reversed.after(name, names)
            first = order.reversed.after(second, names) if second is not None else None
            seen = [
                self._recent[n] for n in (first, second) if n is not None and n in self._recent
            ]
            manners = [m for m in (f.manner() for f in seen) if m is not None]
            if len(manners) < 2 or not any(f.was_hungry for f in seen):
                continue
            common = manners[0].in_common(manners[1])
            if common is not None:
                read = manners[0].size + manners[1].size
                return Walk(order, common, name, read, self._config.first)
        return None

    def _orders_to(self, name: str, names: Names) -> Iterator[Order]:
        """Yield the orders in which two of the files opened last may come before `name`."""
        yield Order(1)
        yield Order(-1)
        alike = [other for other in self._recent if suffix_of(other) == suffix_of(name)]
        # Some at a time may have been opened in another order than they are read.
        for other in reversed(alike[-_AT_A_TIME - 1 : -1]):
            order = order_between(other, name, names)
            if order is not None and order.number is not None and abs(order.step) == 1:
                yield order
        # Any three numbers of a random sequence may be equally far apart by chance; three in
        # a row hardly ever are.
        if len(alike) > 2:
            order = order_between(alike[-2], name, names)
            if order is not None and order.reversed.after(alike[-2], names) == alike[-3]:
                yield order

    def _give_up(self, planned: list[Planned]) -> tuple[str, ...]:
        for one in planned:
            self._budget.note_vain(one.size)
        return tuple(one.wish.name for one in planned)

    # -- plans -----------------------------------------------------------------------------

    def _extend(self, walk: Walk, names: Names, most: int = 0) -> tuple[Wish, ...]:
        """Plan for further files, as many as may be; of a big one for `most` bytes."""
        wishes: list[Wish] = []
        room = min(self._config.maximum, 2 * walk.read)
        room -= sum(planned.size for planned in walk.planned.values())
        while self._budget.is_left and len(walk.planned) < walk.ahead:
            name = walk.order.after(walk.reached, names)
            if name is None or name in walk.planned:
                break
            size = walk.manner.size_for(_listed_size(names, name))
            if size > self._config.big:
                # The reader of the file before has a use for the link until its end.
                if walk.planned or not most:
                    break
                size = min(size, most)
            elif size > room and walk.planned:
                break
            room -= size
            wish = Wish(name, walk.manner, size)
            walk.planned[name] = Planned(wish, size)
            walk.reached = name
            wishes.append(wish)
        return tuple(wishes)


def _listed_size(names: Names, name: str) -> int:
    """Return the largest size in bytes that a file may have by its row in the listing."""
    bounds = bounds_of(names.items[names.rows[name]].size_text)
    return bounds[1] if bounds is not None else _UNKNOWN_SIZE
