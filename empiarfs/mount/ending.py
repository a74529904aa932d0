"""What `empiarfs umount` does: unmounts, and waits until the daemon has cleared up."""

from __future__ import annotations

import os

from empiarfs.control import registered, wait_for_end
from empiarfs.errors import MountError
from empiarfs.mount.points import resolve
from empiarfs.mount.probe import is_dead
from empiarfs.mount.table import MountedFileSystem, mount_at, our_mounts
from empiarfs.mount.unmount import BusyError, unmount

# Blocks that aren't on disk yet are written first.
_END_TIMEOUT_S = 30.0
# A mount detached from under programs lives as long as they do.
_LAZY_TIMEOUT_S = 2.0


def end_mount(mount_point: str, *, lazy: bool = False) -> str | None:
    """Unmount, and wait for the daemon's end.

    Args:
        mount_point: The mount point, as the user spells it.
        lazy: Detach it also from under programs that use it.

    Returns:
        What the user should know beyond success, or None.

    Raises:
        MountError: It isn't mounted, isn't ours, or is in use.
    """
    path = resolve(mount_point)
    mounted = _ours_at(path)
    pid = daemon_of(mounted)
    try:
        unmount(mounted, lazy=lazy)
    except BusyError:
        # Nobody serves it: those who have files open in it can't do anything with them.
        if pid is not None or not is_dead(path):
            raise
        unmount(mounted, lazy=True)
    if pid is None or wait_for_end(pid, _LAZY_TIMEOUT_S if lazy else _END_TIMEOUT_S):
        return None
    if lazy:
        return f"programs still use it; process {pid} ends with the last of them"
    raise MountError(
        f"{path} is unmounted, but its process {pid} has not ended",
        hint=f"a container that was started meanwhile may still hold it; `kill {pid}` ends it",
    )


def _ours_at(path: str) -> MountedFileSystem:
    mounted = mount_at(path)
    if mounted is None:
        raise MountError(f"{path} is not mounted", hint=_enclosing(path))
    if mounted.kind != "fuse.empiarfs":
        raise MountError(f"{path} is a mount of another kind ({mounted.kind})")
    if not mounted.is_ours:
        raise MountError(f"{path} is a mount of user {mounted.owner}, not yours")
    return mounted


def _enclosing(path: str) -> str | None:
    """Return a hint if `path` lies in a mount of ours."""
    found = [mount.path for mount in our_mounts() if path.startswith(mount.path + "/")]
    return f"it lies in a mount; its mount point is {max(found, key=len)}" if found else None


def daemon_of(mounted: MountedFileSystem) -> int | None:
    """Return the process that serves a mount, or None if it can't be found."""
    owner = os.getuid() if mounted.owner is None else mounted.owner
    found = [
        item.record.pid
        for item in registered(owner, os.environ)
        if item.record.mount_point == mounted.path
    ]
    return found[-1] if found else None
