"""Runs commands of empiarfs in this process, on an archive and with a cache of a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from empiarfs.cli.failures import run_command
from empiarfs.cli.group import commands
from tests.support.users import CHECKOUT


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended.

    Attributes:
        status: Its exit status.
        out: What it wrote.
        err: What it said on stderr.
    """

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines that it wrote."""
        return self.out.decode("utf-8", "surrogateescape").splitlines()

    @property
    def json(self) -> Any:
        """What it wrote, as JSON."""
        return json.loads(self.out)


class Commands:
    """The command line, with settings of its own; call it with words.

    Args:
        url: The archive.
        folder: An empty directory, for the cache and as the home.
        patch: Sets the environment.
        captured: What is written.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        patch: pytest.MonkeyPatch,
        captured: pytest.CaptureFixture[bytes],
    ) -> None:
        self.url = url
        self.cache = folder / "cache"
        self._folder = folder
        self._captured = captured
        patch.setenv("EMPIARFS_ARCHIVE_URL", url)
        # There is none: whoever asks it is told so.
        patch.setenv("EMPIARFS_API_URL", f"{url}api/")
        patch.setenv("EMPIARFS_CACHE_DIR", str(self.cache))
        patch.setenv("HOME", str(folder))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        # Commands that take long show themselves there.
        (folder / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
        patch.setenv("no_proxy", "127.0.0.1")

    def __call__(self, *words: str) -> Done:
        """Run one command."""
        status = run_command(commands, words)
        out, err = self._captured.readouterr()
        return Done(status, out, err.decode(errors="replace"))

    def in_shell(
        self, script: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a script of bash in which `empiarfs` is our command, for xargs as well."""
        program = self._folder / "bin" / "empiarfs"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m empiarfs "$@"\n')
        program.chmod(0o755)
        path = f"{program.parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "PATH": path}
            | dict(environment or {}),
            timeout=60,
            check=False,
        )


CommandLine = Callable[[str], Commands]
"""Returns what runs commands on the archive at a URL."""
