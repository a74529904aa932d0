"""What is set once for a mount: its owner, how long calls wait, what the kernel may do at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from empiarfs.fuse import library

# Nearly every read comes as a read-ahead of the kernel, of which it sends so many at once: 64
# that waited for a dead archive blocked every other read, 512 don't (103 threads, 20 MB).
_MAX_BACKGROUND = 512
# With a limit of threads, some must be left for `ls`: 300 readers that waited took all 256.
_THREADS_FOR_OTHERS = 64


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """How long calls may wait, and who owns the files.

    Attributes:
        wait_s: Seconds after which a read that gets no answer fails; may be infinite.
        lookup_s: Seconds after which a call does that looks something up, all look-ups
            that the kernel makes of it together.
        uid: Owner of every file.
        gid: Group of every file.
        umask: Permission bits that files and directories lack.
    """

    wait_s: float = 900.0
    lookup_s: float = 90.0
    uid: int = 0
    gid: int = 0
    umask: int = 0o022


def tune(connection: Any) -> None:
    """Set what the kernel may do at once, of what it offers when a mount begins."""
    if connection is None:
        return
    most = _MAX_BACKGROUND
    if library.knows_max_threads():
        most = min(most, library.MAX_THREADS - _THREADS_FOR_OTHERS)
    connection.max_background = most
    connection.congestion_threshold = most * 3 // 4
    if library.VERSION >= (3, 0):
        # It would fetch attributes that nobody asked for: 15 % slower.
        connection.want &= ~(library.CAPABILITY_READDIRPLUS | library.CAPABILITY_READDIRPLUS_AUTO)
