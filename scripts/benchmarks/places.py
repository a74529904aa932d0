"""A client's mounts: directories of their own, the process that serves them, and its end.

`Place.mounted` may be entered again and again with the same cache. Whatever happens, the
mount point is free and the process gone afterwards; what wouldn't go the proper way is an
error, since figures from such a client say nothing.

Not safe for use from several threads, but for `MemoryWatch`, which has its own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.benchmarks.clients import Client
from tests.support.users import User, identity

_START_DEADLINE_S = 30.0
# Dirty blocks are written before the end; a slow disk takes its time for 2 GB.
_END_DEADLINE_S = 60.0
_STORED_DEADLINE_S = 60.0
_POLL_S = 0.005
_MEMORY_POLL_S = 0.02
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# A client is at rest when it took less than so much of a processor's time in such a while.
_REST_S = 0.5
_AT_REST_S = 0.03
_REST_DEADLINE_S = 15.0
_CHECKOUT = Path(__file__).resolve().parents[2]


class Mounted:
    """A running mount.

    Attributes:
        path: The mount point.
        pid: The process that serves it.
    """

    def __init__(self, path: Path, pid: int) -> None:
        self.path = path
        self.pid = pid

    def abort(self) -> None:
        """Kill the client, which fails whoever waits for it, and leave its context then.

        A program that waits for a look-up can't be killed before.
        """
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def memory(self) -> int:
        """Return the resident memory of the process and its children, in bytes."""
        return sum(_status_bytes(pid, "VmRSS") for pid in (self.pid, *_children(self.pid)))

    def peak_memory(self) -> int:
        """Return the most memory that the process itself ever had resident, in bytes."""
        return _status_bytes(self.pid, "VmHWM")

    def cpu_s(self) -> float:
        """Return the processor time of the process and its children so far, in seconds.

        That of children which have ended is among it; user and system are added.
        """
        return sum(_cpu_s(pid) for pid in (self.pid, *_children(self.pid)))

    def cpu_at_rest_s(self) -> float:
        """Return `cpu_s` once what was begun is done, such as writing to the cache.

        A client that is never at rest is asked after some seconds.
        """
        deadline = time.monotonic() + _REST_DEADLINE_S
        before, taken = -1.0, self.cpu_s()
        while taken - before > _AT_REST_S and time.monotonic() < deadline:
            time.sleep(_REST_S)
            before, taken = taken, self.cpu_s()
        return taken


class MemoryWatch:
    """Finds the peak of a mount's memory, children included; a context manager.

    The kernel keeps the peak of each process, but not that of several together: their sum
    is sampled fifty times a second, by a thread.
    """

    def __init__(self, mounted: Mounted) -> None:
        self._mounted = mounted
        self._over = threading.Event()
        self._sampled = 0  # written by the thread only, until it has ended
        self._thread = threading.Thread(target=self._sample, name="memory-watch")

    @property
    def peak(self) -> int:
        """The peak, in bytes; to be asked for while the process still runs."""
        return max(self._sampled, self._mounted.peak_memory())

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(_MEMORY_POLL_S):
            with suppress(OSError):  # a child that has just ended
                self._sampled = max(self._sampled, self._mounted.memory())


class Place:
    """Where one client mounts: a home, a cache and a mount point; see `new_place`."""

    def __init__(
        self,
        client: Client,
        url: str,
        home: Path,
        environment: Mapping[str, str],
        user: User | None,
    ) -> None:
        self._client = client
        self._url = url
        self._home = home
        self._own_environment = environment
        self._user = user
        self._point = home / "mnt"
        for directory in (home, *(home / name for name in ("mnt", "home", "run", "cache"))):
            directory.mkdir(mode=0o700, exist_ok=True)
            if user is not None:
                os.chown(directory, user.uid, user.gid)

    @property
    def is_mounted(self) -> bool:
        """Whether the kernel lists the mount point; never touches it."""
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        return f" {self._point} " in mounts

    @contextmanager
    def mounted(self) -> Iterator[Mounted]:
        """Mount with the cache as it is, and unmount at the end.

        Raises:
            RuntimeError: The client failed, or didn't unmount when told to.
        """
        command = self._client.command(
            self._point, self._url, self._home / "cache", self._home / "log"
        )
        with (self._home / "output").open("ab") as output:
            # A session of its own: Ctrl-C must reach the benchmark first, which unmounts.
            process = subprocess.Popen(
                command,
                env=self._environment(),
                cwd=_CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **identity(self._user),
            )
        try:
            self._wait_until_mounted(process)
            yield Mounted(self._point, process.pid)
            self._end(process)
        finally:
            self._end_by_force(process)

    def wait_until_stored(self) -> None:
        """Return once an unmount would lose nothing of what was read.

        Raises:
            RuntimeError: The client doesn't come to it.
        """
        deadline = time.monotonic() + _STORED_DEADLINE_S
        while not self._client.has_stored(self._home / "cache"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._client.name} doesn't store what it has read")
            time.sleep(_POLL_S * 20)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": str(self._home / "home"),
            "XDG_RUNTIME_DIR": str(self._home / "run"),
            "TMPDIR": tempfile.gettempdir(),
            **self._own_environment,
        }

    def _wait_until_mounted(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_DEADLINE_S
        while process.poll() is None and time.monotonic() < deadline:
            if self.is_mounted:
                if self._user is None:  # nobody else may look, root neither
                    os.stat(self._point)
                return
            time.sleep(_POLL_S)
        raise RuntimeError(f"{self._client.name} does not mount: {self._last_words()}")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{self._client.name} does not end: {self._last_words()}") from None
        if self.is_mounted:
            raise RuntimeError(f"{self._client.name} left {self._point} mounted")

    def _end_by_force(self, process: subprocess.Popen[bytes]) -> None:
        if self.is_mounted:
            words = ["fusermount3", "-u", "-z", str(self._point)]
            subprocess.run(words, check=False, stderr=subprocess.DEVNULL)
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _last_words(self) -> str:
        said = [
            (self._home / name).read_text(errors="replace").strip()
            for name in ("output", "log")
            if (self._home / name).exists()
        ]
        return " | ".join(said)[-1000:] or "it says nothing"


@contextmanager
def new_place(
    client: Client,
    url: str,
    environment: Mapping[str, str] | None = None,
    user: User | None = None,
) -> Iterator[Place]:
    """Yield a place with an empty cache; its files are removed at the end.

    Args:
        client: Who mounts.
        url: Where it finds the archive.
        environment: Variables that it needs beside the usual ones.
        user: As whom it runs; None is whoever runs the benchmark.
    """
    home = Path(tempfile.mkdtemp(prefix="empiarfs-bench-"))
    place = Place(client, url, home, environment or {}, user)
    try:
        yield place
    finally:
        # Never descends into what is still mounted.
        if place.is_mounted:
            print(f"left behind, since it is still mounted: {home}", file=sys.stderr)
        else:
            shutil.rmtree(home)


def _status_bytes(pid: int, field: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _cpu_s(pid: int) -> float:
    """Return user and system time of a process, and of those children that it has waited for."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # its time is its parent's now
    # The name, in parentheses, may hold blanks; the third field comes behind it.
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_A_SECOND


def _children(pid: int) -> list[int]:
    """Return all descendants of a process."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                found += [child, *_children(child)]
    return found
