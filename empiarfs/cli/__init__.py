"""The command line; the only place that prints.

Each command is a module that is imported when it is called, and what is slow to import
waits until it is needed: `empiarfs --help` takes as long as Python and click do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from empiarfs.cli.failures import run_command
from empiarfs.cli.group import commands


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit with its status.

    Args:
        arguments: The words after the program's name; by default, the process's.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run_command(commands, words))
