"""The process behind a demo: makes the archive, serves it, and clears up at the end.

    python -m empiarfs.demo.keeper WORK

`Stage` starts it with pipes at its standard input and output. It writes one line of JSON
once the archive is served (or why it isn't), and then waits for a line:

    line          what follows
    ------------  ------------------------------------------------------------------
    done          unmount if need be, remove WORK, end
    keep          the same, but when the mount is gone, or after a day without a request
    end of file   the same as `done`: whoever started the demo is no more

So nothing stays behind even if the demo is killed. WORK holds `archive`, `cache`, `mnt`
and logs; it is removed only when nothing is mounted at `mnt` any more.

SIGTERM means the same as `done`. It raises nothing where the main thread happens to be,
such as between the server's start and the note that it must be stopped: it makes a pipe
readable, at which the main thread looks wherever it waits.

Threading: the server's threads serve; the main thread waits and clears up.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from empiarfs.demo.archive import make_archive
from empiarfs.demo.server import DemoServer
from empiarfs.errors import MountError
from empiarfs.mount.ending import end_mount
from empiarfs.mount.probe import is_dead
from empiarfs.mount.table import mount_at

logger = logging.getLogger(__name__)

# Who forgets a kept demo finds it gone a day after its last use.
_KEPT_IDLE_S = 24 * 3600.0
# How often a kept mount is looked at, should its daemon have died and left it dead.
_LOOK_S = 30.0
# A mount that was being made when the demo died may come up this much later.
_LATE_MOUNT_S = 5.0
_LAST_FILE_S = 0.1


def main() -> int:
    """Serve a demo until it ends; return the exit status."""
    work = Path(sys.argv[1])
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the business of who started us
    late_mount_s, is_clear = 0.0, False
    with contextlib.ExitStack() as at_end:
        told = at_end.enter_context(_told_to_end())
        try:
            server = _serve(work)
            at_end.callback(server.stop)
            word = _word(told)
            if word == "keep":
                _wait_while_used(work, server, told)
            late_mount_s = 0.0 if word else _LATE_MOUNT_S
        except OSError as exc:
            reason = exc.strerror or str(exc)
            _tell({"error": f"{exc.filename}: {reason}" if exc.filename else reason})
        finally:
            is_clear = clear_up(work, late_mount_s=late_mount_s)
    return 0 if is_clear else 1


@contextlib.contextmanager
def _told_to_end() -> Iterator[int]:
    """Make a descriptor that can be read once a SIGTERM has come."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, _noticed)
        yield reader
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        os.close(writer)
        os.close(reader)


def _noticed(_signal: int, _frame: FrameType | None) -> None:
    """Do nothing: that there is a handler is what makes the pipe readable."""


def clear_up(work: Path, *, late_mount_s: float = 0.0) -> bool:
    """Unmount what is mounted in `work` and remove it; tell whether it is gone.

    Args:
        work: The demo's directory.
        late_mount_s: Seconds to wait for a mount that may still be in the making.
    """
    mount_point = work / "mnt"
    end = time.monotonic() + late_mount_s
    while not _is_mounted(mount_point) and (left := end - time.monotonic()) > 0:
        _wait_for_change(left)
    for _ in range(3):
        if _is_mounted(mount_point):
            _unmount(mount_point)
        if _has_gone(mount_point):
            return _remove(work)
    return False


def _has_gone(mount_point: Path) -> bool:
    # rmdir refuses a mount point, so that nothing below it can be touched by what follows.
    try:
        mount_point.rmdir()
    except FileNotFoundError:
        pass
    except OSError as exc:
        logger.warning("%s stays: %s", mount_point, exc)
        return False
    return True


def _remove(work: Path) -> bool:
    for _ in range(20):
        shutil.rmtree(work, ignore_errors=True)
        if not work.exists():
            return True
        # A daemon that has just ended may have written a last file; nobody tells when it has.
        time.sleep(_LAST_FILE_S)
    return False


def _unmount(mount_point: Path) -> None:
    """Unmount as a user would, or, should that fail, from under whoever uses it."""
    for lazy in (False, True):
        try:
            end_mount(os.fspath(mount_point), lazy=lazy)
        except MountError as exc:
            logger.warning("%s", exc)
        if not _is_mounted(mount_point):
            return


def _is_mounted(mount_point: Path) -> bool:
    return mount_at(os.fspath(mount_point)) is not None


def _wait_for_change(seconds: float, told: int | None = None) -> bool:
    """Wait until something is mounted or unmounted, for at most `seconds`.

    Args:
        seconds: How long at most.
        told: A descriptor; that it can be read ends the wait too.

    Returns:
        Whether `told` can be read.
    """
    with open("/proc/self/mounts", "rb") as table:
        poll = select.poll()
        # The kernel reports a change of the table as an exceptional condition.
        poll.register(table, select.POLLPRI)
        if told is not None:
            poll.register(told, select.POLLIN)
        return told in [descriptor for descriptor, _ in poll.poll(seconds * 1000)]


def _serve(work: Path) -> DemoServer:
    began = time.monotonic()
    made = make_archive(work / "archive")
    server = DemoServer(work / "archive")
    server.start()
    seconds = time.monotonic() - began
    _tell({"url": server.url, "files": made.files, "size": made.size, "seconds": seconds})
    return server


def _word(told: int) -> str:
    ready, _, _ = select.select([sys.stdin, told], [], [])
    return "done" if told in ready else sys.stdin.readline().strip()


def _tell(line: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _wait_while_used(work: Path, server: DemoServer, told: int) -> None:
    mount_point = work / "mnt"
    seen, seen_at = server.counts().requests, time.monotonic()
    while _is_mounted(mount_point) and not is_dead(os.fspath(mount_point)):
        if _wait_for_change(_LOOK_S, told):
            return
        if server.counts().requests != seen:
            seen, seen_at = server.counts().requests, time.monotonic()
        if time.monotonic() - seen_at > _KEPT_IDLE_S:
            return


if __name__ == "__main__":
    sys.exit(main())
