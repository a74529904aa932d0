"""How fast an archive was lately, kept in the cache directory for `plan` and the like.

A file for each archive, of one line for each measurement, the newest last: when it was made
(seconds since 1970), bytes, and seconds that they took. A line that isn't one is passed over.
Two processes that write at once lose one of two measurements, which is no harm.

Threading: `SpeedLog` is safe from any thread; it writes in a thread of its own, since the
disk may hang. The functions have no state.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from empiarfs import threads
from empiarfs.cache.small_files import read_small, write_small
from empiarfs.core.throughput import Measured, Throughput

logger = logging.getLogger(__name__)

_KEPT = 32
_MOST_BYTES = 8192
_CLOSE_S = 1.0
# Together they say more than one; but a laptop is elsewhere tomorrow.
_TOGETHER_S = 86_400.0
_LINE = re.compile(r"([0-9]{1,12}) ([0-9]{1,15}) ([0-9]{1,8}\.[0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Lately:
    """How fast it was, the last time that it was measured.

    Attributes:
        speed: Bytes a second, of all connections together.
        measured_s: When, in seconds since 1970.
    """

    speed: float
    measured_s: int


def read_speed(path: Path) -> Lately | None:
    """Return how fast it was in the newest measurements; None if there are none."""
    lines = _read(path)
    if not lines:
        return None
    newest_s = max(when_s for when_s, _ in lines)
    found = [each for when_s, each in lines if newest_s - when_s <= _TOGETHER_S]
    speed = sum(each.size for each in found) / sum(each.seconds for each in found)
    return Lately(speed, newest_s)


def write_measured(path: Path, found: Sequence[Measured], now_s: float) -> None:
    """Add measurements to the file.

    Raises:
        OSError: It can't be written.
    """
    lines = [*_read(path), *((int(now_s), each) for each in found)]
    text = "".join(f"{when_s} {m.size} {m.seconds:.3f}\n" for when_s, m in lines[-_KEPT:])
    write_small(path, text.encode("ascii"))


def _read(path: Path) -> list[tuple[int, Measured]]:
    try:
        text = read_small(path, _MOST_BYTES).decode("ascii", "replace")
    except OSError:
        return []
    matches = [_LINE.fullmatch(line) for line in text.splitlines()]
    found = [
        (int(match[1]), Measured(int(match[2]), float(match[3])))
        for match in matches
        if match is not None
    ]
    return [(when_s, each) for when_s, each in found if each.size > 0 and each.seconds > 0]


class SpeedLog:
    """Measures what one process fetches, and writes it down.

    Args:
        path: The file.
        least_s: As `Throughput` has it.
        clock: Seconds, monotonic.
    """

    def __init__(
        self, path: Path, least_s: float = 3.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._throughput = Throughput(least_s)  # guarded by _lock
        self._found: list[Measured] = []  # guarded by _lock
        self._writer: threading.Thread | None = None  # guarded by _lock

    def began(self) -> None:
        """Note that a request for bytes was sent."""
        with self._lock:
            self._note(self._throughput.began(self._clock()))

    def ended(self, size: int) -> None:
        """Note that it ended, and brought so many bytes."""
        with self._lock:
            self._note(self._throughput.ended(self._clock(), size))

    def close(self) -> None:
        """Write what was measured so far; not for long, if the disk hangs."""
        with self._lock:
            self._note(self._throughput.finish())
            writer = self._writer
        if writer is not None:
            writer.join(_CLOSE_S)

    def _note(self, found: Measured | None) -> None:
        # The caller holds _lock. Of a disk that hangs no more than one thread has to wait.
        if found is None:
            return
        self._found = [*self._found, found][-_KEPT:]
        if self._writer is None:
            self._writer = threads.start("speed", self._write)

    def _write(self) -> None:
        while True:
            with self._lock:
                found, self._found = self._found, []
                if not found:
                    self._writer = None
                    return
            try:
                write_measured(self._path, found, time.time())
            except OSError as exc:
                logger.info("the speed can't be written down: %s", exc)
