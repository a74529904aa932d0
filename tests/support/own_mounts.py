"""A table of mounts of a test process's own.

Whoever makes a mount namespace, as `empiarfs run` does, gets a copy of all mounts, and a mount
is over only when its last copy is. Test processes that run side by side would so keep each
other's mounts, and their daemons, alive; and so would this one keep those that were there
before, which therefore are left out of the copy.
"""

from __future__ import annotations

import ctypes
import os

from tests.support.mounts import mount_points

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x4000, 1 << 18, 2
_libc = ctypes.CDLL(None, use_errno=True)


def move_to_own_mounts() -> None:
    """Move this thread, and what it starts, to a copy of the table of mounts, if that may be."""
    if _libc.unshare(_CLONE_NEWNS) == 0:
        _libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        for point in mount_points():
            _libc.umount2(os.fsencode(point), _MNT_DETACH)
