"""The limit of a cache directory, kept in the directory itself.

Several mounts share a directory, and one limit must hold for all of them: the one whose
limit is larger would else fill it for the others. So it stands in a file beside the blocks.
An explicit `--cache-size` writes it anew, and stores that run look at it once a second.

The file is one line: the number of bytes, a blank, and the reason for people.
"""

from __future__ import annotations

import re
from pathlib import Path

from empiarfs.cache.eviction import MIN_LIMIT
from empiarfs.cache.small_files import read_small, write_small
from empiarfs.errors import ConfigError

_NUMBER = re.compile(r"[0-9]{1,18}\Z")


def limit_path(blocks: Path) -> Path:
    """Return where the limit of the blocks in that folder stands."""
    return blocks / "limit"


def read_limit(blocks: Path) -> tuple[int, str] | None:
    """Return the limit in bytes and its reason, or None if there is none, or no valid one."""
    try:
        line = read_small(limit_path(blocks), 1024).decode("utf-8", "replace")
    except OSError:
        return None
    number, _, reason = line.strip().partition(" ")
    if not _NUMBER.match(number) or int(number) < MIN_LIMIT:
        return None
    return int(number), reason


def write_limit(blocks: Path, limit: int, reason: str) -> None:
    """Write the limit, whole or not at all.

    Raises:
        OSError: It can't be written.
    """
    write_small(limit_path(blocks), f"{limit} {reason}\n".encode())


def check_limit(limit: int) -> None:
    """Raise if a cache can't work with so few bytes.

    Raises:
        ConfigError: It is below the smallest limit.
    """
    if limit < MIN_LIMIT:
        raise ConfigError(
            f"a cache of {limit} bytes is too small: give --cache-size {MIN_LIMIT >> 20}M or more"
        )
