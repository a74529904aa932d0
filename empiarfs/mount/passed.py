"""A mount that somebody else has made: its descriptor of /dev/fuse is passed to us.

Apptainer's `--fusemount` and mount.fuse3's `drop_privileges` mount by themselves, so that
who serves the mount needs no rights, and name its descriptor as the mount point:
`/dev/fd/N`. libfuse from 3.3 on serves it. What only who mounts can say (`allow_other`,
`default_permissions`, the type) is theirs, and so is the end: they unmount.

Threading: no state.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from empiarfs.errors import MountError
from empiarfs.mount.table import MountedFileSystem, mounts

_PLACE = re.compile(r"/dev/fd/(0|[1-9]\d{0,8})")
# Of the kernel's list of devices; the file may be missing in a container.
_DEVICE = os.makedev(10, 229)
_CONNECTION = re.compile(r"^fuse_connection:\s*(\d+)$", re.MULTILINE)


def passed_descriptor(mount_point: str) -> int | None:
    """Return the descriptor that a mount point stands for; None if it is a directory's path."""
    found = _PLACE.fullmatch(mount_point)
    return int(found[1]) if found else None


def check_passed(descriptor: int) -> None:
    """Check that a descriptor was passed to us by which a mount can be served.

    Raises:
        MountError: It isn't one.
    """
    place = f"/dev/fd/{descriptor}"
    try:
        found = os.fstat(descriptor)
    except OSError as exc:
        raise MountError(
            f"{place}: no such descriptor was passed",
            hint="it stands for a mount that another program has made, as Apptainer does",
        ) from exc
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _DEVICE:
        raise MountError(f"{place} is no descriptor of /dev/fuse")


def mount_of(descriptor: int) -> MountedFileSystem | None:
    """Return the mount that a descriptor serves, where the kernel tells and we can see it."""
    try:
        said = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    except OSError:
        return None
    found = _CONNECTION.search(said)
    if found is None:
        return None  # a kernel that doesn't tell
    device = f"0:{found[1]}"
    return next((mount for mount in mounts() if mount.device == device), None)


def mount_point_of(mount_point: str, passed: int | None) -> str:
    """Return the path at which programs find a mount.

    Args:
        mount_point: As it was given.
        passed: The descriptor that it stands for, or None.

    Returns:
        The path; what was given, if the kernel doesn't tell.
    """
    mounted = None if passed is None else mount_of(passed)
    return mount_point if mounted is None else mounted.path
