"""Runs a command of empiarfs for a daemon: behind all others, and no longer than the daemon.

    python -m empiarfs.mount.errand PID WORD…

PID is the daemon's. What runs has a low priority, is the first to go where memory runs
out, and is killed when the thread that started it ends: no daemon leaves it behind, however it
ends itself.

Threading: a process with one thread.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import suppress

from empiarfs.mount.namespace import end_with_parent, give_up_rights

# As much of a busy processor as a tenth of what others get: with 19 it is hardly any.
_NICER = 10
# Far more than a picture of the largest frames takes (docs/preview.md).
_MOST_MEMORY = 3 * 1024**3


def main() -> None:
    """Become the command, or end where the daemon is gone."""
    parent, *words = sys.argv[1:]
    end_with_parent(signal.SIGKILL)
    if os.getppid() != int(parent):
        return
    # The daemon waits for signals in a thread, and blocks them in all others.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    give_up_rights()
    os.nice(_NICER)
    _limit_memory()
    os.execv(sys.executable, [sys.executable, "-m", "empiarfs", *words])


def _limit_memory() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or most > _MOST_MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, _MOST_MEMORY))
    # Refused in some containers, and only a precaution.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


if __name__ == "__main__":
    main()
