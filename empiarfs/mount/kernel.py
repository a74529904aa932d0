"""What is set in the kernel, for this process and for the mount."""

from __future__ import annotations

import logging
import resource
from pathlib import Path

logger = logging.getLogger(__name__)

# Open blocks, sockets, SQLite; more than anybody needs, and no more than select() tables
# of other libraries bear.
_MOST_DESCRIPTORS = 65_536


def raise_descriptor_limit() -> int:
    """Raise the limit of open files as far as we may; return what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError) as exc:
            logger.warning("cannot raise the limit of open files: %s", exc)
            return soft
        return wanted
    return soft


def raise_address_space() -> None:
    """Lift the soft limit of the address space (`ulimit -v`), which is no limit of memory.

    Threads and mappings take gigabytes of addresses that are never used.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    if hard != resource.RLIM_INFINITY:
        logger.warning(
            "the address space is limited to %d MB (ulimit -v): the mount ends when that is"
            " used up",
            hard // 1_000_000,
        )


def set_read_ahead(device: str, size: int) -> None:
    """Set how far the kernel reads ahead in a mount; root only, else a warning.

    Args:
        device: The mount's device number, `major:minor`.
        size: Bytes.
    """
    place = Path("/sys/class/bdi") / device / "read_ahead_kb"
    try:
        place.write_text(str(max(1, size // 1024)))
    except OSError as exc:
        logger.warning("the kernel's read-ahead stays as it is: %s: %s", place, exc.strerror)
