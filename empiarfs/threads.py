"""Starts threads, also where the machine may give no more.

A limit on processes (`ulimit -u`, `pids.max` of a cgroup) or on memory makes a start fail at
any time. Whoever starts a thread has noted before that something is being done; so each has
to say what becomes of that if nobody does it, and a start that fails is told by None.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


def start(name: str, target: Callable[..., object], *args: Any) -> threading.Thread | None:
    """Start a thread that doesn't keep the process from ending.

    Args:
        name: What it does, in a word or two, for the log and for tests.
        target: What it calls, with `args`.
        args: See `target`.

    Returns:
        The thread; or None if there can be no more of them, which is logged.
    """
    thread = threading.Thread(target=target, args=args, name=f"empiarfs-{name}", daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError) as exc:
        logger.warning("no thread for %s: %s", name, exc)
        return None
    return thread
