"""What is on its way over a simulated link, and the memory that holds it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from tests.support.link_loop import Loop

BUFFER_SIZE = 262_144
# Chunks below this are copied: a whole buffer for each answer to a HEAD request would be
# much memory for little.
_COPIED_BELOW = 32_768
_MOST_FREE = 64

Action = Callable[[], None]


class Buffers:
    """Buffers of `BUFFER_SIZE` bytes, used again and again."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def take(self) -> memoryview:
        """Return a buffer; its bytes are anything."""
        return memoryview(self._free.pop() if self._free else bytearray(BUFFER_SIZE))

    def give(self, view: memoryview) -> None:
        """Take back the buffer that `view` shows some of; others are left alone."""
        if isinstance(view.obj, bytearray) and len(self._free) < _MOST_FREE:
            self._free.append(view.obj)

    def kept(self, view: memoryview, size: int) -> memoryview:
        """Return the first bytes of a buffer, to be given back when they are done with."""
        if size >= _COPIED_BELOW:
            return view[:size]
        copy = memoryview(bytes(view[:size]))
        self.give(view)
        return copy


class DelayLine:
    """Chunks and actions that follow each other, each with the moment at which it arrives.

    Args:
        loop: Whose timers are used.
        buffers: Where chunks that have arrived, or never will, are given back.
        deliver: Takes a chunk and returns how many of its bytes it took. Of less than all
            the rest waits until somebody calls `flush`. It may also `clear` the line.

    Attributes:
        size: Bytes on the line.
    """

    def __init__(self, loop: Loop, buffers: Buffers, deliver: Callable[[memoryview], int]) -> None:
        self.size = 0
        self._loop = loop
        self._buffers = buffers
        self._deliver = deliver
        self._things: deque[tuple[float, memoryview | Action]] = deque()
        self._is_timed = False
        self._is_stuck = False

    def put(self, due_s: float, thing: memoryview | Action) -> None:
        """Let a chunk arrive at `due_s`, or an action happen; never before those before it."""
        self._things.append((due_s, thing))
        if isinstance(thing, memoryview):
            self.size += len(thing)
        self._time()

    def flush(self) -> None:
        """Deliver what is due."""
        self._is_stuck = False
        now = time.monotonic()
        while self._things and self._things[0][0] <= now:
            due_s, thing = self._things.popleft()
            if not isinstance(thing, memoryview):
                thing()
            elif not self._deliver_chunk(due_s, thing):
                return
        self._time()

    def clear(self) -> int:
        """Drop everything; return how many bytes that was."""
        dropped, self.size = self.size, 0
        while self._things:
            thing = self._things.popleft()[1]
            if isinstance(thing, memoryview):
                self._buffers.give(thing)
        return dropped

    def _deliver_chunk(self, due_s: float, chunk: memoryview) -> bool:
        """Return True if all of it was taken."""
        # Off the line while it is delivered: whoever clears the line meanwhile would count it.
        self.size -= len(chunk)
        taken = self._deliver(chunk)
        if taken == len(chunk):
            self._buffers.give(chunk)
            return True
        self._is_stuck = True
        self._things.appendleft((due_s, chunk[taken:]))
        self.size += len(chunk) - taken
        return False

    def _time(self) -> None:
        if self._things and not self._is_timed and not self._is_stuck:
            self._is_timed = True
            self._loop.at(self._things[0][0], self._on_time)

    def _on_time(self) -> None:
        self._is_timed = False
        self.flush()
