"""Judges whether something can be mounted at a place, before anything is started.

What libfuse would say only in its own words, if at all, is said here in ours.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from empiarfs import threads
from empiarfs.errors import MountError
from empiarfs.mount.namespace import may_mount
from empiarfs.mount.probe import means_dead, probe
from empiarfs.mount.table import MountedFileSystem, mount_at
from empiarfs.mount.unmount import unmount

_DEVICE = Path("/dev/fuse")
_FUSE_CONFIG = Path("/etc/fuse.conf")
_PROBE_TIMEOUT_S = 5.0
# Dead mounts can lie upon each other; more than this is something else.
_MAX_REPAIRS = 10


class AlreadyMountedError(MountError):
    """An empiarfs that answers is mounted there.

    Attributes:
        source: What stands as its device.
    """

    def __init__(self, mounted: MountedFileSystem) -> None:
        super().__init__(
            f"empiarfs is already mounted on {mounted.path}",
            hint=f"unmount it first: empiarfs umount {mounted.path}",
        )
        self.source = mounted.source


def resolve(mount_point: str) -> str:
    """Return the mount point as the kernel lists it: absolute and without symbolic links.

    A mount that is already there isn't touched, since it may be dead or hang.

    Raises:
        MountError: The path is relative to a directory that is gone.
    """
    try:
        absolute = os.path.join(os.getcwd(), mount_point).rstrip("/") or "/"
    except OSError as exc:
        raise MountError(f"{mount_point}: the current directory is gone") from exc
    parent, name = os.path.split(absolute)
    if name not in (".", ".."):
        candidate = os.path.join(os.path.realpath(parent), name)
        if mount_at(candidate) is not None:
            return candidate
    return os.path.realpath(absolute)


def check_apart(mount_point: str, directories: Iterable[Path]) -> None:
    """Check that no directory with local copies lies in the mount, nor the mount in one.

    A mount that reads itself would wait for itself.

    Args:
        mount_point: As `resolve` returns it, and nothing mounted there by now.
        directories: Absolute; one that hangs can't be looked at, and passes.

    Raises:
        MountError: One does.
    """
    for directory in directories:
        place = _resolved(directory)
        if place == mount_point or _is_in(place, mount_point) or _is_in(mount_point, place):
            raise MountError(
                f"the mount point {mount_point} and the local copies in {directory} lie in "
                "each other",
                hint="mount on a directory outside",
            )


def _resolved(directory: Path) -> str:
    """Return where a directory is, without symbolic links as far as that can be had."""
    found = [os.path.normpath(directory)]
    look = threads.start("resolve", lambda: found.append(os.path.realpath(directory)))
    if look is not None:
        look.join(_PROBE_TIMEOUT_S)
    return found[-1]


def _is_in(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


def check_fuse(*, allow_other: bool = False) -> None:
    """Check that this machine, and this user, can mount at all.

    Raises:
        MountError: Why not, and what would help.
    """
    if not _DEVICE.exists():
        raise MountError(
            f"{_DEVICE} is missing, so that nothing can be mounted",
            hint="load the module by `modprobe fuse`; start a container with "
            "--device /dev/fuse --cap-add SYS_ADMIN; `empiarfs get`, `cat`, `ls` and `find` "
            "need no mount",
        )
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise MountError(
            f"you may not open {_DEVICE}",
            hint="ask the administrator to let you read and write it (group `fuse`, or mode 666)",
        )
    if os.geteuid() != 0 and allow_other and not users_may_allow_other():
        raise MountError(
            "allow_other is not allowed to users here",
            hint=f"have the line `user_allow_other` added to {_FUSE_CONFIG}, or leave it out",
        )


def check_helper(libfuse: int) -> None:
    """Check that the program by which a plain user mounts is there.

    Args:
        libfuse: The major version of the library that mounts.

    Raises:
        MountError: It is missing.
    """
    name = "fusermount3" if libfuse == 3 else "fusermount"
    if os.geteuid() != 0 and not may_mount() and shutil.which(name) is None:
        package = "fuse3" if libfuse == 3 else "fuse"
        raise MountError(
            f"{name} is missing, by which users mount",
            hint=f"install it: `apt install {package}` or `dnf install {package}`",
        )


def users_may_allow_other() -> bool:
    """Tell whether a user other than root may mount with `allow_other`."""
    try:
        lines = _FUSE_CONFIG.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)


def prepare(path: str, *, nonempty: bool = False) -> int:
    """Make sure that something can be mounted on `path`; a dead mount of ours is removed.

    Args:
        path: A path as `resolve` returns it.
        nonempty: It may be a directory that isn't empty, whose contents disappear below.

    Returns:
        How many dead mounts were removed.

    Raises:
        MountError: It can't, and why.
    """
    removed = _remove_dead_mounts(path)
    try:
        found = os.stat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise MountError(f"{path} is not a directory")
        if not nonempty:
            _check_empty(path)
    except FileNotFoundError as exc:
        raise MountError(f"{path} does not exist", hint=f"make it: mkdir -p {path}") from exc
    except OSError as exc:
        raise MountError(_why(path, exc)) from exc
    if os.geteuid() != 0 and not os.access(path, os.W_OK):
        raise MountError(f"{path} is not yours to write, and users can mount only on what is")
    return removed


def _why(path: str, error: OSError) -> str:
    if means_dead(error):
        return f"{path} lies in, or is, a dead mount that is not ours to remove"
    return f"cannot use {path}: {error.strerror}"


def _check_empty(path: str) -> None:
    with os.scandir(path) as entries:
        if next(entries, None) is not None:
            raise MountError(
                f"{path} is not empty",
                hint="mount on an empty directory, or hide what is there with `-o nonempty`",
            )


def _remove_dead_mounts(path: str) -> int:
    for removed in range(_MAX_REPAIRS):
        mounted = mount_at(path)
        if mounted is None or not mounted.kind.startswith("fuse"):
            return removed
        if _is_alive(mounted):
            if mounted.kind == "fuse.empiarfs":
                raise AlreadyMountedError(mounted)
            return removed
        if not mounted.is_ours:
            raise MountError(f"{path} is a dead mount ({mounted.kind}) that is not ours to remove")
        unmount(mounted, lazy=True)
    raise MountError(f"more than {_MAX_REPAIRS} dead mounts lie on {path}")


def _is_alive(mounted: MountedFileSystem) -> bool:
    try:
        probe(mounted.path, _PROBE_TIMEOUT_S)
    except TimeoutError as exc:
        raise MountError(
            f"{mounted.path} is a mount that does not answer",
            hint=f"detach it: empiarfs umount --lazy {mounted.path}",
        ) from exc
    except OSError as exc:
        # Whatever else it answers, somebody answered.
        return not means_dead(exc)
    return True
