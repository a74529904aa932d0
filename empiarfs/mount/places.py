"""Tells which place of which archive a path in a mount stands for, without touching it.

A mount may hang, so nothing at or below a mount point is looked at: which mounts there are
says the kernel's list, and what one shows says its daemon, within two seconds.

Threading: no state; safe from any thread.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from empiarfs.config import DEFAULT_API_URL, Config
from empiarfs.control import ask, registered
from empiarfs.core import paths
from empiarfs.errors import MountError
from empiarfs.mount.table import MountedFileSystem, our_mounts

# As many as the kernel follows before it says ELOOP.
_MAX_LINKS = 40


@dataclass(frozen=True, slots=True)
class Place:
    """What a path in a mount stands for.

    Attributes:
        archive_url: The archive's root, with a trailing slash.
        api_url: The root of the REST API that the mount asks.
        cache_dir: The mount's cache directory.
        path: The path below the archive's root.
    """

    archive_url: str
    api_url: str
    cache_dir: Path
    path: str

    def settings(self, config: Config, given: Mapping[str, str | None]) -> Config:
        """Return the settings by which it is asked for: the mount's, unless others are given.

        Args:
            config: The settings of the command.
            given: Those of its command line, by name; None for those not given.
        """
        config = replace(config, archive_url=self.archive_url)
        if given.get("api_url") is None:
            config = replace(config, api_url=self.api_url)
        if given.get("cache_dir") is None:
            # It serves that mount, so whatever disk it is on has been accepted.
            config = replace(config, cache_dir=self.cache_dir, force=True)
        return config


def place_of(path: str) -> Place | None:
    """Return what a path stands for; None if it isn't in a mount of this user.

    Raises:
        MountError: The mount's daemon doesn't answer.
    """
    mounted = {mount.path: mount for mount in our_mounts()}
    found = split_at_mount(path, mounted)
    if found is None:
        return None
    point, below = found
    return _shown_by(mounted[point], below)


def split_at_mount(path: str, points: Collection[str]) -> tuple[str, str] | None:
    """Return the mount point that a path lies below, and the path below it; None if none.

    Symbolic links on the way to the mount point are followed as the kernel does.

    Args:
        path: Relative to the current directory, or absolute.
        points: The mount points, absolute and without symbolic links.
    """
    try:
        todo = os.path.join(os.getcwd(), path).split("/")
    except OSError:
        return None  # the current directory is gone
    todo.reverse()
    reached, links = "/", 0
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            reached = os.path.dirname(reached)
            continue
        reached = os.path.join(reached, name)
        if reached in points:
            below, outside = _below(todo)
            if not outside:
                return reached, "/".join(below)
            # It leaves the mount again: no link in there, so the names say where to.
            todo += [".."] * outside
            continue
        try:
            target = os.readlink(reached)
        except OSError:
            continue  # no link, or nothing there, which is for others to say
        links += 1
        if links > _MAX_LINKS:
            return None
        reached = "/" if target.startswith("/") else os.path.dirname(reached)
        todo += reversed(target.split("/"))
    return None


def _below(todo: list[str]) -> tuple[list[str], int]:
    """Take the names below a mount point off `todo`, whose next one is its last.

    Returns:
        The names, and 1 if they lead out of the mount, in which case the rest stays.
    """
    kept: list[str] = []
    while todo:
        name = todo.pop()
        if name == "..":
            if not kept:
                return [], 1
            kept.pop()
        elif name not in ("", "."):
            kept.append(name)
    return kept, 0


def _shown_by(mounted: MountedFileSystem, below: str) -> Place:
    """Return what a path below a mount point stands for, as the mount's daemon says."""
    owner = os.getuid() if mounted.owner is None else mounted.owner
    for item in reversed(registered(owner, os.environ)):
        if item.record.mount_point == mounted.path:
            answer = ask(item, "status")
            root = str(answer.get("root", ""))
            shown = str(answer["archive_url"]).rstrip("/")
            return Place(
                archive_url=shown.removesuffix(root).rstrip("/") + "/",
                # A daemon of the first release doesn't say.
                api_url=str(answer.get("api_url", DEFAULT_API_URL)),
                cache_dir=Path(item.record.cache_dir),
                path=paths.join(root, below) if root and below else root or paths.canonical(below),
            )
    raise MountError(
        f"the mount on {mounted.path} does not answer",
        hint="name the place by its entry instead, as EMPIAR-10934/data",
    )
