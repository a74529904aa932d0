"""Makes contact sheets for a mount by `empiarfs preview`, in a process of its own.

Pictures take packages, memory and time that the daemon doesn't have to spare, so that none of
what makes them runs in it. The process reads as any other of the user's: by this very daemon
if it serves Python, else by the machine's connections; never through the mount itself.

Threading: `sheet` belongs to one thread at a time; `close` is safe from any.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from empiarfs.config import SETTINGS, Config, as_options
from empiarfs.errors import EmpiarFSError, InterruptedCallError
from empiarfs.mount.launch import environment
from empiarfs.mount.stderr import in_one_line
from empiarfs.notes.sheets import Picture

# What is read for one: some 4 MB of each file.
_FILES = 12
# What a file may wait for the archive, in seconds: without it the sheet is better than none.
_WAIT = "60s"
_LONGEST_S = 300.0
_MOST_BYTES = 8 * 1024 * 1024
_MOST_SAID = 64 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"
_ALL_SHOWN, _SOME_FAILED = 0, 1
# The others belong to mounts, or to the log.
_PASSED_ON = (
    "archive_url", "api_url", "min_free", "max_connections", "limit_rate",
    "lookup_wait", "local", "local_verify", "force", "daemon",
)  # fmt: skip


def can_be_made() -> bool:
    """Tell whether what draws pictures is installed."""
    return importlib.util.find_spec("PIL") is not None


class ChildSheets:
    """Makes sheets in a process for each.

    Args:
        config: The mount's settings.
        cache_dir: Where the mount keeps what it has read.
        environ: The environment of the processes, but for settings.
        longest_s: After so many seconds one is ended.
    """

    def __init__(
        self,
        config: Config,
        cache_dir: Path,
        environ: Mapping[str, str],
        longest_s: float = _LONGEST_S,
    ) -> None:
        self._environment = _environment(config, cache_dir, environ)
        self._longest_s = longest_s
        self._lock = threading.Lock()
        self._closed = False  # guarded by _lock
        self._process: subprocess.Popen[bytes] | None = None  # guarded by _lock
        self._number = 0  # of the entry whose sheet that makes; guarded by _lock

    def sheet(self, number: int) -> Picture:
        """Return the sheet of an entry.

        Raises:
            EmpiarFSError: There is none, or not in time.
            InterruptedCallError: It was closed.
        """
        made, said = os.memfd_create("empiarfs-sheet"), os.memfd_create("empiarfs-sheet-said")
        try:
            status = self._run(number, made, said)
            reason = os.pread(said, _MOST_SAID, 0).decode(errors="replace")
            data = b""
            if status in (_ALL_SHOWN, _SOME_FAILED) and os.fstat(made).st_size <= _MOST_BYTES:
                data = os.pread(made, _MOST_BYTES, 0)
        finally:
            os.close(made)
            os.close(said)
        if not data.startswith(_PNG):
            raise EmpiarFSError(f"no contact sheet: {_why(reason) or f'exit status {status}'}")
        return Picture(data, status == _ALL_SHOWN)

    def stop(self, number: int) -> None:
        """End what makes the sheet of an entry, if that runs."""
        with self._lock:
            if self._process is not None and self._number == number:
                self._process.kill()

    def close(self) -> None:
        """End what runs, and run no more."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()

    def _run(self, number: int, made: int, said: int) -> int:
        """Run the command to its end and return its exit status.

        Raises:
            EmpiarFSError: It took too long, and was ended.
            InterruptedCallError: It was closed.
        """
        words = ["preview", f"EMPIAR-{number}", "--quiet", "--sample", str(_FILES), "-o", "-"]
        with self._lock:
            if self._closed:
                raise InterruptedCallError("the mount ends")
            self._number = number
            # It ends with this thread, which waits for it.
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "empiarfs.mount.errand", str(os.getpid()), *words],
                cwd="/",
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=made,
                stderr=said,
            )
        try:
            status = process.wait(self._longest_s)
        except subprocess.TimeoutExpired:
            raise EmpiarFSError(f"no contact sheet within {self._longest_s:g} s") from None
        finally:
            with self._lock:
                self._process = None
                is_closed = self._closed
            process.kill()
            process.wait()
        if is_closed:
            raise InterruptedCallError("the mount ends")
        return status


def _why(said: str) -> str:
    """Return what a command complained of, in a line."""
    found = re.search(r"^empiarfs: error: (.+)$", said, re.MULTILINE)
    return found[1] if found is not None else in_one_line(said)


def _environment(config: Config, cache_dir: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which a command has these settings and no others."""
    given = as_options(config)
    variables = {
        name: text
        for name, text in environment(environ).items()
        if not name.startswith("EMPIARFS_")
    }
    settings = {SETTINGS[name].variable: given[name] for name in _PASSED_ON if name in given}
    return (
        variables
        | settings
        | {"EMPIARFS_CACHE_DIR": str(cache_dir), "EMPIARFS_WAIT": _WAIT}
        # One thread for arithmetic: all else on this machine comes first.
        | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    )
