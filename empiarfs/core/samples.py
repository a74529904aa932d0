"""The first few of many files, or a sample of them.

A sample is made of the files whose names have the smallest hashes, so it needs no memory but
for itself, and doesn't depend on the order in which files come: the same seed, number and
paths give the same files, on any machine and with any release. A file that is added takes
the place of at most one other.

Pure functions, safe from any thread.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable
from typing import TypeVar

_Thing = TypeVar("_Thing")


def sample(
    things: Iterable[_Thing], number: int, seed: int, path_of: Callable[[_Thing], str]
) -> list[_Thing]:
    """Return a sample of `number` things, or all if there are fewer, in their order.

    Args:
        things: Any number of them; `number` and one more are held at a time.
        number: How many, at least 1.
        seed: Another one gives another sample.
        path_of: Returns the path of a thing, below the archive's root.

    >>> sample("abcdefgh", 3, 1, str), sample("hgfedcba", 3, 1, str)
    (['a', 'b', 'h'], ['h', 'b', 'a'])
    """
    key = hashlib.blake2b(str(seed).encode(), digest_size=16).digest()
    kept: list[tuple[int, int, _Thing]] = []
    for place, thing in enumerate(things):
        path = path_of(thing).encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(path, digest_size=16, key=key).digest()
        # The place is unique, so things needn't be comparable.
        row = (-int.from_bytes(digest, "big"), place, thing)
        if len(kept) < number:
            heapq.heappush(kept, row)
        elif row[0] > kept[0][0]:
            heapq.heapreplace(kept, row)
    return [thing for _, _, thing in sorted(kept, key=lambda row: row[1])]
