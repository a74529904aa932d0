"""Real mounts, made by running the command `empiarfs mount` as a program.

Each has a home, a cache, a runtime directory and a log of its own, so that nothing of the
user's configuration reaches it and nothing of it stays. At the end of `mounted` the file
system is unmounted, its process has ended and its files are removed, whatever happened;
what would not go the proper way fails the test.

The tests' own process must not touch a mount point whose daemon may hang without a
deadline: use `Mount.run`, which kills what takes too long.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from tests.support import log_guard
from tests.support.users import Python, User, identity, own_python, plain_python, run_as

FILE_SYSTEM_TYPE = "fuse.empiarfs"

_COMMAND_DEADLINE_S = 60.0
_END_DEADLINE_S = 15.0
_POLL_S = 0.01

# The mounts of this run of the tests, for the check at its end.
_made: list[Path] = []


class Mount:
    """A mounted archive.

    Attributes:
        path: The mount point.
        archive_url: What is mounted.
        cache_dir: The cache directory given to it.
        user: As whom it was mounted; None for the user who runs the tests.
        warnings_expected: Whether its log may hold warnings, but no errors and tracebacks; a
            test that breaks something on purpose sets it, or better calls `expect_log`.
    """

    def __init__(
        self,
        home: Path,
        archive_url: str,
        cache_dir: Path,
        options: Sequence[str],
        user: User | None,
        environment: Mapping[str, str],
        python: Python,
    ) -> None:
        self.path = home / "mnt"
        self.archive_url = archive_url
        self.cache_dir = cache_dir
        self.user = user
        self.warnings_expected = False
        self._expected: list[re.Pattern[str]] = []
        self.output = ""
        self._home = home
        self._options = tuple(options)
        self._environment = dict(environment)
        self._python = python

    @property
    def environment(self) -> dict[str, str]:
        """What programs that ask about this mount need in their environment."""
        return dict(self._environment)

    @property
    def log(self) -> str:
        """Everything that the mount has logged so far, remounts included."""
        # The older files first: a long log is moved aside.
        logs = [self._home / f"log{number}" for number in (".3", ".2", ".1", "")]
        return "".join(log.read_text(errors="replace") for log in logs if log.exists())

    @property
    def is_mounted(self) -> bool:
        """Whether the kernel lists the mount point; never touches it."""
        return str(self.path) in mount_points()

    @property
    def pid(self) -> int:
        """The process that serves the mount."""
        found = self._pids()
        if len(found) != 1:
            raise AssertionError(f"{len(found)} processes serve {self.path}: {found}")
        return found[0]

    def command(
        self, *arguments: str | Path, timeout_s: float = _COMMAND_DEADLINE_S
    ) -> subprocess.CompletedProcess[str]:
        """Run `empiarfs` with these arguments, in the environment of this mount."""
        done = subprocess.run(
            [self._python.executable, "-m", "empiarfs", *map(str, arguments)],
            env=self._environment,
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            **identity(self.user),
        )
        if log_guard.TRACEBACK in done.stderr:
            raise AssertionError(f"empiarfs {' '.join(map(str, arguments))}:\n{done.stderr}")
        return done

    def run(
        self,
        *command: str | Path,
        timeout_s: float = _COMMAND_DEADLINE_S,
        cwd: str | Path = "/",
    ) -> subprocess.CompletedProcess[bytes]:
        """Run any program as the user of this mount, in its environment."""
        environment = self._environment
        return run_as(self.user, command, timeout_s=timeout_s, env=environment, cwd=cwd)

    def start(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a program in the mount, as its user; the caller waits for its end."""
        return subprocess.Popen(
            [str(word) for word in command],
            env=self._environment,
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            **identity(self.user),
        )

    def mount(self) -> None:
        """Mount; an AssertionError with all output if the command fails."""
        words: list[str | Path] = ["mount", self.path, "--archive-url", self.archive_url]
        words += ["--cache-dir", self.cache_dir]
        words += ["--log-file", self._home / "log", "--log-level", "debug"]
        if self._options:
            words += ["-o", ",".join(self._options)]
        done = self.command(*words)
        self.output = done.stdout + done.stderr
        if done.returncode != 0 or not self.is_mounted:
            raise AssertionError(
                f"mount: status {done.returncode}\n{self.output}\n{self.log[-5000:]}"
            )

    def umount(self) -> None:
        """Unmount with `empiarfs umount`, and check that it leaves nothing behind."""
        pids = self._pids()
        done = self.command("umount", self.path)
        if done.returncode != 0:
            raise AssertionError(f"umount: status {done.returncode}\n{done.stdout}{done.stderr}")
        if self.is_mounted:
            raise AssertionError(f"still mounted after umount: {self.path}")
        if not _wait_for_end(pids):
            raise AssertionError(f"umount left the processes {pids}\n{self.log[-5000:]}")

    def remount(self) -> None:
        """Unmount and mount again, with the same cache."""
        self.umount()
        self.mount()

    def status(self) -> dict[str, Any]:
        """Return what `empiarfs status --json` says of this mount."""
        done = self.command("status", self.path, "--json")
        if done.returncode != 0:
            raise AssertionError(f"status: status {done.returncode}\n{done.stdout}{done.stderr}")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def expect_log(self, pattern: str) -> None:
        """Allow lines of the log that match, whatever their level."""
        self._expected.append(re.compile(pattern))

    def complaints(self) -> list[str]:
        """Return the lines of the log that are warnings or worse."""
        return log_guard.complaints(self.log.split("\n"))

    def unexpected(self) -> list[str]:
        """Return those of the complaints that nobody expects."""
        lines = [
            line
            for line in self.complaints()
            if not any(pattern.search(line) for pattern in self._expected)
        ]
        return log_guard.errors(lines) if self.warnings_expected else lines

    def end(self) -> None:
        """Unmount by force if need be, and kill what is left."""
        pids = self._pids()
        if self.is_mounted:
            self.command("umount", self.path)
        for program in (["fusermount3", "-u", "-z"], ["umount", "-l"]):
            if self.is_mounted:
                run_as(None, [*program, self.path])
        if not _wait_for_end(pids):
            for pid in pids:
                _kill(pid)
            raise AssertionError(f"had to kill the processes {pids}\n{self.log[-5000:]}")

    def _pids(self) -> list[int]:
        """Return the processes whose command line names the mount point."""
        needle = os.fsencode(self.path)
        return [pid for pid, words in command_lines() if needle in words]


