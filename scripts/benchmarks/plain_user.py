"""A stage whose client and readers are run by a plain user, while the benchmark is root's.

That user often can't run the interpreter of the benchmark, or read the checkout: empiarfs is
then run by the system's Python from a copy, and rclone always is a copy.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from scripts.benchmarks.clients import EMPIARFS, Client
from scripts.benchmarks.stage import SkippedError, Stage
from tests.support import users


@contextmanager
def as_plain_user(stage: Stage) -> Iterator[Stage]:
    """Yield what `stage` is, with the user `nobody`; as it is if no root is at work.

    Whoever is done with all of this removes what was copied, by `users.remove_copies`.

    Raises:
        SkippedError: No plain user can mount here.
    """
    if os.geteuid() != 0:
        yield stage
        return
    if (problem := users.fuse_problem()) is not None:
        raise SkippedError(problem)
    with tempfile.TemporaryDirectory(prefix="empiarfs-bench-user-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        client, environment = _runnable(stage.client, folder)
        way = replace(stage.way, environment=stage.way.environment | environment)
        yield replace(stage, client=client, way=way, user=users.NOBODY)


def _runnable(client: Client, folder: Path) -> tuple[Client, dict[str, str]]:
    """Return the client with a program that `nobody` can run, and the variables for it."""
    if client.name == EMPIARFS.name:
        python = users.find_plain_python()
        if python is None:
            raise SkippedError("there is no Python of this version that a plain user can run")
        return _with_program(client, python.executable), dict(python.environment)
    program = folder / "program"
    shutil.copy(client.command(folder, "", folder, folder)[0], program)
    program.chmod(0o755)
    return _with_program(client, str(program)), {}


def _with_program(client: Client, program: str) -> Client:
    def command(point: Path, url: str, cache: Path, log: Path) -> list[str]:
        return [program, *client.command(point, url, cache, log)[1:]]

    return replace(client, command=command)
