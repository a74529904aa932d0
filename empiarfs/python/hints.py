"""Hints of what will be read: fetched when nothing more pressing is to be done.

A hint is worth nothing once it is late, and costs memory while it is early. So hints are
carried out in their order, each as soon as what was foreseen before it leaves room
(`empiarfs.inflight`), and of more than `_MOST` only the latest are kept. Several are looked into
at a time, so that one file whose size isn't known holds up no other; but of those that can be
fetched the oldest is asked for to its end before the next one: it is read first, from memory if
nothing else has come between. What goes wrong with one is left to the read that it was for.

Threading: `Hints.add` is safe from any thread and waits for nothing; threads of its own end as
soon as there is no hint left.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable

from empiarfs import threads
from empiarfs.core.blocks import whole_pieces
from empiarfs.core.files import RemoteFile
from empiarfs.core.ranges import ByteRange
from empiarfs.errors import EmpiarFSError
from empiarfs.python.places import located
from empiarfs.python.session import Live, Session

logger = logging.getLogger(__name__)

_MOST = 100_000
# Each may wait for a listing or for sizes; what it fetches then are the fetcher's threads.
_AT_ONCE = 4
# What is asked for at a time, of what may be foreseen in all.
_STEP = 4 * 1024 * 1024
_LOOK_S = 0.01
_LONGEST_LOOK_S = 0.25
# How long a hint that can be fetched waits for older ones that are being looked up.
_GRACE_S = 0.1


class Hints:
    """Carries out the hints of one session."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._lock = threading.Lock()
        self._left: deque[tuple[str, ByteRange]] = deque(maxlen=_MOST)  # guarded by _lock
        self._running: set[threading.Thread] = set()  # guarded by _lock
        self._closed = threading.Event()
        self._numbers = itertools.count()
        self._turn = threading.Condition()
        # Numbers of hints: all that are carried out, and those that were looked up. By _turn.
        self._under_way: set[int] = set()
        self._fetchable: set[int] = set()

    def add(self, wanted: Iterable[tuple[str, ByteRange]]) -> None:
        """Take hints: paths below the archive's root, and ranges of those files."""
        with self._lock:
            self._left.extend(wanted)
            while self._left and len(self._running) < _AT_ONCE and not self._closed.is_set():
                thread = threads.start("hint", self._work)
                if thread is None:
                    return
                self._running.add(thread)
                if len(self._running) >= len(self._left):
                    return

    def close(self) -> None:
        """Forget all hints, and end the threads."""
        self._closed.set()
        with self._turn:
            self._turn.notify_all()
        with self._lock:
            self._left.clear()
            running = list(self._running)
        for thread in running:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._left or self._live.is_closed:
                    self._running.discard(threading.current_thread())
                    return
                path, wanted = self._left.popleft()
                number = next(self._numbers)
                with self._turn:
                    self._under_way.add(number)
            try:
                self._carry_out(number, path, wanted)
            except EmpiarFSError as exc:
                logger.debug("a hint about %r: %s", path, exc)
            except Exception:
                logger.exception("a hint about %r failed unexpectedly", path)
            finally:
                with self._turn:
                    self._under_way.remove(number)
                self._let_others_go_first(number)

    def _wait_for_turn(self, number: int) -> None:
        """Return when no older hint can be fetched; from now on this one can."""

        def is_first_of(numbers: set[int]) -> bool:
            return self._closed.is_set() or number == min(numbers)

        with self._turn:
            if number not in self._fetchable:
                # Older ones mostly need some microseconds more, and now and then seconds.
                self._turn.wait_for(lambda: is_first_of(self._under_way), _GRACE_S)
                self._fetchable.add(number)
            self._turn.wait_for(lambda: is_first_of(self._fetchable))

    def _let_others_go_first(self, number: int) -> None:
        with self._turn:
            self._fetchable.discard(number)
            self._turn.notify_all()

    def _carry_out(self, number: int, path: str, wanted: ByteRange) -> None:
        left = self._by_daemon(number, path, wanted)
        if left is not None:
            self._here(number, path, left)

    def _by_daemon(self, number: int, path: str, wanted: ByteRange) -> ByteRange | None:
        """Have the mount's daemon fetch it; return what is left if there is no daemon."""
        pause_s = _LOOK_S
        while wanted:
            part = ByteRange(wanted.start, min(wanted.start + _STEP, wanted.stop))
            answer = self._live.daemon.foresee(path, part, self._live.looking())
            if answer is None:
                return wanted
            self._wait_for_turn(number)
            wanted = wanted.clamp(answer.size)
            if answer.is_taken:
                wanted = ByteRange(min(part.stop, wanted.stop), wanted.stop)
                pause_s = _LOOK_S
            elif self._closed.wait(pause_s):
                return None
            else:
                # Each question costs the daemon what a small read does.
                pause_s = min(2 * pause_s, _LONGEST_LOOK_S)
        return None

    def _here(self, number: int, path: str, wanted: ByteRange) -> None:
        """Have this process fetch it."""
        self._let_others_go_first(number)  # while it is looked up
        parts = self._live.parts
        patience = self._live.looking()
        node = parts.tree.lookup(path, patience)
        file = RemoteFile(
            parts.client.base_url, node.path, parts.tree.version(node.path, patience)
        )
        wanted = whole_pieces(wanted.clamp(file.size), file.size)
        for start in range(wanted.start, wanted.stop, _STEP):
            self._wait_for_turn(number)
            part = ByteRange(start, min(start + _STEP, wanted.stop))
            while parts.source.room < len(part):
                if self._closed.wait(_LOOK_S):
                    return
            parts.source.prefetch(file, part)


def prefetch(wanted: Iterable[tuple[str | os.PathLike[str], int, int]]) -> None:
    """Say what will be read soon, in this order; return at once.

    Args:
        wanted: For each range the file, as `open` takes it, the offset of its first byte, and
            how many bytes it has. What lies past the end of the file is left out.

    Raises:
        ConfigError: A place can't be in the archive.
        ValueError: An offset or a size is negative.
    """
    hint_each((*located(word), ByteRange(at, at + size)) for word, at, size in wanted)


def hint_each(wanted: Iterable[tuple[Session, str, ByteRange]]) -> None:
    """Say what will be read soon, of the archives of several sessions; see `prefetch`."""
    found: dict[Session, list[tuple[str, ByteRange]]] = {}
    for session, path, part in wanted:
        found.setdefault(session, []).append((path, part))
    for session, ranges in found.items():
        hint(session, ranges)


def hint(session: Session, wanted: list[tuple[str, ByteRange]]) -> None:
    """Say what will be read soon; see `prefetch`."""
    session.ask("", lambda live: live.own(Hints).add(wanted))