@contextmanager
def mounted(
    archive_url: str,
    *,
    cache_dir: Path | None = None,
    options: Sequence[str] = (),
    user: User | None = None,
    libfuse: Literal[2, 3] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Mount]:
    """Mount an archive and yield the `Mount`; it is unmounted and removed at the end.

    Args:
        archive_url: The archive's root, with a trailing slash.
        cache_dir: A cache to share with others; a new one if None, removed at the end.
        options: What `-o` gets, each as `name` or `name=value`.
        user: As whom to mount; needs root.
        libfuse: Which library to use; None for the one that empiarfs takes by itself.
        env: Further environment variables, such as `ApacheServer.environment`.

    Raises:
        AssertionError: The mount failed, did not end properly, or logged a warning that
            nobody expected.
    """
    python = own_python() if user is None else plain_python()
    # Short, since Unix sockets lie below; readable, since a plain user may mount.
    home = Path(tempfile.mkdtemp(prefix="empiarfs-m-"))
    cache = cache_dir or home / "cache"
    mount = Mount(
        home, archive_url, cache, options, user, _environment(home, python, libfuse, env), python
    )
    try:
        _make_directories(home, user)
        _made.append(mount.path)
        mount.mount()
        yield mount
        if mount.is_mounted:
            mount.umount()
        unexpected = mount.unexpected()
        if unexpected:
            raise AssertionError("the mount logged:\n" + "\n".join(unexpected[:50]))
    finally:
        try:
            mount.end()
        finally:
            if not mount.is_mounted:
                shutil.rmtree(home)


def leftovers() -> list[str]:
    """Return what the mounts of this run have left behind, a line for each."""
    points = mount_points()
    left = [f"mount {path}" for path in _made if str(path) in points]
    homes = [os.fsencode(path.parent) for path in _made]
    for pid, words in command_lines():
        if any(home in word for home in homes for word in words):
            left.append(f"process {pid}: {b' '.join(words).decode(errors='replace')}")
    return left


def mount_points(kind: str = FILE_SYSTEM_TYPE) -> set[str]:
    """Return the mount points of file systems of a kind, as the kernel lists them."""
    found = set()
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ")[0] == kind:
            found.add(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), before.split(" ")[4]))
    return found


def command_lines() -> list[tuple[int, list[bytes]]]:
    """Return the numbers and words of all running processes but this one and zombies."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if words != [b""] and int(directory.name) != os.getpid():
            found.append((int(directory.name), words))
    return found


def _environment(
    home: Path, python: Python, libfuse: int | None, env: Mapping[str, str] | None
) -> dict[str, str]:
    """Return an environment without anything of the user's who runs the tests."""
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(home / "home"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "EMPIARFS_LOG_FILE": str(home / "log"),
        "TMPDIR": tempfile.gettempdir(),
        # Most tests hold the tree against the one that is served, which has nothing of ours.
        "EMPIARFS_METADATA": "hidden",
        **python.environment,
    }
    if libfuse is not None:
        environment["FUSE_LIBRARY_NAME"] = {2: "fuse", 3: "fuse3"}[libfuse]
    # By this the guard at the end of scripts/test knows whose processes are left.
    environment |= {
        key: os.environ[key] for key in ("RUN_OF_EMPIARFS_TESTS",) if key in os.environ
    }
    return environment | dict(env or {})


def _make_directories(home: Path, user: User | None) -> None:
    home.chmod(0o755)
    for name in ("home", "run", "mnt"):
        (home / name).mkdir(mode=0o700)
    if user is not None:
        for path in (home, *home.iterdir()):
            os.chown(path, user.uid, user.gid)


def _wait_for_end(pids: Sequence[int]) -> bool:
    """Wait until all these processes are gone; False if one isn't in time."""
    deadline = time.monotonic() + _END_DEADLINE_S
    while any(_is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    # A zombie has ended, though whoever inherited it hasn't looked yet.
    return state.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
