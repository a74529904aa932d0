"""A home of its own in which a test runs `empiarfs` commands, also such as fail.

Nothing of the user's settings reaches it. At the end whatever is mounted below it is
detached, and every process that names it in its command line is killed, by its number.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.mounts import command_lines, mount_points
from tests.support.users import Python, User, identity, own_python, run_as
from tests.support.waiting import wait_until

# Nobody listens there: whatever asks this archive is refused at once.
NO_ARCHIVE = "http://127.0.0.1:9/"
_DEADLINE_S = 60.0


class Sandbox:
    """Runs commands in a home of its own.

    Attributes:
        home: A short path, since Unix sockets lie below.
        point: An empty directory to mount on.
        environment: What commands get.
    """

    def __init__(self, home: Path, python: Python, user: User | None) -> None:
        self.home = home
        self.point = home / "mnt"
        self.user = user
        self._python = python
        for name in ("mnt", "run"):
            (home / name).mkdir(mode=0o700)
        if user is not None:
            for path in (home, *home.iterdir()):
                os.chown(path, user.uid, user.gid)
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home / "run"),
            "LANG": "C.UTF-8",
            "EMPIARFS_CACHE_DIR": str(home / "cache"),
            "EMPIARFS_LOG_FILE": str(home / "log"),
            "EMPIARFS_ARCHIVE_URL": NO_ARCHIVE,
            **python.environment,
        }

    @property
    def log(self) -> str:
        """What the daemon has logged."""
        return (self.home / "log").read_text()

    @property
    def is_mounted(self) -> bool:
        """Whether the kernel lists the mount."""
        return str(self.point) in mount_points()

    def words(self, *arguments: str | Path) -> list[str]:
        """Return the words of the command `empiarfs` with these arguments."""
        return [self._python.executable, "-m", "empiarfs", *map(str, arguments)]

    def start(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, **keywords: Any
    ) -> subprocess.Popen[str]:
        """Start `empiarfs`; its output is piped."""
        keywords = {"cwd": self.home} | keywords
        return subprocess.Popen(
            self.words(*arguments),
            env=self.environment | dict(env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **identity(self.user),
            **keywords,
        )

    def run(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, **keywords: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run `empiarfs`, and return how it ended."""
        with self.start(*arguments, env=env, **keywords) as process:
            try:
                out, err = process.communicate(timeout=_DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def mount(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> None:
        """Mount; an AssertionError with the output if that fails."""
        done = self.run("mount", self.point, *arguments, env=env)
        assert (done.returncode, done.stderr) == (0, ""), done

    def daemons(self) -> list[int]:
        """Return the processes that serve mounts of this sandbox."""
        needle = os.fsencode(self.point)
        return [pid for pid, words in command_lines() if needle in words and b"empiarfs" in words]

    def wait_until_gone(self) -> None:
        """Wait until nothing is mounted and no daemon runs."""
        try:
            wait_until(lambda: not self.is_mounted and not self.daemons(), 20)
        except AssertionError as exc:
            left = f"mounted: {self.is_mounted}, processes: {self.daemons()}"
            raise AssertionError(f"{left}\n{self.log}") from exc

    def clear(self) -> None:
        """Leave nothing of it behind."""
        for path in sorted(mount_points(), key=len, reverse=True):
            if path.startswith(f"{self.home}/"):
                run_as(None, ["umount", "-l", path])
        for pid, words in command_lines():
            if any(os.fsencode(self.home) in word for word in words):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.daemons())
        shutil.rmtree(self.home, ignore_errors=True)


@contextmanager
def sandbox(python: Python | None = None, user: User | None = None) -> Iterator[Sandbox]:
    """Make a sandbox and clear it up.

    Args:
        python: What runs empiarfs; the tests' own if None.
        user: As whom commands run.
    """
    home = Path(tempfile.mkdtemp(prefix="empiarfs-s-"))
    home.chmod(0o755)
    made = Sandbox(home, python or own_python(), user)
    try:
        yield made
    finally:
        made.clear()


@contextmanager
def silent_archive() -> Iterator[str]:
    """Yield the URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
