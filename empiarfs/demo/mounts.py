"""Asks the kernel what is mounted, without touching a mount.

`os.path.ismount` would ask the file system itself, which may be the one that hangs.
"""

from __future__ import annotations

import os
import re
import select
from pathlib import Path

_OCTAL = re.compile(rb"\\([0-7]{3})")


def is_mounted(mount_point: Path) -> bool:
    """Tell whether something is mounted at this absolute path without symbolic links."""
    wanted = os.fsencode(mount_point)
    with open("/proc/self/mountinfo", "rb") as table:
        return any(_mount_point_of(line) == wanted for line in table)


def wait_for_change(seconds: float) -> None:
    """Wait until something is mounted or unmounted, for at most `seconds`."""
    with open("/proc/self/mounts", "rb") as table:
        poll = select.poll()
        # The kernel reports a change of the table as an exceptional condition.
        poll.register(table, select.POLLPRI)
        poll.poll(seconds * 1000)


def _mount_point_of(line: bytes) -> bytes:
    # Blanks, tabs, newlines and backslashes stand as octal numbers.
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), line.split(b" ")[4])
