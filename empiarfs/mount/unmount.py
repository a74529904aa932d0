"""Ends mounts, our own kind only.

A plain user needs fusermount3's help for it. root does not, and calls the kernel: fewer
things can be missing. A lazy unmount takes the mount out of sight at once and ends it when
its last file is closed; it works on dead mounts, and on those that hang.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from empiarfs.errors import MountError
from empiarfs.mount.namespace import may_mount
from empiarfs.mount.table import MountedFileSystem

_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_PROGRAMS = ("fusermount3", "fusermount")
_PROGRAM_TIMEOUT_S = 30.0
# Naming a few is help, naming all of a busy machine is noise.
_MAX_NAMED = 5


class BusyError(MountError):
    """Programs use the mount."""


def unmount(mount: MountedFileSystem, *, lazy: bool = False) -> None:
    """Unmount.

    Args:
        mount: What to unmount; ours (`is_ours`).
        lazy: Also if programs use it, which then keep it until they let go.

    Raises:
        BusyError: Programs use it.
        MountError: It can't be done for another reason.
    """
    may = os.geteuid() == 0 or may_mount()
    problem = _by_kernel(mount.path, lazy) if may else _by_program(mount.path, lazy)
    if problem is None:
        return
    if problem == os.strerror(errno.EBUSY):
        users = ", ".join(_users(mount))
        raise BusyError(
            f"{mount.path} is in use" + (f" by {users}" if users else ""),
            hint="close these programs, or detach it from under them: "
            f"empiarfs umount --lazy {mount.path}",
        )
    raise MountError(f"cannot unmount {mount.path}: {problem}")


def _by_kernel(path: str, lazy: bool) -> str | None:
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
    if libc.umount2(os.fsencode(path), flags) == 0:
        return None
    return os.strerror(ctypes.get_errno())


def _by_program(path: str, lazy: bool) -> str | None:
    program = next((name for name in _PROGRAMS if shutil.which(name)), None)
    if program is None:
        return f"neither of {', '.join(_PROGRAMS)} is installed (package fuse3)"
    command = [program, "-u", *(["-z"] if lazy else []), "--", path]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROGRAM_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return f"{program}: {exc}"
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip()
    busy = os.strerror(errno.EBUSY)
    return busy if busy in said else said or f"{program} ended with status {done.returncode}"


def _users(mount: MountedFileSystem) -> list[str]:
    """Return the first few processes that use a mount; of other users only root sees them."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if _uses(directory, mount):
                name = (directory / "comm").read_text(errors="replace").strip()
                found.append(f"{name} ({directory.name})")
        except OSError:
            continue  # it has ended, or isn't ours to look into
        if len(found) == _MAX_NAMED:
            break
    return found


def _uses(process: Path, mount: MountedFileSystem) -> bool:
    # The text of the links only: to follow one would touch the mount, which may hang.
    for link in _links(process):
        target = os.readlink(link)
        if target == mount.path or target.startswith(mount.path + "/"):
            return True
    major, minor = (int(number) for number in mount.device.split(":"))
    device = f" {major:02x}:{minor:02x} "
    return device in (process / "maps").read_text(errors="replace")


def _links(process: Path) -> Iterator[Path]:
    for name in ("cwd", "root"):
        yield process / name
    yield from (process / "fd").iterdir()
