"""What a TARGET on the command line means: a place in the archive, or a path in a mount.

The latter is never touched: which mount it lies in is read off the kernel's list, and what
that mount shows off the registry of mounts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from empiarfs.cli.terminal import in_one_line
from empiarfs.core.targets import Target, entry_number, local_target, parse_target
from empiarfs.errors import ConfigError

if TYPE_CHECKING:
    from empiarfs.mount.places import Place


def located(word: str, archive_url: str) -> tuple[Target, Place | None]:
    """Return what a word names, and for a path in a mount what that mount shows.

    Args:
        word: As `empiarfs.core.targets` lists them, or a path in a mount of this user.
        archive_url: Base URL of the archive.

    Raises:
        ConfigError: It names nothing that could be in an archive.
        MountError: It lies in a mount that doesn't answer.
    """
    found = looked_for(word, archive_url)
    if found is None:
        raise ConfigError(
            f"{in_one_line(word)!r} is neither a place in the archive, such as "
            "EMPIAR-10934/data, nor a path in a mount of yours"
        )
    return found


def looked_for(word: str, archive_url: str) -> tuple[Target, Place | None] | None:
    """Return what `located` does; None for what may be a local path, out of all mounts.

    Raises:
        ConfigError: It is a URL, but of nothing in the archive.
        MountError: It lies in a mount that doesn't answer.
    """
    target = parse_target(word, archive_url)
    if target is not None:
        return target, None
    from empiarfs.mount.places import place_of

    place = place_of(word)
    return None if place is None else (local_target(place.path, word), place)


def entry_named(word: str, archive_url: str) -> int:
    """Return the number of the entry that a word names, or names something in.

    Raises:
        ConfigError: It names none.
        MountError: It lies in a mount that doesn't answer.
    """
    target, _ = located(word, archive_url)
    number = entry_number(target.path)
    if number is None:
        raise ConfigError(f"{in_one_line(word)!r} is no entry; write it as EMPIAR-10934")
    return number
