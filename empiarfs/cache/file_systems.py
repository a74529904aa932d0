"""Which kind of file system a folder is on, as the kernel says.

SQLite's locks and its log don't work where other machines write to the same files, so a
cache must not lie there. `/proc/self/mountinfo` names the type of each mount; `statvfs`
doesn't, and device numbers don't lead there on btrfs.

Threading: no state.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

# Types whose files are on other machines, or whose locks are known not to be local.
_REMOTE = re.compile(
    r"(9p|acfs|afs3?|autofs|beegfs|ceph|cifs|coda|davfs|fhgfs|fuse(\..*)?|gfs2?|glusterfs|gpfs"
    r"|ibrix|lustre|mmfs|ncpfs|nfs[34]?|ocfs2|orangefs|panfs|prl_fs|pvfs2|quobyte|smb[23]|smbfs"
    r"|vboxsf|virtiofs|vmhgfs|wekafs|xtreemfs)\Z"
)
_IN_MEMORY = frozenset((b"tmpfs", b"ramfs", b"devtmpfs"))
_OCTAL = re.compile(rb"\\([0-7]{3})")


def is_remote(file_system: str) -> bool:
    """Tell whether SQLite can't be trusted to work on that type of file system.

    >>> is_remote("nfs4"), is_remote("fuse.sshfs"), is_remote("fuseblk"), is_remote("xfs")
    (True, True, False, False)
    """
    return _REMOTE.match(file_system) is not None


def read_mounts() -> bytes:
    """Return what the kernel says of this process's mounts; nothing if it says nothing."""
    try:
        return Path("/proc/self/mountinfo").read_bytes()
    except OSError:
        return b""


def file_system_of(path: Path, mounts: bytes) -> str:
    """Return the type of the file system that the folder is on, or would be made on.

    Args:
        path: An absolute path; what of it doesn't exist would lie where its parent is.
        mounts: What `read_mounts` returned.

    Returns:
        The type, such as "ext4"; empty if it isn't known.
    """
    wanted = os.path.realpath(existing_part(path))
    best, found = -1, ""
    for line in mounts.splitlines():
        mount_point, file_system = _parse(line)
        # A later mount at the same place hides the earlier one.
        if _is_below(wanted, mount_point) and len(mount_point) >= best:
            best, found = len(mount_point), file_system
    return found


def is_in_memory(descriptor: int) -> bool:
    """Tell whether an open file is on a file system that is in memory, as `/dev/shm` is."""
    device = os.fstat(descriptor).st_dev
    number = b"%d:%d" % (os.major(device), os.minor(device))
    for line in read_mounts().splitlines():
        before, _, after = line.partition(b" - ")
        fields, words = before.split(), after.split()
        if len(fields) > 2 and fields[2] == number and words:
            return words[0] in _IN_MEMORY
    return False


def existing_part(path: Path) -> Path:
    """Return the folder itself, or the nearest one above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _is_below(path: str, folder: str) -> bool:
    return bool(folder) and (path == folder or path.startswith(folder.rstrip("/") + "/"))


def _parse(line: bytes) -> tuple[str, str]:
    """Return mount point and type of one line of mountinfo; empty ones if it makes no sense."""
    before, separator, after = line.partition(b" - ")
    fields, words = before.split(), after.split()
    if not separator or len(fields) < 5 or not words:
        return "", ""
    raw = _OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), fields[4])
    return os.fsdecode(raw), os.fsdecode(words[0])
