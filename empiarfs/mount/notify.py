"""Tells systemd how a mount is, where a service of `Type=notify` runs it (sd_notify(3)).

systemd names a datagram socket in NOTIFY_SOCKET, and takes lines such as `READY=1` there:

    READY=1      the mount answers
    STATUS=…     how it is, for `systemctl status`; when it has changed, every ten seconds
    WATCHDOG=1   the mount has just answered a question, at least twice in the time that
                 WATCHDOG_USEC gives; systemd ends and restarts who stays silent
    STOPPING=1   it is being unmounted

The question is put by another process, since one to oneself may be the one that hangs. What
systemd doesn't take is lost: a mount is never held up by it.

Threading: `tell` may be called from any thread; `Service` has one of its own,
`empiarfs-notify`, which ends with the mount.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, MutableMapping

from empiarfs.mount.probe import probe

logger = logging.getLogger(__name__)

_SOCKET, _WATCHDOG, _WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
VARIABLES = (_SOCKET, _WATCHDOG, _WATCHDOG_PID)

_STATUS_EVERY_S = 10.0
# Of the watchdog's time: between two questions, and for an answer. Both together leave a
# sixth of it for a machine that is busy.
_ASK_EVERY, _ANSWER_WITHIN = 1 / 3, 1 / 2
_SEND_TIMEOUT_S = 5.0


class Notifier:
    """The way to systemd; where there is none, what is told is dropped.

    Args:
        address: The socket's, as NOTIFY_SOCKET has it; "" for none.
        watchdog_s: After how many seconds of silence we are ended; None for never.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        # An abstract one begins with "@", which stands for a NUL.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s if address else None

    @property
    def is_there(self) -> bool:
        """Whether somebody wants to be told."""
        return bool(self._address)

    def tell(self, **values: str) -> None:
        """Send these, such as `READY="1"`; no error if nobody takes them."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in values.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_TIMEOUT_S)
                sender.sendto(text.encode("utf-8", "backslashreplace"), self._address)
        except OSError as exc:
            logger.info("the service manager can't be told %s: %s", "/".join(values), exc)


def taken_from(environ: MutableMapping[str, str]) -> Notifier:
    """Return the way to systemd that the environment names, and take it out of there.

    Programs that we start must not speak for us.
    """
    found = {name: environ.pop(name, "") for name in VARIABLES}
    address = found[_SOCKET]
    if not address.startswith(("/", "@")) or len(address) == 1:
        return Notifier()
    for_us = found[_WATCHDOG_PID] in ("", str(os.getpid()))
    microseconds = found[_WATCHDOG]
    watched = for_us and microseconds.isdecimal() and int(microseconds) > 0
    return Notifier(address, int(microseconds) / 1e6 if watched else None)


class Service:
    """Keeps systemd informed about a mount that answers.

    Args:
        notifier: Where to.
        mount_point: The mount; "" if it can't be asked, so that only we vouch for it.
        status: Says how it is, in a line; called every ten seconds.
        ended: Set when the mount has ended.
    """

    def __init__(
        self,
        notifier: Notifier,
        mount_point: str,
        status: Callable[[], str],
        ended: threading.Event,
    ) -> None:
        self._notifier = notifier
        self._mount_point = mount_point
        self._status = status
        self._ended = ended

    def begin(self) -> None:
        """Tell that the mount answers, and go on telling how it is."""
        if not self._notifier.is_there:
            return
        told = self._status()
        self._notifier.tell(READY="1", STATUS=told)
        threading.Thread(
            target=self._go_on, args=(told,), name="empiarfs-notify", daemon=True
        ).start()

    def _go_on(self, told: str) -> None:
        watchdog_s = self._notifier.watchdog_s
        every_s = min(_STATUS_EVERY_S, (watchdog_s or _STATUS_EVERY_S) * _ASK_EVERY)
        while not self._ended.wait(every_s):
            status = self._status()
            if status != told:
                self._notifier.tell(STATUS=status)
                told = status
            if watchdog_s is not None and self._answers(watchdog_s * _ANSWER_WITHIN):
                self._notifier.tell(WATCHDOG="1")

    def _answers(self, within_s: float) -> bool:
        if not self._mount_point:
            return True
        try:
            probe(self._mount_point, within_s)
        except OSError as exc:
            if not self._ended.is_set():
                logger.warning("the mount doesn't answer: %s", exc)
            return False
        return True


def status_line(status: Mapping[str, object]) -> str:
    """Return how a mount is, in a line for people.

    Args:
        status: As `empiarfs status --json` has it.

    >>> status_line({"reachability": "online", "connections": 2, "open_files": 1,
    ...     "cache": {"used": 1_500_000, "limit": 20_000_000_000},
    ...     "counters": {"read_bytes": 900, "network_bytes": 2_000}})
    'archive online, 2 connections, 1 open files; cache 1.5 MB of 20 GB; 900 B read, 2 kB fetched'
    """
    cache, counters = status.get("cache"), status.get("counters")
    cache = cache if isinstance(cache, dict) else {}
    counters = counters if isinstance(counters, dict) else {}
    parts = [
        f"archive {status.get('reachability')}, {status.get('connections')} connections, "
        f"{status.get('open_files')} open files",
        f"cache {_amount(cache.get('used', 0))} of {_amount(cache.get('limit', 0))}",
        f"{_amount(counters.get('read_bytes', 0))} read, "
        f"{_amount(counters.get('network_bytes', 0))} fetched",
    ]
    failed = counters.get("failed_reads", 0) + counters.get("failed_lookups", 0)
    if failed:
        parts.append(f"{failed} calls refused")
    if cache.get("unwell"):
        parts.append(f"the cache's disk: {cache['unwell']}")
    return "; ".join(parts)


def _amount(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
