"""Which bytes of a copy are known to be the archive's.

    local_verify   handed out from the copy
    -------------  ---------------------------------------------------------------------
    none           everything; name and size were compared
    sample         everything, once some pieces were compared: the first, the last, two
                   between them, and one in each of the first few holes
    full           pieces that were compared, each when it is read for the first time

Threading: `Equality` is safe from any thread; the rest has no state.
"""

from __future__ import annotations

import threading
from hashlib import blake2b

from empiarfs.core.blocks import PIECE_SIZE

NONE, SAMPLED, FULL = VERIFIES = ("none", "sample", "full")
MOST_HOLES = 4
_BETWEEN = 2
_STEP = 4096


def sampled_pieces(key: str, size: int, holes: list[int]) -> list[int]:
    """Return which pieces to compare, in order.

    Args:
        key: Something of the file; others have other pieces.
        size: Bytes of the file.
        holes: Offsets of holes.
    """
    count = -(-size // PIECE_SIZE)
    digest = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8 * _BETWEEN).digest()
    between = [int.from_bytes(digest[at : at + 8], "big") for at in range(0, len(digest), 8)]
    chosen = {0, count - 1, *(number % count for number in between)} if count else set()
    return sorted(chosen | {hole // PIECE_SIZE for hole in holes})


class Equality:
    """What of one copy was found equal.

    Args:
        size: Bytes of the file.
        is_whole: All of it may be handed out.
    """

    def __init__(self, size: int, *, is_whole: bool) -> None:
        self._left = 0 if is_whole else -(-size // PIECE_SIZE)
        self._equal = bytearray(self._left)  # one for each piece; guarded by _lock
        self._lock = threading.Lock()

    @property
    def is_whole(self) -> bool:
        """Whether all of it may be handed out."""
        return not self._left

    def holds(self, pieces: range) -> bool:
        """Tell whether these pieces may be handed out."""
        if not self._left:
            return True
        with self._lock:
            return not self._left or all(self._equal[pieces.start : pieces.stop])

    def add(self, pieces: range) -> bool:
        """Note pieces that are equal; return whether these were the last."""
        with self._lock:
            if not self._left:
                return False
            for piece in pieces:
                self._left -= not self._equal[piece]
                self._equal[piece] = 1
            return not self._left

    def add_all(self) -> None:
        """Note that all of it may be handed out."""
        with self._lock:
            self._left = 0


def difference(ours: bytes, theirs: bytes, start: int) -> int | None:
    """Return about where bytes begin to differ, None if all are equal.

    Args:
        ours: Bytes of the copy.
        theirs: As many of the archive's file.
        start: Where in the file they begin.

    Returns:
        An offset in the file, at most 4095 bytes before the first that differs.
    """
    if ours == theirs:
        return None
    mine, other = memoryview(ours), memoryview(theirs)
    steps = range(0, max(len(ours), len(theirs)), _STEP)
    return next(start + at for at in steps if mine[at : at + _STEP] != other[at : at + _STEP])
