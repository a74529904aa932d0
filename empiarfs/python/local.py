"""A path on this machine for a file of the archive, for programs that open files themselves.

    in a mount of this user that shows it    its path there
    else                                     that of a copy, which is fetched wholly

Copies lie in the cache directory, in a folder of their own (`files`), as the archive has them.
They don't count as part of the cache and nothing removes them: a path that was handed out stays
good. What bounds them is the disk: none is begun that would leave less of it free than the
setting `min_free` says. A copy of a version that the archive has no more is replaced.

Threading: safe from any thread; two processes that want one copy take turns.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from empiarfs.control import ask as ask_daemon
from empiarfs.control import registered
from empiarfs.downloads import Downloads, Wanted
from empiarfs.errors import (
    DownloadError,
    EmpiarFSError,
    InterruptedCallError,
    IsDirectoryError,
    MountError,
)
from empiarfs.mount.composition import Unkept, build_unkept
from empiarfs.mount.table import our_mounts
from empiarfs.python.places import located
from empiarfs.python.session import Live

FOLDER = "files"


def path(file: str | os.PathLike[str]) -> Path:
    """Return a path by which any program can open a file of the archive.

    Args:
        file: As `empiarfs.open` takes it.

    Raises:
        OSError: It isn't there, can't be had, or the disk has no room for it.
        ConfigError: It names nothing that could be in the archive.
    """
    session, below = located(file)
    mounted = _mounted(session.config.archive_url, below)
    if mounted is not None:
        mounted.stat()  # FileNotFoundError, as for what isn't mounted
        return mounted
    return session.ask(below, lambda live: _copied(live, below))


def _mounted(archive_url: str, below: str) -> Path | None:
    """Return the path of what lies `below` the archive in a mount that answers, None if none."""
    points = {mount.path for mount in our_mounts()}
    for item in reversed(registered(os.getuid(), os.environ)):
        shown = item.record.archive_url
        if item.record.mount_point not in points or not shown.startswith(archive_url):
            continue
        root = shown[len(archive_url) :].strip("/")
        inside = _below(below, root)
        if inside is None:
            continue
        try:
            ask_daemon(item, "status")
        except MountError:
            continue  # it hangs, and so would whoever opened the path
        return Path(item.record.mount_point, inside)
    return None


def _below(path: str, root: str) -> str | None:
    """Return a path below `root`, None if it isn't there."""
    if not root or path == root:
        return "" if root else path
    return path[len(root) + 1 :] if path.startswith(f"{root}/") else None


def _copied(live: Live, below: str) -> Path:
    """Return the path of a whole copy, which is fetched if there is none."""
    parts = live.parts
    node = parts.tree.lookup(below, live.looking())
    if node.is_directory:
        raise IsDirectoryError(below)
    wanted = Wanted(node.path, parts.tree.version(node.path, live.looking()))
    folder = parts.directory.path / FOLDER
    failures: list[Exception] = []
    downloads = Downloads(
        live.own(_unkept).files,
        folder,
        wait_s=live.config.wait_s,
        overwrite=True,
        failed=lambda _, error: failures.append(error),
    )
    if not downloads.is_there(wanted):
        _check_room(folder, wanted.version.size, live.config.min_free)
    downloads.run([wanted], lambda _: None)
    if failures:
        [failure] = failures
        raise failure if isinstance(failure, EmpiarFSError) else DownloadError(str(failure))
    if live.is_closed:
        raise InterruptedCallError("closed")
    return folder / wanted.path


def _unkept(live: Live) -> Unkept:
    # Kept twice, a file of gigabytes would only drive others out of the cache.
    return build_unkept(live.parts, live.config)


def _check_room(folder: Path, size: int, min_free: float) -> None:
    disk = shutil.disk_usage(folder)
    least = int(disk.total * min_free)
    if disk.free - size < least:
        raise DownloadError(
            f"a copy of {size} bytes would leave less than {least} bytes free in {folder}: "
            "remove some of it, or mount the archive"
        )
