"""What drives a simulated link: sockets that are ready, timers, and the shared bottleneck.

One thread does everything, and waits where there is nothing to do. Waits are exact to some
ten microseconds, since a link's times are made of them: `epoll` alone would round them up to
whole milliseconds, so its descriptor is waited for by `select`.
"""

from __future__ import annotations

import heapq
import select
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Protocol

# Work that became possible longer ago than this isn't made up for: the machine, or a link
# that was cut off, was in its way, and a burst afterwards would be faster than the link.
_MAKE_UP_S = 0.1

Handler = Callable[[int], None]


class Loop:
    """Calls handlers when their descriptors are ready, and timers when they are due.

    Args:
        control: A descriptor that is watched even while the loop is paused.
        on_control: Called when it is readable.

    Attributes:
        resumed_s: When the last pause ended; 0.0 before any.
    """

    def __init__(self, control: int, on_control: Callable[[], None]) -> None:
        self.resumed_s = 0.0
        self._control = control
        self._on_control = on_control
        self._is_paused = False
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._last: int | None = None
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._is_over = False

    def add(self, fd: int, handler: Handler, events: int, *, last: bool = False) -> None:
        """Watch a descriptor; the handler gets the events, in the order of registration.

        Args:
            fd: The descriptor.
            handler: Whom to call.
            events: Of `select.EPOLL…`; errors and ends are always among them.
            last: Handle this one after all others that are ready at the same time.
        """
        self._epoll.register(fd, events)
        self._handlers[fd] = handler
        if last:
            self._last = fd

    def change(self, fd: int, events: int) -> None:
        """Watch a descriptor for other events from now on."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Stop watching a descriptor, before it is closed."""
        self._epoll.unregister(fd)
        del self._handlers[fd]

    def at(self, due_s: float, call: Callable[[], None]) -> None:
        """Call once the monotonic clock says `due_s`; equal ones in the order of asking."""
        heapq.heappush(self._timers, (due_s, next(self._numbers), call))

    def pause(self) -> None:
        """Handle nothing but the control descriptor; whatever happens is handled later."""
        self._is_paused = True

    def resume(self) -> None:
        """Handle everything again, and first what became ready or due meanwhile."""
        if self._is_paused:
            self._is_paused, self.resumed_s = False, time.monotonic()

    def stop(self) -> None:
        """Let `run` return."""
        self._is_over = True

    def run(self) -> None:
        """Handle everything until `stop`."""
        while not self._is_over:
            ready = self._wait()
            if not self._is_paused:
                if self._epoll in ready:
                    self._handle_events()
                self._call_timers()
            if self._control in ready:
                self._on_control()

    def close(self) -> None:
        """Give the epoll descriptor back; those that it watched stay open."""
        self._epoll.close()

    def _wait(self) -> list[int | select.epoll]:
        watched: list[int | select.epoll] = [self._control]
        if self._is_paused:
            return select.select(watched, [], [])[0]
        timeout = None
        if self._timers:
            timeout = max(0.0, self._timers[0][0] - time.monotonic())
        return select.select([*watched, self._epoll], [], [], timeout)[0]

    def _handle_events(self) -> None:
        last_events = 0
        for fd, events in self._epoll.poll(0, 256):
            # A handler before may have closed this one.
            handler = self._handlers.get(fd)
            if fd == self._last:
                last_events = events
            elif handler is not None:
                handler(events)
        if last_events and self._last is not None:
            self._handlers[self._last](last_events)

    def _call_timers(self) -> None:
        now = time.monotonic()
        # Timers that these set are for the next round, or sockets would never have theirs.
        newest = next(self._numbers)
        while self._timers and self._timers[0][0] <= now and self._timers[0][1] < newest:
            heapq.heappop(self._timers)[2]()


class Sender(Protocol):
    """Who has something for the bottleneck."""

    def send(self, start_s: float) -> int:
        """Put one portion on the link, which is free from `start_s` on; return its size.

        Zero if there was nothing after all. A sender with more to send offers itself again.
        """
        ...


class Bottleneck:
    """The rate that all connections share, one portion each in turn.

    Time is counted, not slept: each portion begins where the link was free and its sender
    ready, though both lie a little in the past, so that being woken late costs no rate.

    Attributes:
        rate: Bytes a second, or None.
        free_s: When the link has carried all that was put on it.
        late_s: By how much it was late at worst.
    """

    def __init__(self, loop: Loop, rate: int | None) -> None:
        self.rate = rate
        self.free_s = 0.0
        self.late_s = 0.0
        self._loop = loop
        self._ready: deque[tuple[float, Sender]] = deque()
        self._is_serving = False
        self._is_timed = False

    def offer(self, sender: Sender, ready_s: float) -> None:
        """Let `sender` send when it is its turn; it has been ready since `ready_s`."""
        self._ready.append((ready_s, sender))
        self._serve()

    def _serve(self) -> None:
        # A sender that offers itself again from within `send` waits for its turn.
        if self._is_serving or self._is_timed:
            return
        self._is_serving = True
        while self._ready:
            now = time.monotonic()
            if self.free_s > now:
                self._is_timed = True
                self._loop.at(self.free_s, self._go_on)
                break
            ready_s, sender = self._ready.popleft()
            start_s = max(ready_s, self.free_s, self._loop.resumed_s)
            self.late_s = max(self.late_s, now - start_s)
            start_s = max(start_s, now - _MAKE_UP_S)
            size = sender.send(start_s)
            if size and self.rate is not None:
                self.free_s = start_s + size / self.rate
        self._is_serving = False

    def _go_on(self) -> None:
        self._is_timed = False
        self._serve()
