"""Where mounts of a user are found: a directory that nobody else can write or look into.

It is `empiarfs` below the first of these that is ours: $XDG_RUNTIME_DIR, /run/user/UID,
/run/empiarfs-service (a system service's, whose unit `empiarfs systemd-unit` writes), for
root /run; else /tmp/empiarfs-UID, which is verified, since anybody can make that first.
A mount writes to one, and whoever looks for mounts reads all, since a login session and a
cron job don't see the same XDG_RUNTIME_DIR.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from empiarfs.errors import MountError

_NAME = "empiarfs"
SERVICE_DIRECTORY = "empiarfs-service"


def _is_private(path: Path, uid: int) -> bool:
    """Tell whether `path` is a real directory of this user which nobody else can enter."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077


def _is_safe_parent(path: Path, uid: int) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    # Who can write to the parent can put something else in our directory's place.
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o022


def _parents(uid: int, environ: Mapping[str, str]) -> list[Path]:
    given = environ.get("XDG_RUNTIME_DIR", "")
    parents = [Path(given)] if given.startswith("/") else []
    parents += [Path(f"/run/user/{uid}"), Path("/run") / SERVICE_DIRECTORY]
    if uid == 0:
        parents.append(Path("/run"))
    return parents


def _fallback(uid: int) -> Path:
    return Path(f"/tmp/{_NAME}-{uid}")


def directories_of(uid: int, environ: Mapping[str, str]) -> list[Path]:
    """Return the existing runtime directories of a user, each once."""
    candidates = [parent / _NAME for parent in _parents(uid, environ)]
    candidates.append(_fallback(uid))
    return [path for path in dict.fromkeys(candidates) if _is_private(path, uid)]


def users_with_directories() -> set[int]:
    """Return the users who may have runtime directories, ourselves included."""
    found = {os.getuid()}
    with suppress(OSError):
        found |= {int(name) for name in os.listdir("/run/user") if name.isdecimal()}
    # A service's, whose user has no session.
    service = Path("/run") / SERVICE_DIRECTORY
    with suppress(OSError):
        found.add(service.lstat().st_uid)
    with suppress(OSError):
        numbers = (name.removeprefix(f"{_NAME}-") for name in os.listdir("/tmp"))
        found |= {int(number) for number in numbers if number.isdecimal()}
    return found


def own_directory(environ: Mapping[str, str]) -> Path:
    """Return our runtime directory, and make it if need be.

    Raises:
        MountError: None can be had; somebody else may have taken the last resort.
    """
    uid = os.getuid()
    candidates = [
        parent / _NAME for parent in _parents(uid, environ) if _is_safe_parent(parent, uid)
    ]
    candidates.append(_fallback(uid))
    for path in candidates:
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass
        except OSError:
            continue  # such as a read-only one
        if _is_private(path, uid):
            return path
    raise MountError(
        f"no runtime directory: {candidates[-1]} is not a directory that only you can enter",
        hint=f"remove {candidates[-1]}, or set XDG_RUNTIME_DIR",
    )


def is_locked(descriptor: int) -> bool:
    """Tell whether a living process has locked an open file, which says whose it is."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
