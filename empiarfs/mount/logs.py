"""Where a mount logs: a bounded file of its own, or stderr in the foreground.

A line begins with time and level, and is one line whatever is in it, so that no file name
can forge another, nor steer the terminal on which the log is read. The file is for its user
only, since names of data sets under embargo may stand in it, and is at most 40 MB with its
three predecessors.

Threading: `logging` locks; `reopen` may be called from any thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import stat
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

import platformdirs

from empiarfs.cache.directory import choose_directory, make_private
from empiarfs.config import Config
from empiarfs.errors import MountError

_MAX_BYTES = 10_000_000
_PREDECESSORS = 3
# Mount points in directories of jobs are made once and never come again.
_KEPT_S = 90 * 86_400.0
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"
_STDERR = 2
# What ends a line or steers a terminal: a server may put it into a status line or a name.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def default_log_file(mount_point: str) -> Path:
    """Return the log of the mount at `mount_point`, where the user chose none.

    Each has its own: two processes that rotate one file lose lines.
    """
    directory = Path("/var/log") if os.geteuid() == 0 else platformdirs.user_state_path()
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", mount_point).strip("-") or "root"
    if name != mount_point.strip("/").replace("/", "-") or len(name) > 100:
        digest = hashlib.blake2b(os.fsencode(mount_point), digest_size=4).hexdigest()
        name = f"{name[-100:]}-{digest}"
    return directory / "empiarfs" / f"{name}.log"


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


class _Formatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(_FORMAT, _TIME_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        return _CONTROL.sub(_escape, super().formatMessage(record))


class _LogFile(RotatingFileHandler):
    """Rotates, and keeps our own stderr flowing into the current file.

    What libfuse and Python's last words write there would else be lost in a daemon.
    """

    def __init__(self, path: Path, *, takes_stderr: bool) -> None:
        self._takes_stderr = takes_stderr
        super().__init__(
            path,
            maxBytes=_MAX_BYTES,
            backupCount=_PREDECESSORS,
            encoding="utf-8",
            errors="backslashreplace",
        )

    def _open(self) -> io.TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        # Nonblocking, so that a pipe without a reader is an error and not a mount that hangs.
        descriptor = os.open(self.baseFilename, flags | os.O_NONBLOCK, 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)
        os.set_blocking(descriptor, True)
        if self._takes_stderr:
            os.dup2(descriptor, _STDERR)
        return io.TextIOWrapper(
            io.FileIO(descriptor, "a"),
            encoding=self.encoding,
            errors=self.errors,
            line_buffering=True,
        )

    def reopen(self) -> None:
        """Open the file anew by its name, which somebody may have moved."""
        self.acquire()
        try:
            if self.stream is not None:
                self.stream.close()
            self.stream = self._open()
        finally:
            self.release()


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg] # generic from 3.11 on
    """Writes to whatever is stderr at the time, as tests and the start replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> io.TextIOWrapper:
        return sys.stderr  # type: ignore[return-value]


class Log:
    """The log of this process.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        file: Where to log; None for stderr.
        takes_stderr: What is written to stderr is to end up in `file` as well.

    Raises:
        MountError: The file can't be written.
    """

    def __init__(self, level: str, file: Path | None, *, takes_stderr: bool = False) -> None:
        self._handler: logging.Handler
        try:
            if file is None:
                self._handler = _Stderr()
            else:
                make_private(file.parent)
                self._handler = _LogFile(file, takes_stderr=takes_stderr)
        except OSError as exc:
            raise MountError(f"cannot log to {file}: {exc.strerror}") from exc
        self._handler.setFormatter(_Formatter())
        root = logging.getLogger()
        root.addHandler(self._handler)
        # Libraries log each connection at DEBUG; what they warn of, we want to know.
        root.setLevel(logging.WARNING)
        logging.getLogger("empiarfs").setLevel(level.upper())
        # A disk that is full must not turn each line into a traceback.
        logging.raiseExceptions = False
        # Threads of libfuse are not Python's: naming them in each record makes objects.
        logging.logThreads = False
        logging.logMultiprocessing = False

    def reopen(self) -> None:
        """Open the file anew; on stderr nothing happens."""
        if isinstance(self._handler, _LogFile):
            with contextlib.suppress(OSError):
                self._handler.reopen()

    def close(self) -> None:
        """Stop logging."""
        logging.getLogger().removeHandler(self._handler)
        self._handler.close()


def choose_log_file(config: Config, mount_point: str) -> Path:
    """Return where a daemon logs: where the user says, else where such logs belong.

    A home directory that can't be written to must not keep a mount from being made, so the
    cache directory is next; it can be, or there is no mount.
    """
    if config.log_file is not None:
        return config.log_file
    wanted = default_log_file(mount_point)
    try:
        make_private(wanted.parent)
    except OSError:
        pass
    else:
        if os.access(wanted.parent, os.W_OK):
            _remove_old(wanted.parent)
            return wanted
    return choose_directory(config.cache_dir, os.environ, force=config.force).path / wanted.name


def _remove_old(directory: Path) -> None:
    """Remove logs that nothing was written to for three months."""
    oldest_s = time.time() - _KEPT_S
    with contextlib.suppress(OSError):
        for path in directory.glob("*.log*"):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < oldest_s:
                    path.unlink()
