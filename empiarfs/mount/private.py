"""A mount for one program: made in a namespace of its own, gone when the program has ended.

    empiarfs run            moves into a namespace, launches the daemon, starts the program,
                            waits for it, detaches the mount, waits for the daemon
      daemon                ends by SIGTERM when that process is gone, however it ended
      program               has its own rights, and no others

Threading: for a process with one thread.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from empiarfs.errors import MountError
from empiarfs.mount import namespace
from empiarfs.mount.launch import launch
from empiarfs.mount.logs import choose_log_file
from empiarfs.mount.points import check_fuse
from empiarfs.mount.request import MountRequest

VARIABLE = "EMPIARFS_MOUNT"
PLACE = "{}"
_END_TIMEOUT_S = 30.0
_POLL_S = 0.02
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# Ctrl-C and Ctrl-\ reach the program by itself; it decides what they mean.
_IGNORED = (signal.SIGINT, signal.SIGQUIT)


def run(
    request: MountRequest,
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    mounted: Callable[[str], None],
    complain: Callable[[str], None],
) -> int:
    """Run a program that has a mount for itself; return its exit status, as shells count.

    Args:
        request: What to mount; on a fresh directory if its mount point is "".
        words: The program and its arguments; `{}` in them stands for the mount point.
        environ: Its environment; the mount point is added as EMPIARFS_MOUNT.
        mounted: Called with the mount point once it answers.
        complain: Called with the reason if the program can't be started.

    Raises:
        MountError: It can't be mounted; the program wasn't started.
    """
    check_fuse()
    if not request.mount_point:
        with tempfile.TemporaryDirectory(prefix="empiarfs-", dir=_parent(environ)) as folder:
            there = replace(request, mount_point=folder)
            return run(there, words, environ, mounted=mounted, complain=complain)
    # Outside of the namespace, where we are who we are.
    log_file = choose_log_file(request.config, request.mount_point)
    config = replace(request.config, log_file=log_file)
    namespace.enter()
    summary = launch(replace(request, config=config, ends_with=os.getpid()))
    try:
        mounted(summary.mount_point)
        return _run(words, environ, summary.mount_point, complain)
    finally:
        with suppress(OSError):
            namespace.detach(summary.mount_point)
        _wait_for(summary.pid)


def _parent(environ: Mapping[str, str]) -> str | None:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    return runtime if runtime.startswith("/") and os.access(runtime, os.W_OK) else None


def _run(
    words: Sequence[str],
    environ: Mapping[str, str],
    point: str,
    complain: Callable[[str], None],
) -> int:
    program = [word.replace(PLACE, point) for word in words]
    held = {number: signal.signal(number, signal.SIG_IGN) for number in _IGNORED}
    try:
        process = subprocess.Popen(
            program,
            env={**environ, VARIABLE: point},
            preexec_fn=lambda: _become_a_program(held),
        )
    except OSError as exc:
        complain(f"{program[0]}: {exc.strerror}")
        return _NOT_FOUND if isinstance(exc, FileNotFoundError) else _NOT_EXECUTABLE
    else:
        for number in _FORWARDED:
            held[number] = signal.signal(number, lambda got, _: process.send_signal(got))
        status = process.wait()
        return status if status >= 0 else 128 - status
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)


def _become_a_program(held: Mapping[signal.Signals, object]) -> None:
    namespace.give_up_rights()
    for number, handler in held.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _wait_for(pid: int) -> None:
    """Wait until the daemon, our child, has written what is to be kept."""
    deadline = _END_TIMEOUT_S
    while deadline > 0:
        with suppress(ChildProcessError):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            if not ended:
                signal.sigtimedwait((), _POLL_S)
                deadline -= _POLL_S
                continue
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def checked_place(text: str) -> str:
    """Return the absolute path of an existing directory to mount on.

    Raises:
        MountError: There is none.
    """
    path = Path(text).absolute()
    if not path.is_dir():
        raise MountError(f"{text} is no directory to mount on", hint=f"make it: mkdir -p {text}")
    return os.fspath(path.resolve())
