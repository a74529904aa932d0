"""In which order a program goes through the names of a directory.

    order     next name                                   who goes so
    --------  ------------------------------------------  ----------------------------------
    listed    the next one in the listing with the same   `sorted`, `cp -r`, shells
              suffix
    numbered  one of its numbers is higher by as much as  natural sorting, where the listing
              between the two before                      has frame_10 before frame_2; steps

Both may go backwards. The listing's order counts first. A suffix is what follows the last
dot: movies are read without the `.mdoc` that lies beside each of them.

Pure; names are looked at one by one and no directory is ever sorted, since a daemon of one
interpreter must not spend milliseconds on a directory of 20,000 names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from empiarfs.core.listing import ListingItem

# How many rows to skip at most on the way to the next one of the same suffix.
_FURTHEST = 64
_NUMBER = re.compile(r"[0-9]+")


def suffix_of(name: str) -> str:
    """Return what follows the last dot of `name`; "" if there is none."""
    return name.rpartition(".")[2] if "." in name else ""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a directory.

    Attributes:
        items: The rows of its listing.
        rows: Index into `items` by name.
    """

    items: Sequence[ListingItem]
    rows: Mapping[str, int]

    def has_file(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        row = self.rows.get(name)
        return row is not None and not self.items[row].is_directory

    def beside(self, name: str, step: int) -> str | None:
        """Return the nearest file with the suffix of `name`, after it or, for -1, before."""
        row = self.rows.get(name)
        if row is None:
            return None
        suffix = suffix_of(name)
        last = len(self.items) if step > 0 else -1
        for index in range(row + step, last, step)[:_FURTHEST]:
            item = self.items[index]
            if not item.is_directory and suffix_of(item.name) == suffix:
                return item.name
        return None


@dataclass(frozen=True, slots=True)
class Order:
    """An order in which to go through names.

    Attributes:
        step: 1 for forwards and -1 for backwards in the listing; or what to add to a number.
        number: Which of the numbers in a name changes, counted from 0; None for the
            listing's order.
    """

    step: int
    number: int | None = None

    def after(self, name: str, names: Names) -> str | None:
        """Return the file that comes after `name`, or None."""
        if self.number is None:
            return names.beside(name, self.step)
        raised = _with_number_raised(name, self.number, self.step)
        return next(filter(names.has_file, raised), None)

    @property
    def reversed(self) -> Order:
        """The order the other way round."""
        return Order(-self.step, self.number)


def order_between(name: str, following: str, names: Names) -> Order | None:
    """Return the order in which `following` comes after `name`, or None."""
    if suffix_of(name) != suffix_of(following):
        return None
    for step in (1, -1):
        if names.beside(name, step) == following:
            return Order(step)
    return _numbered(name, following)


def _numbered(name: str, following: str) -> Order | None:
    numbers, others = _NUMBER.findall(name), _NUMBER.split(name)
    if not numbers or _NUMBER.split(following) != others:
        return None
    changed = [
        (index, int(after) - int(before))
        for index, (before, after) in enumerate(
            zip(numbers, _NUMBER.findall(following), strict=True)
        )
        if before != after
    ]
    if len(changed) != 1 or changed[0][1] == 0:
        return None
    index, step = changed[0]
    return Order(step, index) if following in _with_number_raised(name, index, step) else None


def _with_number_raised(name: str, index: int, step: int) -> tuple[str, ...]:
    """Return `name` with its number `index` raised by `step`, as wide as before and as not."""
    found = list(_NUMBER.finditer(name))
    if index >= len(found) or int(found[index][0]) + step < 0:
        return ()
    match = found[index]
    text = str(int(match[0]) + step)
    texts = dict.fromkeys((text.zfill(len(match[0])), text))
    return tuple(name[: match.start()] + text + name[match.end() :] for text in texts)
