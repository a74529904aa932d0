"""Starts the daemon and waits until its mount answers.

No fork: libfuse's own would return before the mount answers, and threads that were started
by an import don't survive one. The command runs itself anew with `--foreground`, and both
talk over a pair of sockets: the request goes down, and what comes up is a summary or an
error. If the daemon dies without either, the last line it wrote to stderr is the reason.

The daemon has a session of its own from when its mount answers, and not before. Below systemd's
automounts the mount point is an autofs, on which the kernel lets nobody look but the process
group that mounts there: a daemon that left it early would wait for itself.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import empiarfs
from empiarfs.errors import ConfigError, EmpiarFSError, MountError
from empiarfs.mount.notify import VARIABLES
from empiarfs.mount.passed import passed_descriptor
from empiarfs.mount.request import MountRequest, MountSummary
from empiarfs.mount.stderr import in_one_line
from empiarfs.mount.table import mount_at
from empiarfs.mount.unmount import unmount

# Making a cache on a slow disk takes a while; nothing else here should.
_START_TIMEOUT_S = 60.0
# A Ctrl-C that comes between Python's last look for signals and the wait for the daemon
# wakes nobody; this much later it is seen.
_LOOK_FOR_SIGNALS_S = 0.5
_END_TIMEOUT_S = 10.0
_MAX_MESSAGE_BYTES = 1024 * 1024
_CTRL_C = frozenset((signal.SIGINT,))


def launch(request: MountRequest) -> MountSummary:
    """Start a daemon that serves the mount, and return once the mount answers.

    Raises:
        EmpiarFSError: It could not be made; nothing of it is left.
    """
    ours, theirs = socket.socketpair()
    with ours, tempfile.TemporaryFile() as said:
        with theirs, _ctrl_c_held_back():
            process = _start(request, theirs.fileno(), said)
        try:
            _let_ctrl_c_through()
            summary = _ask(ours, request, process, said)
        except BaseException:
            _end(process, request.mount_point)
            raise
    # It is to outlive us: without this, Python warns that nobody waits for it.
    process.returncode = 0
    return summary


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Keep Ctrl-C waiting until we know of the process; only an error lets it through."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _CTRL_C)
    try:
        yield
    except BaseException:
        _let_ctrl_c_through()
        raise


def _let_ctrl_c_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _CTRL_C)


def _start(request: MountRequest, descriptor: int, said: IO[bytes]) -> subprocess.Popen[bytes]:
    words = ["mount", "--foreground", "--launch-fd", str(descriptor), "--", request.mount_point]
    passed = passed_descriptor(request.mount_point)
    return subprocess.Popen(
        [sys.executable, "-m", "empiarfs", *words],
        cwd="/",
        env=environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        pass_fds=[descriptor] if passed is None else [descriptor, passed],
    )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which the same empiarfs is found from another directory."""
    entries = [
        os.path.abspath(entry) for entry in environ.get("PYTHONPATH", "").split(":") if entry
    ]
    home = str(Path(empiarfs.__file__).resolve().parent.parent)
    # Run out of a checkout: the interpreter found it by the directory it was started in.
    # Installed packages must not get in front of the standard library that way.
    if "site-packages" not in home and "dist-packages" not in home and home not in entries:
        entries.append(home)
    # A service that starts a mount in the background is not told of it by the daemon.
    left_out = ("PYTHONPATH", *VARIABLES)
    variables = {name: value for name, value in environ.items() if name not in left_out}
    return variables | ({"PYTHONPATH": ":".join(entries)} if entries else {})


def _ask(
    channel: socket.socket,
    request: MountRequest,
    process: subprocess.Popen[bytes],
    said: IO[bytes],
) -> MountSummary:
    try:
        channel.sendall(request.to_json().encode("ascii"))
        channel.shutdown(socket.SHUT_WR)
        message = _received(channel)
    except TimeoutError as exc:
        raise MountError(
            f"the daemon did not mount {request.mount_point} within {_START_TIMEOUT_S:g} s"
        ) from exc
    except OSError:
        message = b""  # it is gone; why, stands below
    if not message:
        raise MountError(_why_it_ended(process, said))
    return _judged(message)


def _received(channel: socket.socket) -> bytes:
    received = bytearray()
    deadline = time.monotonic() + _START_TIMEOUT_S
    while _is_readable(channel, deadline) and (piece := channel.recv(64 * 1024)):
        received += piece
        if received.endswith(b"\n") or len(received) > _MAX_MESSAGE_BYTES:
            break
    return bytes(received)


def _is_readable(channel: socket.socket, deadline: float) -> bool:
    """Wait until something has come, or raise a TimeoutError."""
    while not select.select([channel], [], [], _LOOK_FOR_SIGNALS_S)[0]:
        if time.monotonic() > deadline:
            raise TimeoutError
    return True


def _judged(message: bytes) -> MountSummary:
    try:
        values = json.loads(message)
        if "error" not in values:
            return MountSummary.from_values(values)
        error, hint, wrong_usage = values["error"], values["hint"], values["wrong_usage"]
    except (ValueError, TypeError, KeyError) as exc:
        raise MountError(f"the daemon said what can't be read: {message[:200]!r}") from exc
    if wrong_usage:
        raise ConfigError(error)
    raise MountError(error, hint=hint)


def _why_it_ended(process: subprocess.Popen[bytes], said: IO[bytes]) -> str:
    try:
        status = process.wait(timeout=_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return "the daemon closed its channel without a word"
    said.seek(0)
    reason = in_one_line(said.read(_MAX_MESSAGE_BYTES).decode(errors="replace"))
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    return f"the daemon ended with {how}" + (f": {reason}" if reason else "")


def _end(process: subprocess.Popen[bytes], mount_point: str) -> None:
    """End the daemon, and a mount that it leaves."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    left = mount_at(mount_point)
    if left is not None and left.is_ours:
        unmount(left, lazy=True)


class Launched:
    """The daemon's end of the channel to the command that launched it.

    Args:
        descriptor: The inherited socket.
    """

    def __init__(self, descriptor: int) -> None:
        self._channel: socket.socket | None = socket.socket(fileno=descriptor)
        self._channel.set_inheritable(False)

    def request(self) -> MountRequest:
        """Return what is to be mounted."""
        assert self._channel is not None
        received = bytearray()
        while piece := self._channel.recv(64 * 1024):
            received += piece
        return MountRequest.from_json(bytes(received))

    def mounted(self, summary: MountSummary) -> None:
        """Tell that the mount answers; from here on no terminal's signals reach us."""
        with suppress(PermissionError):  # somebody made us the leader of a group
            os.setsid()
        self._send(summary.to_json())

    def failed(self, error: EmpiarFSError) -> None:
        """Tell why there is no mount."""
        values = {
            "error": str(error),
            "hint": getattr(error, "hint", None),
            "wrong_usage": isinstance(error, ConfigError),
        }
        self._send(json.dumps(values))

    def _send(self, text: str) -> None:
        if self._channel is None:
            return  # it was told already, and the command has gone its way
        channel, self._channel = self._channel, None
        with channel:
            try:
                channel.sendall(text.encode("ascii") + b"\n")
            except OSError:
                return  # it was killed; the mount stays, and `status` shows it
