"""The command line; the only place that prints.

Each command is a module that is imported when it is called, and what is slow to import
waits until it is needed: `empiarfs --help` takes as long as Python and click do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

# mount(8) runs /sbin/mount.fuse.empiarfs and /sbin/mount.empiarfs, links to this program,
# which are to end with its own kinds of status (mount(8), "EXIT STATUS"): wrong usage, the
# mount failed, interrupted.
_HELPER_PREFIX = "mount."
_HELPER_STATUS = {2: 1, 1: 32, 130: 8}
_INTERRUPTED = 130
# By which click knows that a shell asks for words.
_COMPLETING = "_EMPIARFS_COMPLETE"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit with its status.

    Args:
        arguments: The words after the program's name; by default, the process's.
    """
    is_helper = Path(sys.argv[0]).name.startswith(_HELPER_PREFIX)
    try:
        # Here, so that Ctrl-C while Python reads modules shows no traceback either.
        from empiarfs.cli.failures import run_command
        from empiarfs.cli.group import commands

        if _COMPLETING in os.environ:
            from empiarfs.cli.completion import register

            register()
        words = list(sys.argv[1:] if arguments is None else arguments)
        if is_helper:
            words = _without_helper_flags(words)
        elif not words:
            words = ["--help"]
        status = run_command(commands, words) if words else 0
    except KeyboardInterrupt:
        status = _INTERRUPTED
    sys.exit(_HELPER_STATUS.get(status, status) if is_helper else status)


def _without_helper_flags(words: list[str]) -> list[str]:
    """Return what mount(8) wants of its helper; nothing if it only pretends to mount.

    Its flags are written singly; `-f` is its "fake", not our "foreground".
    """
    return [] if "-f" in words else [word for word in words if word not in ("-s", "-n")]
