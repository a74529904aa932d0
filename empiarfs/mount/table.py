"""The kernel's list of mounts, which says what is mounted without touching any of it.

A mount whose daemon hangs blocks whoever looks at it, so everything that can be learnt
here is learnt here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_TYPE = "fuse.empiarfs"
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class MountedFileSystem:
    """A line of /proc/self/mountinfo.

    Attributes:
        device: Its device number, as `major:minor`.
        path: The mount point.
        kind: The type, such as `fuse.empiarfs`.
        source: What stands as the device.
        owner: The user who mounted it, as FUSE knows it; None for other file systems.
    """

    device: str
    path: str
    kind: str
    source: str
    owner: int | None

    @property
    def is_ours(self) -> bool:
        """Whether it is an empiarfs that we may unmount."""
        return self.kind == _TYPE and os.getuid() in (0, self.owner)


def _unescaped(raw: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), raw))


def parse_mountinfo(raw: bytes) -> list[MountedFileSystem]:
    """Return what the lines of a mountinfo file say, in their order."""
    found = []
    for line in raw.splitlines():
        before, separator, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if not separator or len(fields) < 6 or len(rest) < 3:
            continue
        owner = re.search(rb"(?:^|,)user_id=(\d+)", rest[2])
        found.append(
            MountedFileSystem(
                device=fields[2].decode("ascii", "replace"),
                path=_unescaped(fields[4]),
                kind=_unescaped(rest[0]),
                source=_unescaped(rest[1]),
                owner=int(owner[1]) if owner else None,
            )
        )
    return found


def mounts() -> list[MountedFileSystem]:
    """Return all mounts that this process can see."""
    with open("/proc/self/mountinfo", "rb") as file:
        return parse_mountinfo(file.read())


def our_mounts() -> list[MountedFileSystem]:
    """Return the empiarfs mounts that we may unmount."""
    return [mount for mount in mounts() if mount.is_ours]


def mount_at(path: str) -> MountedFileSystem | None:
    """Return what is mounted on `path`, the last if there are several; None if nothing is."""
    return next((mount for mount in reversed(mounts()) if mount.path == path), None)
