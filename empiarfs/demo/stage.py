"""What a demo stands on: a temporary directory, its keeper process, and the counts.

Threading: used from one thread.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from empiarfs.demo.keeper import clear_up
from empiarfs.demo.server import COUNTS_PATH, ServerCounts
from empiarfs.errors import MountError

# The archive is made in about a second and a half on a slow machine.
_START_S = 60.0
_END_S = 120.0
_LOOK_S = 0.1


class Stage:
    """One demo's directory and the process that serves and clears up; not thread-safe.

    Use it in a `with` statement. At its end everything is gone, unless `keep` was called.

    Attributes:
        work: The directory, mode 0700. In it `archive` (what is served), `cache`, `mnt`.
        url: The base URL of the served archive.
        files: How many files the archive has.
        size: Their bytes.
    """

    def __init__(self) -> None:
        # The real path, since that is what stands in the kernel's table of mounts.
        self.work = Path(tempfile.mkdtemp(prefix="empiarfs-demo-")).resolve()
        self.url, self.files, self.size = "", 0, 0
        self._keeper: subprocess.Popen[str] | None = None
        self._is_kept = False

    @property
    def mount_point(self) -> Path:
        """Where the demo mounts."""
        return self.work / "mnt"

    @property
    def archive(self) -> Path:
        """The served files themselves, to compare with."""
        return self.work / "archive"

    def __enter__(self) -> Stage:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._is_kept:
            self._end()

    def environment(self) -> dict[str, str]:
        """Return the environment for the demo's programs, without the user's settings of ours."""
        theirs = {
            name: value for name, value in os.environ.items() if not name.startswith("EMPIARFS_")
        }
        return theirs | {
            "LC_ALL": "C.UTF-8",
            "XDG_CONFIG_HOME": os.fspath(self.work / "config"),
            "XDG_STATE_HOME": os.fspath(self.work / "state"),
            # A proxy can't reach this machine's own address.
            "no_proxy": "127.0.0.1",
        }

    def counts(self) -> ServerCounts:
        """Return what the server has answered, once nothing more is under way.

        The mount may look ahead in the background; what it asks for then belongs to the
        step that made it look.
        """
        counts = self._counts()
        for _ in range(30):
            # The server's log tells of what has ended only: two looks that find the same are
            # the sign that nothing more is under way.
            time.sleep(_LOOK_S)
            earlier, counts = counts, self._counts()
            if counts == earlier:
                break
        return counts

    def keep(self) -> None:
        """Leave server and mount behind; they end together when the mount is unmounted."""
        self._is_kept = True
        self._tell_keeper("keep")
        if self._keeper is not None:
            self._keeper.returncode = 0  # nobody waits for it, and Popen needn't complain

    def _start(self) -> None:
        self.mount_point.mkdir()
        with open(self.work / "keeper.log", "ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "empiarfs.demo.keeper", os.fspath(self.work)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.environment(),
                start_new_session=True,  # a Ctrl-C in the terminal is ours to answer
            )
        made = self._ready_line()
        if "url" not in made:
            raise MountError(f"the demo's archive can't be made: {made.get('error', 'no reason')}")
        self.url, self.files, self.size = made["url"], made["files"], made["size"]

    def _ready_line(self) -> dict[str, Any]:
        assert self._keeper is not None
        assert self._keeper.stdout is not None
        answered, _, _ = select.select([self._keeper.stdout], [], [], _START_S)
        line = self._keeper.stdout.readline() if answered else ""
        if not line:
            log = (self.work / "keeper.log").read_text(errors="replace").strip()
            raise MountError(f"the demo's server doesn't start: {log[-500:] or 'no reason given'}")
        made: dict[str, Any] = json.loads(line)
        return made

    def _counts(self) -> ServerCounts:
        address = urlsplit(self.url).netloc
        connection = http.client.HTTPConnection(address, timeout=10)
        try:
            connection.request("GET", COUNTS_PATH)
            return ServerCounts(**json.loads(connection.getresponse().read()))
        except (OSError, http.client.HTTPException) as exc:
            raise MountError(f"the demo's server doesn't answer: {exc}") from exc
        finally:
            connection.close()

    def _end(self) -> None:
        if self._keeper is None:
            clear_up(self.work)
            return
        self._tell_keeper("done")
        try:
            self._keeper.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        if self.work.exists() and not clear_up(self.work):
            raise MountError(
                f"{self.work} could not be removed",
                hint=f"fusermount3 -uz {self.mount_point}; rm -r {self.work}",
            )

    def _tell_keeper(self, word: str) -> None:
        if self._keeper is None:
            return
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.write(word + "\n")
            self._keeper.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.stdout.close()
