"""What a mount's process holds, seen from outside.

Threading: values only.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Held:
    """What a process holds at a moment.

    Attributes:
        at_s: Seconds since the soak began.
        descriptors: Open file descriptors.
        sockets: Those of them that are sockets.
        threads: Threads.
        memory: Resident bytes.
        heap: Resident bytes without those of mapped files.
    """

    at_s: float
    descriptors: int
    sockets: int
    threads: int
    memory: int
    heap: int


def held_by(pid: int, at_s: float) -> Held:
    """Return what a process holds now.

    Raises:
        OSError: There is no such process.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    names = []
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(OSError):  # it was closed meanwhile
            names.append(os.readlink(entry.path))
    return Held(
        at_s,
        descriptors=len(names),
        sockets=sum(name.startswith("socket:") for name in names),
        threads=_number(status, "Threads"),
        memory=_number(status, "VmRSS") * 1024,
        heap=_number(status, "RssAnon") * 1024,
    )


def about(samples: Sequence[Held], at_s: float, *, within_s: float = 10.0) -> Held:
    """Return the medians of the samples around a moment, since each is of a busy process."""
    near = [each for each in samples if abs(each.at_s - at_s) <= within_s] or list(samples)
    values = {
        name: int(statistics.median(getattr(each, name) for each in near))
        for name in ("descriptors", "sockets", "threads", "memory", "heap")
    }
    return Held(at_s, **values)


def _number(status: str, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0
