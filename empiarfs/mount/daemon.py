"""The process that serves a mount, from its first line to a clean end.

The kernel's requests are served in libfuse's threads, while the main thread sits in C and
runs no Python. A signal handler of Python's would never run there, and libfuse's own waits
for every request under way. So TERM, INT and HUP are blocked in all threads and waited for
in one of ours.

The daemon never touches its own mount: a question to itself may be the one that hangs.

Threading: the main thread sets up, serves and clears up. `empiarfs-signals` waits for
signals and ends the mount; `empiarfs-start` finds out that the mount answers, and tells.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from empiarfs.errors import EmpiarFSError, MountError
from empiarfs.ledger import Ledger
from empiarfs.mount import kernel, memory
from empiarfs.mount.callbacks import end_when_unanswered
from empiarfs.mount.describing import Description
from empiarfs.mount.logs import Log
from empiarfs.mount.namespace import end_with_parent
from empiarfs.mount.notify import Notifier, Service, status_line, taken_from
from empiarfs.mount.passed import mount_point_of, passed_descriptor
from empiarfs.mount.path_status import PathStatus
from empiarfs.mount.points import check_apart, check_helper
from empiarfs.mount.probe import probe
from empiarfs.mount.reachable import Reachable
from empiarfs.mount.request import MountRequest, MountSummary
from empiarfs.mount.stderr import CapturedStderr, in_one_line
from empiarfs.mount.table import MountedFileSystem, mount_at
from empiarfs.mount.unmount import BusyError, unmount
from empiarfs.vfs.served import Served

if TYPE_CHECKING:
    from empiarfs.mount.metrics import MetricsServer

logger = logging.getLogger(__name__)

_SIGNALS = frozenset((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
# From when a user counts a mount as hanging; its root needs no answer of the archive.
_ANSWER_TIMEOUT_S = 20.0
# One look starts a process, which takes longer.
_LOOK_S = 0.01
# After that a detached mount is ended under the programs that still use it.
_GRACE_S = 5.0
# A thread that computes makes all others wait for so long; the default is ten times that,
# and made a `stat` take 5 ms.
_SWITCH_INTERVAL_S = 0.0005
# With 100,000 rows of listings alive, a full collection stopped all threads for 27 to 44 ms,
# and found nothing: what is many here has no cycles. The young generations stay in use.
_GC_THRESHOLDS = (20_000, 20, 1_000)
# Whatever we write is for our user only: names of data sets under embargo may stand in it.
# Set here as well as at each file, since SQLite makes files of its own.
_UMASK = 0o077

Announce = Callable[[MountSummary], None]


def run(
    request: MountRequest,
    log_file: Path | None,
    announce: Announce,
    *,
    in_background: bool = False,
) -> None:
    """Mount, serve until unmounted or told to end, and clear up.

    Args:
        request: What to mount.
        log_file: Where to log; None for stderr.
        announce: Called with what the user should know, once the mount answers.
        in_background: Nobody reads our stderr, so that it goes to the log as well.

    Raises:
        EmpiarFSError: The mount could not be made.
    """
    os.umask(_UMASK)
    if request.ends_with:
        end_with_parent(signal.SIGTERM)
        if os.getppid() != request.ends_with:
            raise MountError("whoever wanted the mount is gone")
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    log = Log(request.config.log_level, log_file, takes_stderr=in_background)
    try:
        faulthandler.enable()
        end_when_unanswered()
        kernel.raise_descriptor_limit()
        kernel.raise_address_space()
        gc.set_threshold(*_GC_THRESHOLDS)
        notifier = Notifier() if in_background else taken_from(os.environ)
        notifier.tell(STATUS=f"mounting {request.mount_point}")
        _Daemon(request, log, log_file, announce, notifier).serve()
    finally:
        log.close()


class _Daemon:
    def __init__(
        self,
        request: MountRequest,
        log: Log,
        log_file: Path | None,
        announce: Announce,
        notifier: Notifier,
    ) -> None:
        # Slow to import, and not needed where something fails before this.
        from empiarfs.mount.composition import build

        self._fuse = _import_fuse()
        self._passed = passed_descriptor(request.mount_point)
        if self._passed is None:
            check_helper(self._fuse.VERSION[0])
        elif self._fuse.VERSION < (3, 3):
            raise MountError(f"{request.mount_point}: a mount that is passed needs libfuse 3.3")
        check_apart(mount_point_of(request.mount_point, self._passed), request.config.local)
        self._request = request
        self._notifier = notifier
        self._log = log
        self._announce = announce
        self._lock = threading.Lock()
        self._closed = False  # guarded by _lock
        self._failure: EmpiarFSError | None = None
        self._served = threading.Event()
        self._stderr: CapturedStderr | None = None
        self._before = _device_of(request.mount_point)
        self._ledger = Ledger(request.mount_point, os.environ)
        self._metrics = self._make_metrics()
        self._parts = build(request.config, request.root, is_mount=True)
        if self._parts.about is not None:
            # As `empiarfs status --json` prints it, which asks us.
            self._parts.about.notes.tell_status(lambda: {"state": "mounted", **self._status({})})
        self._crawls = self._fuse.Crawls()
        self._description = Description(
            request, self._parts, self._crawls, log_file, self._fuse.VERSION, self._passed
        )
        self._long_reads = self._fuse.LongReads(
            self._parts.tree.listings.in_memory, Served(request.root).full
        )
        self._readers = self._fuse.Readers(closed=self._long_reads.closed)
        self._reachable = Reachable(request.config, self._parts, self._readers)
        self._adapter = self._make_adapter()

    def _make_metrics(self) -> MetricsServer | None:
        listener = self._request.config.metrics
        if listener is None:
            return None
        from empiarfs.mount.metrics import MetricsServer

        return MetricsServer(listener, lambda: self._status({}))

    def _make_adapter(self) -> Any:
        config, fuse = self._request.config, self._fuse
        umask = 0o022 if config.umask is None else config.umask
        adapter_class = fuse.XattrFuseAdapter if config.xattr else fuse.FuseAdapter
        return adapter_class(
            self._parts.files,
            fuse.AdapterConfig(
                wait_s=config.wait_s,
                lookup_s=config.lookup_s,
                uid=os.getuid() if config.uid is None else config.uid,
                gid=os.getgid() if config.gid is None else config.gid,
                umask=umask,
            ),
            started=lambda: self._start_thread(self._answer_and_tell, "empiarfs-start"),
            invalidator=fuse.Invalidator() if fuse.can_invalidate() else None,
            refused=self._ledger.note,
            opened_directory=self._note_opened,
            readers=self._readers,
        )

    def serve(self) -> None:
        """Serve the mount until it is gone."""
        request, fuse = self._request, self._fuse
        options = fuse.SessionOptions(
            mount_point=request.mount_point,
            source=request.fuse_options.get("fsname") or request.source,
            allow_other=request.config.allow_other,
            allow_root=request.config.allow_root,
            nonempty=request.nonempty,
            further={n: v for n, v in request.fuse_options.items() if n not in _OUR_OPTIONS},
        )
        self._start_thread(self._wait_for_signals, "empiarfs-signals")
        memory.keep_trimmed(self._served)
        self._stderr = CapturedStderr()
        try:
            fuse.serve(self._adapter, options)
        except MountError as exc:
            said = in_one_line(self._stderr.release())
            raise self._mount_error(said or str(exc)) from exc
        finally:
            self._stderr.release()
            self._served.set()
            self._close()
        if self._failure is not None:
            raise self._failure
        logger.info("unmounted %s", request.mount_point)

    def _mount_error(self, reason: str) -> MountError:
        return MountError(f"cannot mount on {self._request.mount_point}: {reason}")

    @staticmethod
    def _start_thread(target: Callable[[], None], name: str) -> None:
        threading.Thread(target=target, name=name, daemon=True).start()

    # -- the start -------------------------------------------------------------------------

    def _answer_and_tell(self) -> None:
        try:
            self._wait_until_it_answers()
            self._ledger.begin()
            paths = PathStatus(self._parts, self._readers, self._request.root)
            self._reachable.register(
                self._description.record(),
                {"status": self._status, "errors": self._errors, "path": paths.answer},
            )
            if self._metrics is not None:
                self._metrics.serve()
            self._announce(self._description.summary())
            self._inform_service()
        except EmpiarFSError as exc:
            self._failure = exc
            self.end()
        except Exception as exc:
            logger.exception("the start failed")
            self._failure = self._mount_error(repr(exc))
            self.end()

    def _wait_until_it_answers(self) -> None:
        """Wait until another process sees the mount, which also means that INIT is over."""
        point = self._request.mount_point
        deadline = time.monotonic() + _ANSWER_TIMEOUT_S
        # One that was passed to us answers once we do, and we needn't see where it is.
        while self._passed is None:
            left = deadline - time.monotonic()
            try:
                if left > 0 and probe(point, left) != self._before:
                    break
            except OSError as exc:
                raise self._mount_error(f"it does not answer: {exc.strerror or exc}") from exc
            if left <= 0:
                raise self._mount_error("it does not appear")
            # Who mounts sits in libfuse by now, and the kernel tells nobody that it is there.
            time.sleep(_LOOK_S)
        assert self._stderr is not None
        said = in_one_line(self._stderr.release())
        if said:
            logger.info("while mounting: %s", said)
        mounted = self._mounted()
        size = self._request.config.read_ahead
        # Before INIT is answered, the kernel would put back its own.
        if size is not None and mounted is not None:
            kernel.set_read_ahead(mounted.device, size)
        logger.info("mounted %s on %s", self._parts.client.base_url, point)

    def _mounted(self) -> MountedFileSystem | None:
        if self._passed is not None:
            return None  # whose it is, unmounts it
        found = mount_at(self._request.mount_point)
        return found if found is not None and found.is_ours else None

    def _inform_service(self) -> None:
        point = self._request.mount_point if self._passed is None else ""
        Service(self._notifier, point, lambda: status_line(self._status({})), self._served).begin()

    def _note_opened(self, pid: int, path: str) -> None:
        # Whoever goes through a mount of one entry goes through that only.
        if not self._request.root:
            self._crawls.opened(pid, path)

    def _status(self, request: Mapping[str, Any]) -> dict[str, object]:
        return {
            **self._description.status(),
            "metrics": None if self._metrics is None else self._metrics.address,
            "readers": self._readers.as_json(),
            "long_reads": self._long_reads.as_json(),
            "python": self._reachable.python_status(),
        }

    def _errors(self, request: Mapping[str, Any]) -> dict[str, object]:
        return {"pid": os.getpid(), **self._ledger.settle().to_values()}

    # -- the end ---------------------------------------------------------------------------

    def _wait_for_signals(self) -> None:
        while True:
            number = signal.sigwait(_SIGNALS)
            if number == signal.SIGHUP:
                self._log.reopen()
                logger.info("reopened the log")
                continue
            logger.info("ending because of %s", signal.Signals(number).name)
            self.end()

    def end(self) -> None:
        """Unmount, and make sure that the process ends soon."""
        self._notifier.tell(STOPPING="1", STATUS="unmounting")
        self._adapter.stop()
        self._unmount()
        if self._served.wait(_GRACE_S if self._passed is None else 0):
            return
        # Programs hold files open on what is detached now, or it could not be unmounted.
        # Only the end of this process ends it; what is worth keeping is written first.
        if self._passed is None:
            logger.warning("ending %s under programs that use it", self._request.mount_point)
        self._close()
        self._unmount()  # should libfuse have mounted only after the first time
        self._log.close()
        os._exit(0 if self._failure is None else 1)

    def _unmount(self) -> None:
        mounted = self._mounted()
        if mounted is None:
            return  # it has been unmounted, or never was mounted
        try:
            try:
                unmount(mounted)
            except BusyError as exc:
                logger.info("%s; detaching it", exc)
                unmount(mounted, lazy=True)
        except MountError as exc:
            logger.error("%s", exc)

    def _close(self) -> None:
        """Close everything, once; whoever comes second waits for the first."""
        self._reachable.close()
        with self._lock:
            if self._closed:
                return
            if self._metrics is not None:
                self._metrics.close()
            self._closed = True
            self._parts.close()
            # Last of all: who waited until now was refused.
            self._ledger.close()


# What we say ourselves; a subtype other than ours would hide the mount from `umount`.
_OUR_OPTIONS = frozenset(("fsname", "subtype"))


def _import_fuse() -> Any:
    try:
        from empiarfs import fuse
    except OSError as exc:
        raise MountError(
            f"libfuse can't be used: {exc}",
            hint="install it: `apt install fuse3` or `dnf install fuse3`",
        ) from exc
    return fuse


def _device_of(path: str) -> int | None:
    with suppress(OSError):
        return os.stat(path).st_dev
    return None
