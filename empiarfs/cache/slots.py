"""Write slots: how many blocks are in writing on this machine, and what a killed writer left.

The database learns of a block only when its file is there, so bytes in writing are in no
sum. A slot bounds them: a locked file of the generation's folder, of which there are only a
few for all processes together. Before a writer creates a file it notes the file's name in
its slot, and wipes the note when all is done. Whoever gets a slot with a note in it has
found a killed writer's, and removes that file unless the database knows it. So what kills
leave behind never exceeds what is set aside for blocks in writing.

A note is one line: the `BlockKey.short` of one of the blocks in writing, then the names of
all files that may be left, separated by blanks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from empiarfs.cache.locks import BusyError, try_lock

# The kernel waits for one lock, not for the first of several, and a writer has a slot for a
# few milliseconds.
_POLL_S = 0.002
_NOTE_SIZE = 4096  # eight blocks, two names of some 60 characters each
_NO_NOTE = b"\0"

# Called with a key and file names that a killed writer noted.
Recover = Callable[[str, Sequence[str]], None]


class Slot:
    """A slot that this process holds."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def note(self, key: str, filenames: Sequence[str]) -> None:
        """Write down which files may be left if this process is killed now."""
        line = " ".join([key, *filenames]).encode("ascii") + b"\n"
        os.pwrite(self._descriptor, line, 0)

    def wipe(self) -> None:
        """Forget the note: nothing would be left."""
        os.pwrite(self._descriptor, _NO_NOTE, 0)  # 30 times quicker than to truncate

    def left_behind(self) -> tuple[str, Sequence[str]] | None:
        """Return what the note says, or None if there is none, or no whole one."""
        line, newline, _ = os.pread(self._descriptor, _NOTE_SIZE, 0).partition(b"\n")
        words = line.decode("ascii", "replace").split()
        if not newline or not words or line.startswith(_NO_NOTE):
            return None
        return words[0], words[1:]


class WriteSlots:
    """The slots of one generation.

    Args:
        folder: The generation's folder.
        count: How many there are; the same for all processes, since it follows from the
            limit.
        recover: What to do with what a killed writer left.
    """

    def __init__(self, folder: str, count: int, recover: Recover) -> None:
        self._paths = [os.path.join(folder, f"slot-{number}") for number in range(count)]
        self._recover = recover

    @contextmanager
    def hold(self, timeout_s: float) -> Iterator[Slot]:
        """Hold a slot, waiting for one if need be.

        Raises:
            BusyError: All were taken for all of `timeout_s`.
            OSError: The folder can't be used.
        """
        deadline = time.monotonic() + timeout_s
        while (descriptor := self._try_all()) is None:
            if time.monotonic() >= deadline:
                raise BusyError("too many writers at once")
            # The kernel waits for one lock, and any of them will do.
            time.sleep(_POLL_S)
        try:
            slot = Slot(descriptor)
            self._clean(slot)
            yield slot
        finally:
            os.close(descriptor)

    def recover_all(self) -> None:
        """Clean up behind all killed writers, as far as their slots are free."""
        for path in self._paths:
            if os.path.exists(path) and (descriptor := try_lock(path)) is not None:
                try:
                    self._clean(Slot(descriptor))
                finally:
                    os.close(descriptor)

    def _try_all(self) -> int | None:
        for path in self._paths:
            descriptor = try_lock(path)
            if descriptor is not None:
                return descriptor
        return None

    def _clean(self, slot: Slot) -> None:
        left = slot.left_behind()
        if left is not None:
            self._recover(*left)
        slot.wipe()
